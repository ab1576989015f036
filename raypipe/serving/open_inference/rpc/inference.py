"""A message that asks for predictions, read for the version that answers, and the message that answers it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
from google.protobuf.message import DecodeError

from raypipe.data.roles import CHAMPION
from raypipe.serving.answers import Answers
from raypipe.serving.open_inference.message import (
    InferRequest,
    InputTensor,
    RequestedOutput,
    RequestParameters,
    TensorParameters,
)
from raypipe.serving.open_inference.outputs import PROBABILITIES, Wanted, elements_of, not_finite, wanted
from raypipe.serving.open_inference.routes import Route, check_served
from raypipe.serving.open_inference.rows import read_rows
from raypipe.serving.open_inference.rpc.contents import read_contents, write_contents
from raypipe.serving.open_inference.rpc.fields import check_n_fields
from raypipe.serving.open_inference.rpc.messages import METHODS, Message
from raypipe.serving.open_inference.statistics import Timed
from raypipe.serving.open_inference.tensors import to_bytes
from raypipe.serving.reply import Reply
from raypipe.serving.request import ParsedRequest, RefusedRequest
from raypipe.serving.swap import LoadedVersion

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class RpcInference:
    """A request that is complete but not read; the body of its reply is a message."""

    model: str
    body: bytes
    timed: Timed

    def read(self, served: LoadedVersion, max_rows: int) -> tuple[ParsedRequest, Callable[[Answers], Reply]]:
        """Return the rows, and what makes the reply of their answers; raises RefusedRequest."""
        message = _decode(self.body)
        route = Route("infer", message.model_name or None, message.model_version or None)
        check_served(route, self.model, served)
        data = _data(message, max_rows)
        request = _request(message, data)
        asked = wanted(request, served.predictor.task)
        rows = read_rows(served.schema, request, memoryview(b"".join(data)), max_rows)
        is_raw = len(message.raw_input_contents) > 0
        return rows, partial(self._reply, served, request.id or "", asked, is_raw)

    def _reply(
        self, served: LoadedVersion, id: str, asked: Sequence[Wanted], is_raw: bool, answers: Answers
    ) -> Reply:
        refusal = not_finite(answers)
        if refusal is not None:
            return refusal
        response = METHODS["ModelInfer"].response(
            model_name=self.model, model_version=served.pointer.version, id=id
        )
        ids = [row.id for row in answers.answered]
        response.parameters["ids"].string_param = _encode(ids).decode()
        response.parameters["role"].string_param = CHAMPION
        for one in asked:
            _add(response, one, answers, served.class_names, is_raw)
        self.timed.answered(served.pointer.version, len(answers.items))
        return Reply(200, response.SerializeToString(), b"application/grpc")


def _decode(body: bytes) -> Message:
    check_n_fields(body)
    try:
        return METHODS["ModelInfer"].parse(body)
    except DecodeError:
        raise RefusedRequest("the message must be a ModelInferRequest; these bytes are none.") from None


def _data(message: Message, max_rows: int) -> Sequence[bytes]:
    """Return the bytes of each tensor."""
    raw = message.raw_input_contents
    if not raw:
        return [read_contents(tensor, max_rows) for tensor in message.inputs]
    if len(raw) != len(message.inputs) or any(tensor.HasField("contents") for tensor in message.inputs):
        raise RefusedRequest(
            "raw_input_contents must have the bytes of every tensor, and inputs then no contents, or all "
            f"inputs have contents. Got {len(raw):,} raw contents for {len(message.inputs):,} inputs."
        )
    return [bytes(one) for one in raw]


def _request(message: Message, data: Sequence[bytes]) -> InferRequest:
    inputs = [
        InputTensor(
            tensor.name,
            list(tensor.shape),
            tensor.datatype,
            TensorParameters(len(part), shared_memory_region=_shared_memory(tensor)),
        )
        for tensor, part in zip(message.inputs, data, strict=True)
    ]
    outputs = [
        RequestedOutput(
            one.name,
            TensorParameters(
                classification=one.parameters["classification"].int64_param
                if "classification" in one.parameters
                else None,
                shared_memory_region=_shared_memory(one),
            ),
        )
        for one in message.outputs
    ]
    return InferRequest(inputs, message.id or None, _parameters(message), outputs or None)


def _shared_memory(tensor: Message) -> str | None:
    name = "shared_memory_region"
    return str(tensor.parameters[name].string_param) if name in tensor.parameters else None


def _parameters(message: Message) -> RequestParameters | None:
    if "ids" not in message.parameters:
        return None
    ids = message.parameters["ids"]
    if ids.WhichOneof("parameter_choice") != "string_param":
        raise RefusedRequest("parameters.ids must be a string_param with the JSON of a list of texts.")
    return RequestParameters(ids=str(ids.string_param))


def _add(response: Message, one: Wanted, answers: Answers, class_names: Sequence[str], is_raw: bool) -> None:
    output = one.output
    shape = [len(answers.answered), output.width]
    tensor = response.outputs.add(name=output.name, datatype=output.datatype, shape=shape)
    if output.name == PROBABILITIES:
        tensor.parameters["classes"].string_param = _encode(list(class_names)).decode()
    elements = elements_of(output.name, answers.answered)
    if is_raw:
        response.raw_output_contents.append(to_bytes(output.datatype, elements))
    else:
        write_contents(tensor.contents, output.datatype, elements)
