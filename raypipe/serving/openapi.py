"""The endpoint's own description, for programs (OpenAPI 3.1) and for people (one page of HTML)."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping

from raypipe.core.ids import Json
from raypipe.data.schema import Column, ColumnKind
from raypipe.serving.request import MAX_ID_CHARACTERS
from raypipe.serving.swap import LoadedVersion
from raypipe.training.task import ClassValue, Task

_TYPES: Mapping[ColumnKind, dict[str, Json]] = {
    "number": {"type": "number"},
    "integer": {"type": "integer", "format": "int64"},
    "boolean": {"type": "boolean"},
    "category": {"type": "string"},
    "timestamp": {"type": "string", "description": "A time or date in ISO 8601; without a zone it is UTC."},
}
_ID: Json = {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARACTERS}
_REFUSALS = {
    "400": "The body is not JSON of this form.",
    "413": "The request is too large.",
    "415": "The content type is not application/json.",
    "422": "No row (or label) of the request is valid.",
}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "pre{background:#f4f4f4;padding:1rem;overflow-x:auto}td,th{text-align:left;padding:.2rem 1rem .2rem 0}"
)
_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")


def openapi(name: str, loaded: LoadedVersion) -> dict[str, Json]:
    """Return the OpenAPI 3.1 document of an endpoint for the version that answers."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"raypipe endpoint {name}",
            "version": loaded.pointer.version,
            "description": "Of two equal keys in an object the last one counts. Each row is answered by "
            "itself: a row with an error does not keep the others from being answered.",
        },
        "paths": {
            f"/{name}/predict": {"post": _post("Predict rows", "PredictRequest", "PredictResponse")},
            f"/{name}/feedback": {
                "post": _post("Report labels", "FeedbackRequest", "FeedbackResponse", "503")
            },
            f"/{name}/status": {"get": _get("Which version answers, and what was done")},
            f"/{name}/health": {"get": _get("Whether requests are answered")},
            f"/{name}/openapi.json": {"get": _get("This document")},
        },
        "components": {"schemas": _schemas(loaded)},
    }


def example_request(loaded: LoadedVersion) -> Json:
    """Return a body that the version answers."""
    return {"rows": [loaded.example]}


def docs_page(name: str, loaded: LoadedVersion, host: str) -> str:
    """Return a page that shows the columns and a call to copy."""
    place = f"http://{host if _HOST.fullmatch(host) else 'HOST:PORT'}/{name}"
    rows = "".join(_table_row(column) for column in loaded.predictor.transform.inputs)
    predict = curl(place, "predict", example_request(loaded))
    feedback = curl(place, "feedback", _feedback_example(loaded))
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{name}</title><style>{_STYLE}</style>"
        f"<h1>{name}</h1><p>Version {html.escape(loaded.pointer.version)} predicts "
        f"<b>{html.escape(loaded.predictor.task.label)}</b> ({loaded.predictor.task.kind}).</p>"
        f"<h2>Predict</h2><pre>{html.escape(predict)}</pre>"
        f"<h2>Columns</h2><table><tr><th>name<th>type<th>may be missing</tr>{rows}</table>"
        f"<h2>Tell what was true</h2><pre>{html.escape(feedback)}</pre>"
        "<h2>More</h2><ul><li><a href=status>status</a><li><a href=health>health</a>"
        "<li><a href=openapi.json>openapi.json</a></ul></html>"
    )


def curl(place: str, route: str, body: Json) -> str:
    """Return a command that posts `body`, ready for a POSIX shell."""
    text = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    return f"curl -X POST {place}/{route} -H 'content-type: application/json' -d '{text}'"


def _table_row(column: Column) -> str:
    missing = "yes" if column.nullable else "no"
    return f"<tr><td>{html.escape(column.name)}<td>{column.kind}<td>{missing}</tr>"


def _schemas(loaded: LoadedVersion) -> dict[str, Json]:
    task = loaded.predictor.task
    label: Json = {"type": "number"} if task.kind == "regression" else {"enum": list(task.classes)}
    error = _object({"message": {"type": "string"}}, "message")
    return {
        "Row": _row(loaded),
        "PredictRequest": {
            **_object({"rows": _list(_ref("Row")), "ids": _list(_ID)}, "rows"),
            "examples": [example_request(loaded)],
        },
        "PredictResponse": _object(
            {"version": {"type": "string"}, "predictions": _list(_prediction(task, label))},
            "version",
            "predictions",
        ),
        "FeedbackRequest": {
            **_object({"labels": _list(_object({"id": _ID, "label": label}, "id", "label"))}, "labels"),
            "examples": [_feedback_example(loaded)],
        },
        "FeedbackResponse": _object(
            {"accepted": {"type": "integer"}, "errors": _list({"type": "object"})}, "accepted", "errors"
        ),
        "Error": _object({"error": error}, "error"),
    }


def _row(loaded: LoadedVersion) -> dict[str, Json]:
    transform = loaded.predictor.transform
    used = {column.name: _column(column) for column in transform.inputs}
    unused = {name: {"description": "Accepted and not used."} for name in transform.ignored}
    required = [column.name for column in transform.inputs if not column.nullable]
    return {
        **_object({**unused, **used}, *required),
        "additionalProperties": False,
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


def _post(summary: str, request: str, response: str, *more: str) -> Json:
    refusals = _REFUSALS | dict.fromkeys(more, "The labels could not be kept; send them again later.")
    error: Json = {"application/json": {"schema": _ref("Error")}}
    answer: Json = {"application/json": {"schema": _ref(response)}}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(request)}}},
        "responses": {
            "200": {"description": "Answered.", "content": answer},
            **{
                code: {"description": text, "content": answer if code == "422" else error}
                for code, text in refusals.items()
            },
        },
    }


def _get(summary: str) -> Json:
    content: Json = {"application/json": {"schema": {"type": "object"}}}
    return {"summary": summary, "responses": {"200": {"description": summary, "content": content}}}


def _object(properties: Mapping[str, Json], *required: str) -> dict[str, Json]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
