from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from raypipe.core.errors import ConfigError
from raypipe.serving.config import ReplicaSettings, ServingSettings
from raypipe.serving.spec import EndpointSpec, code_id
from raypipe.serving.token import keep_token

SPEC = EndpointSpec("tiny", Path("/tmp/home"), ServingSettings(port=8123))


def test_the_url_is_where_a_client_on_this_machine_asks() -> None:
    assert SPEC.url == "http://127.0.0.1:8123/tiny"
    everywhere = replace(SPEC, settings=ServingSettings(host="0.0.0.0"))
    assert everywhere.url == "http://127.0.0.1:8000/tiny"
    assert replace(SPEC, settings=ServingSettings(host="::1")).url == "http://[::1]:8000/tiny"


def test_the_address_of_grpc_is_where_a_client_on_this_machine_asks() -> None:
    assert SPEC.grpc_address is None
    for host, address in (("localhost", "localhost:9"), ("0.0.0.0", "127.0.0.1:9"), ("::1", "[::1]:9")):
        settings = ServingSettings(host=host, grpc_port=9)
        assert replace(SPEC, settings=settings).grpc_address == address


def test_the_id_follows_name_home_settings_and_code(monkeypatch: pytest.MonkeyPatch) -> None:
    others = [
        replace(SPEC, name="other"),
        replace(SPEC, home=Path("/tmp/elsewhere")),
        replace(SPEC, settings=ServingSettings(port=8123, replicas=ReplicaSettings(max=2))),
    ]
    ids = {spec.id for spec in (SPEC, *others)}
    monkeypatch.setattr("raypipe.serving.spec.code_id", lambda: "c-other")
    assert len(ids | {SPEC.id}) == 5


def test_equal_specs_have_equal_ids_also_after_a_journey() -> None:
    assert pickle.loads(pickle.dumps(SPEC)) == SPEC
    assert pickle.loads(pickle.dumps(SPEC)).id == SPEC.id
    assert code_id() == code_id()


def test_a_name_that_cannot_be_a_folder_is_refused() -> None:
    with pytest.raises(ConfigError, match="name must start with a letter"):
        _ = replace(SPEC, name="../x").folder


@pytest.mark.parametrize(
    ("settings", "file"),
    [
        ({}, None),
        ({"host": "localhost"}, None),
        ({"host": "::1"}, None),
        ({"host": "127.8.0.1"}, None),
        ({"host": "0.0.0.0"}, "/tmp/home/serving.token"),
        ({"host": "10.0.0.5"}, "/tmp/home/serving.token"),
        ({"host": "::"}, "/tmp/home/serving.token"),
        ({"host": "box.example"}, "/tmp/home/serving.token"),
        ({"host": "0.0.0.0", "auth": "off"}, None),
        ({"auth": "token"}, "/tmp/home/serving.token"),
        ({"token_file": "/run/secret"}, "/run/secret"),
        ({"token_file": "/run/secret", "auth": "off"}, None),
    ],
)
def test_a_token_is_asked_for_wherever_others_reach_the_endpoint(settings: dict, file: str | None) -> None:
    spec = replace(SPEC, settings=ServingSettings(**settings))
    assert spec.token_file == (None if file is None else Path(file))
    assert spec.settings.is_open == (spec.settings.host == "0.0.0.0" and file is None)


def test_what_a_client_in_the_home_shows(tmp_path: Path) -> None:
    spec = EndpointSpec("tiny", tmp_path, ServingSettings(auth="token"))
    assert (spec.token(), spec.status_token()) == (None, None), "the endpoint says what is missing"
    keep_token(tmp_path / "serving.token", "s" * 64)
    keep_token(tmp_path / "operator.token", "o" * 64)
    assert (spec.token(), spec.status_token()) == ("s" * 64, "o" * 64)
    assert (replace(spec, settings=ServingSettings()).token()) is None
