from __future__ import annotations

import html
import json
import shlex
from typing import Any

import jsonschema
import pytest

from raypipe.core.ids import Json
from raypipe.serving.config import ServingSettings
from raypipe.serving.openapi import curl, docs_page, example_request, openapi
from raypipe.serving.request import RequestSchema, RowError
from raypipe.serving.swap import VersionHolder


@pytest.fixture
def document(versions: VersionHolder) -> Any:
    return json.loads(json.dumps(openapi("tiny", versions.current.loaded, ServingSettings())))


def validator(document: Any, name: str) -> jsonschema.Draft202012Validator:
    schema = {**document, "$ref": f"#/components/schemas/{name}"}
    return jsonschema.Draft202012Validator(schema)


def test_every_reference_leads_somewhere(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    names = document["components"]["schemas"].keys()
    text = json.dumps(document)
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.split('"')[0] in names
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_paths_are_those_that_answer(document: Any) -> None:
    posts = ("predict", "feedback", "promote", "rollback")
    gets = ("status", "health", "openapi.json")
    paths = {path: [*found] for path, found in document["paths"].items() if "/v2" not in path}
    assert paths == {
        **{f"/tiny/{route}": ["post"] for route in posts},
        **{f"/tiny/{route}": ["get"] for route in gets},
    }


def test_releases_ask_for_the_operators_token(document: Any) -> None:
    guarded = [path for path, found in document["paths"].items() if "security" in found.get("post", {})]
    assert guarded == ["/tiny/promote", "/tiny/rollback"]
    assert document["components"]["securitySchemes"]["operator"]["scheme"] == "bearer"


def test_what_asks_for_a_token_says_so(versions: VersionHolder) -> None:
    found: Any = openapi("tiny", versions.current.loaded, ServingSettings(auth="token"))
    schemes = {
        path.removeprefix("/tiny/"): one.get("security")
        for path, item in found["paths"].items()
        for one in item.values()
        if "/v2" not in path
    }
    user, operator = [{"token": []}], [{"operator": []}]
    assert schemes == {
        **dict.fromkeys(("predict", "feedback", "openapi.json"), user),
        **dict.fromkeys(("promote", "rollback", "status"), operator),
        "health": None,
    }
    assert found["components"]["securitySchemes"].keys() == {"operator", "token"}
    page = docs_page("tiny", versions.current.loaded, "h:1", ServingSettings(auth="token"))
    assert page.count("authorization: Bearer $TOKEN") == 2


def test_the_example_is_a_valid_request(versions: VersionHolder, document: Any) -> None:
    loaded = versions.current.loaded
    body: Json = example_request(loaded)
    validator(document, "PredictRequest").validate(body)
    request = loaded.schema.parse(json.dumps(body).encode(), 10)
    assert not isinstance(request.rows[0], RowError)


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"size": 3, "colour": "red", "member": True},
        {"size": 3, "colour": "red", "member": True, "amount": None, "seen": None, "note": [1]},
        {"size": 3, "colour": "red", "member": None},
        {"size": 3.5, "colour": "red", "member": True},
        {"size": 3, "colour": 1, "member": True},
        {"size": 3, "colour": "red", "member": 1},
        {"size": 3, "colour": "red", "member": True, "amount": "1"},
        {"size": 3, "colour": "red", "member": True, "unknown": 1},
        {"size": True, "colour": "red", "member": True},
        5,
    ],
)
def test_the_document_and_the_decoder_agree(versions: VersionHolder, document: Any, row: object) -> None:
    schema: RequestSchema = versions.current.loaded.schema
    parsed = schema.parse(json.dumps({"rows": [row]}).encode(), 10)
    assert validator(document, "Row").is_valid(row) != isinstance(parsed.rows[0], RowError)


def test_the_page_loads_nothing_and_escapes_what_it_shows(versions: VersionHolder) -> None:
    page = docs_page("tiny", versions.current.loaded, 'evil"><script>', ServingSettings())
    assert "<script" not in page
    assert "src=" not in page
    assert "HOST:PORT" in page
    for column in ("amount", "size", "colour", "member", "seen"):
        assert f"<td>{html.escape(column)}<td>" in page


def test_the_call_survives_a_shell() -> None:
    body: Json = {"rows": [{"name": 'it\'s "x" $HOME `id` ü'}]}
    words = shlex.split(curl("http://h:1/tiny", "predict", body))
    assert words[:4] == ["curl", "-X", "POST", "http://h:1/tiny/predict"]
    assert json.loads(words[-1]) == body
