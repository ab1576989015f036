"""Ray Serve as it comes: its own proxy, one replica; only the limit of requests in progress is raised."""

import os
import signal

import numpy as np
import ray
import xgboost
from ray import serve
from starlette.requests import Request


@serve.deployment(max_ongoing_requests=100)
class Predictor:
    def __init__(self, model: str) -> None:
        self._booster = xgboost.Booster(model_file=model)
        self._booster.set_param({"nthread": 1})

    async def __call__(self, request: Request) -> dict[str, list[float]]:
        rows = (await request.json())["rows"]
        features = np.array([list(row.values()) for row in rows], np.float32)
        return {"predictions": self._booster.inplace_predict(features, validate_features=False).tolist()}


if __name__ == "__main__":
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100_000_000,
        _temp_dir=os.environ["FOLDER"],
        log_to_driver=False,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    serve.run(Predictor.bind(os.environ["MODEL"]), route_prefix="/predict")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
