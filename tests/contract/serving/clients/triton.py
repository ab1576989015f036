"""Asks as `tritonclient[grpc]` does: `triton.py ADDRESS TOKEN`, in an environment that has it."""

import json
import sys
from functools import partial
from threading import Event

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(sys.argv[1])
token = {"authorization": f"Bearer {sys.argv[2]}"}
COLUMNS = {
    "amount": ("FP64", np.array([[12.5], [3.0]])),
    "size": ("INT64", np.array([[3], [8]])),
    "colour": ("BYTES", np.array([["red"], ["bläu"]], dtype=object)),
    "member": ("BOOL", np.array([[True], [False]])),
    "seen": ("BYTES", np.array([["2026-01-31T12:00:00Z"], [""]], dtype=object)),
}


def inputs(**other):
    found = []
    for name, (datatype, values) in {**COLUMNS, **other}.items():
        one = triton.InferInput(name, list(values.shape), datatype)
        one.set_data_from_numpy(values)
        found.append(one)
    return found


def answered(result):
    return {
        "prediction": [one.decode() for one in result.as_numpy("prediction").ravel()],
        "probabilities": result.as_numpy("probabilities").tolist(),
        "ids": result.get_response().parameters["ids"].string_param,
    }


def refused(ask):
    try:
        return ["answered", str(ask())]
    except InferenceServerException as error:
        return [str(error.status()), error.message()]


def infer(other=None, **options):
    return client.infer("tiny", inputs(**(other or {})), headers=token, **options)


def later():
    done, found = Event(), []

    def keep(result, error):
        found.append(error or result)
        done.set()

    client.async_infer("tiny", inputs(), keep, headers=token)
    assert done.wait(30)
    return found[0]


described = partial(dict, headers=token, as_json=True)
ones = np.ones((2, 1), np.float32)
never = np.array([["never"], [""]], dtype=object)
json.dump(
    {
        "health": [
            client.is_server_live(),
            client.is_server_ready(),
            client.is_model_ready("tiny"),
            client.is_model_ready("tiny", "v1"),
            client.is_model_ready("tiny", "v2"),
        ],
        "server": client.get_server_metadata(as_json=True),
        "metadata": client.get_model_metadata("tiny", **described()),
        "config": client.get_model_config("tiny", **described()),
        "index": client.get_model_repository_index(**described()),
        "raw": answered(infer(request_id="q", parameters={"ids": '["triton-0", "triton-1"]'})),
        "later": answered(later()),
        "refused": {
            "version": refused(lambda: infer(model_version="v2")),
            "token": refused(lambda: client.infer("tiny", inputs())),
            "column": refused(lambda: infer({"zip": ("INT64", np.array([[1], [2]]))})),
            "datatype": refused(lambda: infer({"member": ("FP32", ones)})),
            "shape": refused(lambda: infer({"amount": ("FP64", np.ones((3, 1)))})),
            "value": refused(lambda: infer({"seen": ("BYTES", never)})),
            "statistics": refused(lambda: client.get_inference_statistics("tiny", headers=token)),
            "compressed": refused(lambda: infer(compression_algorithm="gzip")),
            "load": refused(lambda: client.load_model("tiny", headers=token)),
        },
    },
    sys.stdout,
)
