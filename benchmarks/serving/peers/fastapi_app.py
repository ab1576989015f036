"""A bare endpoint: FastAPI on one uvicorn worker, without validation, ids or capture."""

import os

import numpy as np
import uvicorn
import xgboost
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

booster = xgboost.Booster(model_file=os.environ["MODEL"])
booster.set_param({"nthread": 1})
app = FastAPI()


@app.post("/predict")
async def predict(request: Request) -> JSONResponse:
    rows = (await request.json())["rows"]
    features = np.array([list(row.values()) for row in rows], np.float32)
    return JSONResponse({"predictions": booster.inplace_predict(features, validate_features=False).tolist()})


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(os.environ["PORT"]), loop="uvloop", http="httptools", access_log=False
    )
