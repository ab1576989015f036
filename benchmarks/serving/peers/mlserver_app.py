"""MLServer with its own XGBoost runtime, in one process, which it advises for light models."""

import json
import os
import sys
from pathlib import Path

folder = Path(os.environ["FOLDER"])
port = int(os.environ["PORT"])
settings = {
    "host": "127.0.0.1",
    "http_port": port,
    "grpc_port": port + 1,
    "metrics_port": port + 2,
    "parallel_workers": 0,
    "debug": False,
}
model = {
    "name": "model",
    "implementation": "mlserver_xgboost.XGBoostModel",
    "parameters": {"uri": os.environ["MODEL"]},
}
(folder / "settings.json").write_text(json.dumps(settings))
(folder / "model-settings.json").write_text(json.dumps(model))
os.execv(Path(sys.executable).parent / "mlserver", ["mlserver", "start", str(folder)])
