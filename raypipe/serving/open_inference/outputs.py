"""The tensors of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from raypipe.core.ids import Json
from raypipe.data.roles import CHAMPION
from raypipe.serving.answers import AnsweredRow, Answers
from raypipe.serving.open_inference.datatypes import BYTES, answer_datatype
from raypipe.serving.open_inference.message import (
    HEADER_LENGTH,
    InferRequest,
    RequestedOutput,
    TensorParameters,
    shown,
)
from raypipe.serving.open_inference.tensors import Element, to_bytes
from raypipe.serving.reply import Reply, refusal
from raypipe.serving.request import RefusedRequest
from raypipe.serving.swap import LoadedVersion
from raypipe.training.task import Task

PREDICTION, PROBABILITIES = "prediction", "probabilities"
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Output:
    """One tensor that a version answers with, of shape [n_rows, width]."""

    name: str
    datatype: str
    width: int


@dataclass(frozen=True)
class Wanted:
    """An output, and whether it is sent as bytes after the JSON."""

    output: Output
    is_binary: bool


def outputs_of(task: Task) -> tuple[Output, ...]:
    """Return what a version answers with: predictions, and probabilities where there are classes."""
    prediction = Output(PREDICTION, answer_datatype(task), 1)
    if task.kind == "regression":
        return (prediction,)
    return (prediction, Output(PROBABILITIES, "FP64", task.n_classes))


def wanted(request: InferRequest, task: Task) -> Sequence[Wanted]:
    """Return the outputs that a request asks for, all where it names none; raises RefusedRequest."""
    by_default = request.parameters is not None and request.parameters.binary_data_output
    known = {output.name: output for output in outputs_of(task)}
    if not request.outputs:
        return [Wanted(output, by_default) for output in known.values()]
    if len({one.name for one in request.outputs}) < len(request.outputs):
        raise RefusedRequest("outputs must differ in their names. Got one of them twice.")
    return [_wanted(one, known, by_default) for one in request.outputs]


def _wanted(asked: RequestedOutput, known: dict[str, Output], by_default: bool) -> Wanted:
    output = known.get(asked.name)
    if output is None:
        raise RefusedRequest(f"an output must be one of {', '.join(known)}. Got {shown(asked.name)}.")
    parameters = asked.parameters or TensorParameters()
    if parameters.classification or parameters.shared_memory_region is not None:
        raise RefusedRequest(
            f"the output {asked.name} comes whole and with the answer; the parameters classification and "
            "shared_memory_region are not known here."
        )
    return Wanted(output, by_default if parameters.binary_data is None else parameters.binary_data)


def infer_reply(
    answers: Answers, served: LoadedVersion, model: str, request: InferRequest, asked: Sequence[Wanted]
) -> Reply:
    """Return the answer to a request; one that has an answer which is not finite is refused as a whole."""
    refused = not_finite(answers)
    if refused is not None:
        return refused
    columns = [elements_of(one.output.name, answers.answered) for one in asked]
    binary = [
        to_bytes(one.output.datatype, elements) if one.is_binary else None
        for one, elements in zip(asked, columns, strict=True)
    ]
    head = _encode(
        {
            "model_name": model,
            "model_version": served.pointer.version,
            **({} if request.id is None else {"id": request.id}),
            "parameters": {"ids": [row.id for row in answers.answered], "role": CHAMPION},
            "outputs": [
                _tensor(one.output, len(answers.answered), served.class_names, elements, data)
                for one, elements, data in zip(asked, columns, binary, strict=True)
            ],
        }
    )
    tail = [data for data in binary if data is not None]
    if not tail:
        return Reply(200, head)
    length = ((HEADER_LENGTH, b"%d" % len(head)),)
    return Reply(200, b"".join((head, *tail)), b"application/octet-stream", length)


def not_finite(answers: Answers) -> Reply | None:
    """Return the refusal of a request that has an answer which is not finite; None where all are."""
    n_failed = len(answers.items) - len(answers.answered)
    if not n_failed:
        return None
    return refusal(
        422,
        f"the model's answers for {n_failed:,} of {len(answers.items):,} rows are not finite numbers, "
        "and none is given.",
    )


def elements_of(name: str, rows: Sequence[AnsweredRow]) -> Sequence[Element]:
    """Return the elements of an output of that name."""
    if name == PREDICTION:
        return [row.prediction for row in rows]
    return [one for row in rows for one in row.probabilities or ()]


def _tensor(
    output: Output, n_rows: int, class_names: Sequence[str], elements: Sequence[Element], data: bytes | None
) -> Json:
    tensor: dict[str, Json] = {
        "name": output.name,
        "datatype": output.datatype,
        "shape": [n_rows, output.width],
    }
    parameters: dict[str, Json] = {}
    if output.name == PROBABILITIES:
        parameters["classes"] = list(class_names)
    if data is not None:
        parameters["binary_data_size"] = len(data)
    if parameters:
        tensor["parameters"] = parameters
    if data is None:
        texts = output.datatype == BYTES
        tensor["data"] = [str(one) for one in elements] if texts else list(elements)
    return tensor
