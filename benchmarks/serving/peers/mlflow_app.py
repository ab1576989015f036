"""`mlflow models serve` with one worker, in this environment."""

import os
import sys
from pathlib import Path

import mlflow.xgboost
import xgboost

model = Path(os.environ["FOLDER"]) / "model"
if not model.exists():
    booster = xgboost.Booster(model_file=os.environ["MODEL"])
    booster.set_param({"nthread": 1})
    mlflow.xgboost.save_model(booster, str(model))
binary = Path(sys.executable).parent / "mlflow"
options = ["--env-manager", "local", "--host", "127.0.0.1", "--port", os.environ["PORT"], "--workers", "1"]
os.execv(binary, ["mlflow", "models", "serve", "--model-uri", str(model), *options])
