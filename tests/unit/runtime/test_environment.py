"""What the environment of a new Ray holds, and what it must not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raypipe.runtime.environment import MARK, cluster_environment, late_answer, merged
from raypipe.runtime.state import Ports

FOLDER = Path("/tmp/rp-01234567")


def variables(ports: Ports, *, haproxy: bool = True, n_cpus: int = 2) -> dict[str, str]:
    return cluster_environment(
        id="ab",
        folder=FOLDER,
        token_file=FOLDER / "token",
        ports=ports,
        n_cpus=n_cpus,
        body_timeout_s=2.5,
        haproxy=haproxy,
    )


def test_token_loopback_and_mark(ports: Ports) -> None:
    found = variables(ports)
    assert found[MARK] == "ab"
    assert found["RAY_AUTH_MODE"] == "token"
    assert found["RAY_AUTH_TOKEN_PATH"] == "/tmp/rp-01234567/token"
    assert found["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"


def test_only_conditions_that_cannot_repeat_back_pressure_are_retried(ports: Ports) -> None:
    conditions, *_ = variables(ports)["RAY_SERVE_HAPROXY_RETRY_ON"].splitlines()
    assert conditions.split() == ["conn-failure", "empty-response", "response-timeout"]
    assert int(variables(ports)["RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S"]) > 0


def test_requests_are_whole_before_a_replica_sees_them_and_come_in_time(ports: Ports) -> None:
    _, *lines = variables(ports)["RAY_SERVE_HAPROXY_RETRY_ON"].splitlines()
    assert [line.strip() for line in lines] == [
        "option http-buffer-request",
        "timeout http-request 2500ms",
        f"errorfile 408 {FOLDER}/haproxy/408.http",
    ]


def test_what_haproxy_answers_to_a_request_that_does_not_come() -> None:
    head, _, body = late_answer(2.5).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"content-length: %d" % len(body) in head.splitlines()
    assert json.loads(body) == {
        "error": {"message": "a request must come within 2.5 seconds (serving.body_timeout_s)."}
    }


def test_every_path_of_haproxy_is_the_home_s_own(ports: Ports) -> None:
    paths = [value for value in variables(ports).values() if value.startswith("/")]
    assert len(paths) == 6
    assert all(path.startswith(str(FOLDER)) for path in paths)


def test_without_the_wheel_serve_s_own_proxy_is_used(ports: Ports) -> None:
    found = variables(ports, haproxy=False)
    assert not any("HAPROXY" in name or "HA_PROXY" in name for name in found)
    assert found["RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S"] == "1"


@pytest.mark.parametrize(("n_cpus", "n_threads"), [(1, "1"), (2, "2"), (64, "4")])
def test_threads_of_haproxy(ports: Ports, n_cpus: int, n_threads: str) -> None:
    assert variables(ports, n_cpus=n_cpus)["RAY_SERVE_HAPROXY_NBTHREAD"] == n_threads


def test_what_points_elsewhere_is_left_out() -> None:
    base = {"PATH": "/bin", "RAY_ADDRESS": "other:6379", "RAY_AUTH_TOKEN": "x", "A": "1"}
    assert merged(base, {"A": "2"}) == {"PATH": "/bin", "A": "2"}
