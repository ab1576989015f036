"""The protocol's part of the endpoint's OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping

from raypipe.core.ids import Json
from raypipe.serving.open_inference.datatypes import BYTES, DATATYPE, NUMPY
from raypipe.serving.open_inference.outputs import outputs_of
from raypipe.serving.open_inference.routes import Route, route_of
from raypipe.serving.swap import LoadedVersion

_SUMMARIES = {
    "v2": "Open Inference Protocol: the server",
    "v2/health/live": "Open Inference Protocol: whether the server is up",
    "v2/health/ready": "Open Inference Protocol: whether requests are answered",
    "v2/models/{model}": "Open Inference Protocol: what the model takes and gives",
    "v2/models/{model}/ready": "Open Inference Protocol: whether the model answers",
    "v2/models/{model}/config": "Open Inference Protocol: the same in the form of Triton's configs",
    "v2/models/{model}/infer": "Open Inference Protocol: predict rows, given as one tensor a column",
    "v2/models/{model}/stats": "Open Inference Protocol: what was answered since the replica started",
    "v2/repository/index": "Open Inference Protocol: the models of the server",
}
_NOT_SERVED = {"404": "The endpoint answers with another model or version."}
_VERSION: Json = {"name": "version", "in": "path", "required": True, "schema": {"type": "string"}}
_PARAMETERS: Json = {"type": "object"}


def protocol_paths(
    model: str, security: Mapping[str, Json], token_refusals: Mapping[str, str], refusals: Mapping[str, str]
) -> dict[str, Json]:
    """Return the protocol's paths below the endpoint's prefix.

    `security` holds, for a plain route that asks for a token, what its operation says of that;
    `token_refusals` are the answers where none is shown, and `refusals` those to a body.
    """
    paths: dict[str, Json] = {}
    for pattern, summary in _SUMMARIES.items():
        for path in _with_version(pattern.replace("{model}", model)):
            route = route_of(path)
            if route is None:
                raise ValueError(f"{path} is no path of the protocol.")
            refused = {**_NOT_SERVED} if route.model else {}
            refused |= refusals if route.kind == "infer" else {}
            asks = security.get(route.guarded_like)
            refused |= token_refusals if asks else {}
            operation = _operation(route, summary, refused) | ({"security": asks} if asks else {})
            paths[path] = {route.methods[0].lower(): operation}
    return paths


def protocol_schemas(loaded: LoadedVersion) -> dict[str, Json]:
    """Return the schemas that the protocol's paths refer to, with a request that the version answers."""
    string: Json = {"type": "string"}
    shape: Json = {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2}
    tensor: dict[str, Json] = {
        "name": string,
        "shape": shape,
        "datatype": {"enum": [*NUMPY, BYTES]},
        "parameters": _PARAMETERS,
        "data": {"type": "array"},
    }
    asked: Json = _object({"name": string, "parameters": _PARAMETERS}, "name")
    answer: dict[str, Json] = {
        "model_name": string,
        "model_version": string,
        "id": string,
        "parameters": {
            "type": "object",
            "properties": {"ids": {"type": "array", "items": string}, "role": string},
        },
        "outputs": _tensors("InferTensor"),
    }
    return {
        "InferTensor": _object(tensor, "name", "shape", "datatype"),
        "InferRequest": {
            **_object(
                {
                    "id": string,
                    "parameters": _PARAMETERS,
                    "inputs": _tensors("InferTensor"),
                    "outputs": {"type": "array", "items": asked},
                },
                "inputs",
            ),
            "description": "Each column is a tensor of its name, of shape [n, 1]. A missing value is null, "
            "NaN in bytes, an empty text where the column may be missing, or a tensor that is left out.",
            "examples": [example_inference(loaded)],
        },
        "InferResponse": _object(answer, "model_name", "model_version", "parameters", "outputs"),
        "InferError": _object({"error": string}, "error"),
    }


def example_inference(loaded: LoadedVersion) -> dict[str, Json]:
    """Return the JSON of an inference that the version answers."""
    example = loaded.example if isinstance(loaded.example, Mapping) else {}
    inputs: list[Json] = [
        {
            "name": column.name,
            "shape": [1, 1],
            "datatype": DATATYPE[column.kind],
            "data": [example[column.name]],
        }
        for column in loaded.predictor.transform.inputs
        if column.name in example
    ]
    outputs: list[Json] = [{"name": output.name} for output in outputs_of(loaded.predictor.task)]
    return {"inputs": inputs, "outputs": outputs}


def _with_version(path: str) -> tuple[str, ...]:
    if not path.startswith("v2/models/"):
        return (path,)
    model, _, what = path.removeprefix("v2/models/").partition("/")
    return (path, f"v2/models/{model}/versions/{{version}}" + (f"/{what}" if what else ""))


def _operation(route: Route, summary: str, refused: Mapping[str, str]) -> dict[str, Json]:
    response = "InferResponse" if route.kind == "infer" else None
    operation: dict[str, Json] = {"summary": summary}
    if route.version is not None:
        operation["parameters"] = [_VERSION]
    if route.kind == "infer":
        operation["requestBody"] = {"required": True, "content": _json("InferRequest")}
    responses: dict[str, Json] = {
        code: {"description": text, "content": _json("InferError")} for code, text in refused.items()
    }
    answered: Json = {
        "description": summary,
        "content": _json(response) if response else {"application/json": {}},
    }
    operation["responses"] = {"200": answered} | responses
    return operation


def _tensors(name: str) -> Json:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}, "minItems": 1}


def _object(properties: dict[str, Json], *required: str) -> dict[str, Json]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _json(schema: str) -> dict[str, Json]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
