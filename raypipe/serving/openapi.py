"""The endpoint's own description, for programs (OpenAPI 3.1) and for people (one page of HTML)."""

from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Mapping

from raypipe.core.ids import Json
from raypipe.data.schema import Column, ColumnKind
from raypipe.serving.config import ServingSettings
from raypipe.serving.open_inference.document import protocol_paths, protocol_schemas
from raypipe.serving.operator import MAX_EPOCH, VERSION_PATTERN
from raypipe.serving.releases import MAX_REASON_CHARACTERS
from raypipe.serving.request import MAX_ID_CHARACTERS
from raypipe.serving.swap import LoadedVersion
from raypipe.training.task import ClassValue, Task

_FINITE: dict[str, Json] = {"minimum": -sys.float_info.max, "maximum": sys.float_info.max}
_NUMBER: dict[str, Json] = {"type": "number", **_FINITE}
_TYPES: Mapping[ColumnKind, dict[str, Json]] = {
    "number": _NUMBER,
    "integer": {"type": "integer", "format": "int64", "minimum": -(2**63), "maximum": 2**63 - 1},
    "boolean": {"type": "boolean"},
    "category": {"type": "string"},
    "timestamp": {
        "type": "string",
        "format": "date-time",
        "description": "A time in the years 1 to 9999. Other spellings of ISO 8601 are read too, such as a "
        "date alone; without a zone it is UTC.",
    },
}
_ID: Json = {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARACTERS}
_BODY_REFUSALS = {
    "400": "The body is not JSON of this form.",
    "408": "The body did not come in time.",
    "413": "The request is too large.",
    "415": "The content type is not application/json.",
    "429": "Too much is in progress; ask again later.",
}
_REFUSALS = _BODY_REFUSALS | {"422": "No row (or label) of the request is valid."}
_TOKEN_REFUSALS = {
    "401": "No token is shown.",
    "403": "It is not the endpoint's token.",
    "503": "The endpoint's token cannot be read; ask again later.",
}
_RELEASE_REFUSALS = (
    _BODY_REFUSALS
    | _TOKEN_REFUSALS
    | {
        "404": "No such version, or none to go back to.",
        "409": "Another release came in between.",
        "422": "The version cannot serve; the one before it goes on.",
        "503": "The release could not be recorded, or the token not be read; ask again later.",
    }
)
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "pre{background:#f4f4f4;padding:1rem;overflow-x:auto}td,th{text-align:left;padding:.2rem 1rem .2rem 0}"
)
_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")


def openapi(name: str, loaded: LoadedVersion, settings: ServingSettings) -> dict[str, Json]:
    """Return the OpenAPI 3.1 document of an endpoint for the version that answers."""
    user = "token" if settings.asks_for_token else None
    operator = "operator" if settings.asks_for_token else None
    paths: dict[str, Json] = {
        "predict": {"post": _post("Predict rows", "PredictRequest", "PredictResponse", user)},
        "feedback": {"post": _post("Report labels", "FeedbackRequest", "FeedbackResponse", user, "503")},
        "promote": {"post": _release("Make a version the champion", "PromoteRequest")},
        "rollback": {"post": _release("Go back to the champion before the present one", "RollbackRequest")},
        "status": {"get": _get("Which version answers, and what was done", operator)},
        "health": {"get": _get("Whether requests are answered", None)},
        "openapi.json": {"get": _get("This document", user)},
    }
    security: dict[str, Json] = (
        {"predict": [{user: []}], "status": [{operator: []}]} if user and operator else {}
    )
    paths |= protocol_paths(name, security, _TOKEN_REFUSALS, _REFUSALS)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"raypipe endpoint {name}",
            "version": loaded.pointer.version,
            "description": "Of two equal keys in an object the last one counts. Each row is answered by "
            "itself: a row with an error does not keep the others from being answered.",
        },
        "paths": {f"/{name}/{route}": item for route, item in paths.items()},
        "components": {
            "schemas": _schemas(loaded, settings.max_rows) | _release_schemas() | protocol_schemas(loaded),
            "securitySchemes": {
                scheme: {"type": "http", "scheme": "bearer", "description": f"The file {file} in the home."}
                for scheme, file in (("operator", "operator.token"), (user, "serving.token"))
                if scheme is not None
            },
        },
    }


def example_request(loaded: LoadedVersion) -> Json:
    """Return a body that the version answers."""
    return {"rows": [loaded.example]}


def docs_page(name: str, loaded: LoadedVersion, host: str, settings: ServingSettings) -> str:
    """Return a page that shows the columns and a call to copy."""
    is_guarded = settings.asks_for_token
    place = f"http://{host if _HOST.fullmatch(host) else 'HOST:PORT'}/{name}"
    rows = "".join(_table_row(column) for column in loaded.predictor.transform.inputs)
    predict = curl(place, "predict", example_request(loaded), is_guarded)
    feedback = curl(place, "feedback", _feedback_example(loaded), is_guarded)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{name}</title><style>{_STYLE}</style>"
        f"<h1>{name}</h1><p>Version {html.escape(loaded.pointer.version)} predicts "
        f"<b>{html.escape(loaded.predictor.task.label)}</b> ({loaded.predictor.task.kind}).</p>"
        f"<h2>Predict</h2><pre>{html.escape(predict)}</pre>"
        f"<h2>Columns</h2><table><tr><th>name<th>type<th>may be missing</tr>{rows}</table>"
        f"<h2>Tell what was true</h2><pre>{html.escape(feedback)}</pre>"
        "<h2>More</h2><ul><li><a href=status>status</a><li><a href=health>health</a>"
        "<li><a href=openapi.json>openapi.json</a>"
        f"<li><a href=v2/models/{name}>v2</a> (Open Inference Protocol)</ul></html>"
    )


def curl(place: str, route: str, body: Json, is_guarded: bool = False) -> str:
    """Return a command that posts `body`, for a POSIX shell; its variable TOKEN is shown, if need be."""
    text = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    shown = ' -H "authorization: Bearer $TOKEN"' if is_guarded else ""
    return f"curl -X POST {place}/{route}{shown} -H 'content-type: application/json' -d '{text}'"


def _table_row(column: Column) -> str:
    missing = "yes" if column.nullable else "no"
    return f"<tr><td>{html.escape(column.name)}<td>{column.kind}<td>{missing}</tr>"


def _schemas(loaded: LoadedVersion, max_rows: int) -> dict[str, Json]:
    task = loaded.predictor.task
    label: Json = {"type": "number"} if task.kind == "regression" else {"enum": list(task.classes)}
    truth: Json = _NUMBER if task.kind == "regression" else label
    error = _object({"message": {"type": "string"}}, "message")
    ids: Json = {
        "type": ["array", "null"],
        "items": _ID,
        "uniqueItems": True,
        "description": "One for each row; made by the endpoint where absent.",
    }
    return {
        "Row": _row(loaded),
        "PredictRequest": {
            **_closed({"rows": _some(_ref("Row"), max_rows), "ids": ids}, "rows"),
            "examples": [example_request(loaded)],
        },
        "PredictResponse": _object(
            {"version": {"type": "string"}, "predictions": _list(_prediction(task, label))},
            "version",
            "predictions",
        ),
        "FeedbackRequest": {
            **_closed(
                {"labels": _some(_closed({"id": _ID, "label": truth}, "id", "label"), max_rows)}, "labels"
            ),
            "examples": [_feedback_example(loaded)],
        },
        "FeedbackResponse": _object(
            {"accepted": {"type": "integer"}, "errors": _list({"type": "object"})}, "accepted", "errors"
        ),
        "Error": _object({"error": error}, "error"),
    }


def _release_schemas() -> dict[str, Json]:
    text: Json = {"type": "string", "pattern": VERSION_PATTERN}
    optional: Json = {"type": ["string", "null"], "pattern": VERSION_PATTERN}
    epoch: Json = {
        "type": ["integer", "null"],
        "minimum": 0,
        "maximum": MAX_EPOCH,
        "description": "The newest that the caller has seen; a change of the champion since is refused.",
    }
    reason: Json = {"type": "string", "maxLength": MAX_REASON_CHARACTERS}
    return {
        "PromoteRequest": _closed(
            {"version": text, "expected": optional, "epoch": epoch, "reason": reason}, "version"
        ),
        "RollbackRequest": _closed({"expected": text, "epoch": epoch, "reason": reason}, "expected"),
        "ReleaseResponse": _object(
            {"version": text, "epoch": {"type": "integer"}, "is_new": {"type": "boolean"}},
            "version",
            "epoch",
            "is_new",
        ),
    }


def _row(loaded: LoadedVersion) -> dict[str, Json]:
    transform = loaded.predictor.transform
    used = {column.name: _column(column) for column in transform.inputs}
    unused = {name: {"description": "Accepted and not used."} for name in transform.ignored}
    required = [column.name for column in transform.inputs if not column.nullable]
    return {
        **_closed({**unused, **used}, *required),
        "examples": [loaded.example],
    }


def _column(column: Column) -> dict[str, Json]:
    described = _TYPES[column.kind]
    return {**described, "type": [described["type"], "null"]} if column.nullable else dict(described)


def _prediction(task: Task, label: Json) -> Json:
    probabilities: Json = {"type": "object", "additionalProperties": {"type": "number"}}
    fields: dict[str, Json] = {"id": _ID, "prediction": label, "error": {"type": "object"}}
    if task.kind == "classification":
        fields["probabilities"] = probabilities
    return _object(fields, "id")


def _feedback_example(loaded: LoadedVersion) -> Json:
    label: ClassValue = next(iter(loaded.predictor.task.classes), 1.0)
    return {"labels": [{"id": "the id of a prediction", "label": label}]}


def _post(summary: str, request: str, response: str, scheme: str | None, *more: str) -> Json:
    refusals = _REFUSALS | dict.fromkeys(more, "The labels could not be kept; send them again later.")
    answered = _answered(response)
    refused = _refused(_guarded_refusals(scheme) | refusals) | {
        "422": {"description": refusals["422"], "content": _json(response)}
    }
    return {"summary": summary, **_secured(scheme), **_takes(request), "responses": answered | refused}


def _release(summary: str, request: str) -> Json:
    responses = _answered("ReleaseResponse") | _refused(_RELEASE_REFUSALS)
    return {"summary": summary, **_secured("operator"), **_takes(request), "responses": responses}


def _secured(scheme: str | None) -> dict[str, Json]:
    return {} if scheme is None else {"security": [{scheme: []}]}


def _guarded_refusals(scheme: str | None) -> dict[str, str]:
    return {} if scheme is None else _TOKEN_REFUSALS


def _takes(request: str) -> dict[str, Json]:
    return {"requestBody": {"required": True, "content": _json(request)}}


def _answered(response: str) -> dict[str, Json]:
    return {"200": {"description": "Answered.", "content": _json(response)}}


def _refused(refusals: Mapping[str, str]) -> dict[str, Json]:
    return {code: {"description": text, "content": _json("Error")} for code, text in refusals.items()}


def _json(schema: str) -> Json:
    return {"application/json": {"schema": _ref(schema)}}


def _get(summary: str, scheme: str | None) -> Json:
    content: Json = {"application/json": {"schema": {"type": "object"}}}
    answered: dict[str, Json] = {"200": {"description": summary, "content": content}}
    refused = _refused(_guarded_refusals(scheme))
    return {"summary": summary, **_secured(scheme), "responses": answered | refused}


def _object(properties: Mapping[str, Json], *required: str) -> dict[str, Json]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _closed(properties: Mapping[str, Json], *required: str) -> dict[str, Json]:
    return {**_object(properties, *required), "additionalProperties": False}


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _some(items: Json, most: int) -> Json:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
