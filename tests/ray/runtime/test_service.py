"""Serve builds the endpoint from a config of its own, as it does under KubeRay."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from raypipe.config.load import load_config
from raypipe.core.errors import ConfigError, ServingError
from raypipe.core.ids import Json
from raypipe.serving import client
from raypipe.serving.pointer import write_pointer
from raypipe.serving.token import read_token
from raypipe.testing.serving import write_tiny_version

CONFIG = """
name: tiny
home: home
data:
  sources: [{{name: rows, format: csv, path: rows.csv}}]
  label: outcome
serving: {{port: {port}}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    path = tmp_path / "raypipe.yaml"
    path.write_text(CONFIG.format(port=port))
    return path


@pytest.fixture
def served(local_ray: None, config: Path) -> Iterator[str]:
    """Release a version and let Serve run what its config names; yield the URL."""
    from ray import serve
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    loaded = load_config(config)
    write_pointer(loaded.folder.pointer, write_tiny_version(loaded.folder, "v1", 1))
    application = {
        "name": "tiny",
        "route_prefix": "/tiny",
        "import_path": "raypipe.runtime.service:application",
        "args": {"config": str(config)},
    }
    serve.start(http_options={"host": "127.0.0.1", "port": loaded.serving.port})
    wanted = ServeDeploySchema.model_validate({"applications": [application]})
    _get_global_client().deploy_apps(wanted, _blocking=True)
    yield f"http://127.0.0.1:{loaded.serving.port}/tiny"
    serve.shutdown()


def test_a_serve_config_brings_up_the_endpoint(served: str, config: Path) -> None:
    """It asks for tokens: Serve's own config says where it listens, and there that is everywhere."""
    home = load_config(config).root
    client.wait_for_epoch(served, 1, timeout_s=60, token=read_token(home.operator_token))
    rows: Json = {"rows": [{"amount": 1, "size": 3, "colour": "red", "member": True}]}
    asked = [client.predict(served, rows, token=token) for token in (None, read_token(home.serving_token))]
    assert [reply.status for reply in asked] == [401, 200]


def test_without_a_released_version_it_says_so(config: Path) -> None:
    from raypipe.runtime.service import application

    with pytest.raises(
        ServingError, match=r"no version of tiny is released in .*; run the pipeline there first"
    ):
        application({"config": str(config)})


@pytest.mark.parametrize("arguments", [{}, {"path": "x"}, {"config": "x", "more": "y"}])
def test_arguments_are_one_path(arguments: dict[str, str]) -> None:
    from raypipe.runtime.service import application

    with pytest.raises(ConfigError, match="args must have the one key config, a path"):
        application(arguments)
