"""The command that `raypipe up` prints, and runs: it shows the token to the endpoint and to nobody else."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from raypipe.api.pipeline import Deployment
from raypipe.cli.work import _curl, _printed, _run_curl
from raypipe.serving.token import keep_token

TOKEN = "t" * 64


@pytest.fixture
def url() -> Iterator[str]:
    """Yield the URL of a server that answers what it was shown."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer = json.dumps({"shown": self.headers["authorization"], "rows": body["rows"]}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/tiny"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("without_curl", [False, True])
@pytest.mark.parametrize("has_token", [False, True])
def test_the_call_and_what_is_shown(
    url: str, tmp_path: Path, has_token: bool, without_curl: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "it's a token" if has_token else None
    if file is not None:
        keep_token(file, TOKEN)
    row = {"name": "it's"}
    command = _curl(Deployment(url, "v1", None, None, file, row))
    printed = _printed(command, file)
    assert TOKEN not in " ".join(command) + printed
    if without_curl:
        monkeypatch.setenv("PATH", "")
        answer = _run_curl(command, file)
    else:
        answer = _run_curl(command, file)
        again = subprocess.run(["sh", "-c", printed], capture_output=True, text=True, check=True)
        assert again.stdout == answer
    assert json.loads(answer) == {"shown": f"Bearer {TOKEN}" if has_token else None, "rows": [row]}
