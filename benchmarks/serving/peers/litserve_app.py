"""LitServe: one worker, one server process, its fast queue."""

import os

import litserve
import numpy as np
import xgboost


class Predictor(litserve.LitAPI):
    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe passes it by name
        self._booster = xgboost.Booster(model_file=os.environ["MODEL"])
        self._booster.set_param({"nthread": 1})

    def decode_request(self, request: dict) -> np.ndarray:
        return np.array([list(row.values()) for row in request["rows"]], np.float32)

    def predict(self, features: np.ndarray) -> list[float]:
        return self._booster.inplace_predict(features, validate_features=False).tolist()

    def encode_response(self, output: list[float]) -> dict[str, list[float]]:
        return {"predictions": output}


if __name__ == "__main__":
    server = litserve.LitServer(Predictor(), accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=1,
        log_level="error",
        access_log=False,
        generate_client_file=False,
    )
