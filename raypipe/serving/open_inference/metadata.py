"""What a version takes and gives, as the protocol's metadata of a model."""

from __future__ import annotations

from raypipe.core.ids import Json
from raypipe.data.schema import Column
from raypipe.serving.open_inference.datatypes import BYTES, DATATYPE
from raypipe.serving.open_inference.outputs import PROBABILITIES, Output, outputs_of
from raypipe.serving.swap import LoadedVersion

PLATFORM = "raypipe"


def metadata(model: str, served: LoadedVersion) -> Json:
    """Return the metadata of a version; -1 stands for any number of rows."""
    predictor = served.predictor
    return {
        "name": model,
        "versions": [served.pointer.version],
        "platform": PLATFORM,
        "inputs": [_input(column) for column in predictor.transform.inputs],
        "outputs": [_output(output, served.class_names) for output in outputs_of(predictor.task)],
        "parameters": {"label": predictor.task.label, "kind": predictor.task.kind},
    }


def config(model: str, served: LoadedVersion, max_rows: int) -> Json:
    """Return what Triton calls a model's config, as far as it means something here: dims are without rows."""
    predictor = served.predictor
    inputs: list[Json] = [
        {
            "name": column.name,
            "data_type": _config_type(DATATYPE[column.kind]),
            "dims": [1],
            "optional": column.nullable,
        }
        for column in predictor.transform.inputs
    ]
    outputs: list[Json] = [
        {"name": output.name, "data_type": _config_type(output.datatype), "dims": [output.width]}
        for output in outputs_of(predictor.task)
    ]
    return {
        "name": model,
        "platform": PLATFORM,
        "backend": PLATFORM,
        "max_batch_size": min(max_rows, 2**31 - 1),
        "input": inputs,
        "output": outputs,
    }


def _config_type(datatype: str) -> str:
    return f"TYPE_{'STRING' if datatype == BYTES else datatype}"


def _input(column: Column) -> Json:
    parameters: Json = {"kind": column.kind, "nullable": column.nullable}
    return {
        "name": column.name,
        "datatype": DATATYPE[column.kind],
        "shape": [-1, 1],
        "parameters": parameters,
    }


def _output(output: Output, class_names: tuple[str, ...]) -> Json:
    described: dict[str, Json] = {
        "name": output.name,
        "datatype": output.datatype,
        "shape": [-1, output.width],
    }
    if output.name == PROBABILITIES:
        described["parameters"] = {"classes": list(class_names)}
    return described
