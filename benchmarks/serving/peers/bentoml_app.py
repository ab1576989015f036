"""BentoML: one worker, no access log, as its documentation advises for throughput."""

import os
import sys
from pathlib import Path

import bentoml
import numpy as np
import xgboost


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, traffic={"timeout": 30})
class Predictor:
    def __init__(self) -> None:
        self._booster = xgboost.Booster(model_file=os.environ["MODEL"])
        self._booster.set_param({"nthread": 1})

    @bentoml.api
    async def predict(self, rows: list[dict[str, float]]) -> list[float]:
        features = np.array([list(row.values()) for row in rows], np.float32)
        return self._booster.inplace_predict(features, validate_features=False).tolist()


if __name__ == "__main__":
    here = Path(__file__).resolve()
    options = ["--host", "127.0.0.1", "--port", os.environ["PORT"], "--working-dir", str(here.parent)]
    binary = Path(sys.executable).parent / "bentoml"
    os.execv(binary, ["bentoml", "serve", f"{here.stem}:Predictor", *options])
