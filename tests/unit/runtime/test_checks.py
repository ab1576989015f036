"""Each judgement on facts that are right, and on facts that are not, with advice only for those."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest
from packaging.requirements import Requirement

from raypipe.runtime import checks
from raypipe.runtime.checks import Check
from raypipe.serving.config import ServingSettings

REQUIRED = (Requirement("ray[serve]>=2.60,<2.62"), Requirement("polars>=2.1,<3"))
EXPECTED = {
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response\n    option http-buffer-request",
    "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": "30",
}


def packages(**installed: str) -> Check:
    def version_of(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    return checks.check_packages(REQUIRED, version_of)


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        (checks.check_python((3, 11, 0)), checks.check_python((3, 10, 9)), "3.10.9"),
        (packages(ray="2.61.1", polars="2.1.0"), packages(ray="2.62.0", polars="2.1.0"), "found 2.62.0"),
        (packages(ray="2.60.0", polars="2.9"), packages(ray="2.60.0"), "polars<3,>=2.1 (found none)"),
        (checks.check_memory(8 * 10**9), checks.check_memory(10**9), "1.0 GB free"),
        (checks.check_cores(2), checks.check_cores(1), "1"),
        (checks.check_shared_memory(10**9, 10**9), checks.check_shared_memory(64 * 2**20, 10**9), "0.1 GB"),
        (checks.check_haproxy(True, True), checks.check_haproxy(True, False), "absent"),
        (
            checks.check_auth(ServingSettings(host="0.0.0.0")),
            checks.check_auth(ServingSettings(host="0.0.0.0", auth="off")),
            "whoever reaches 0.0.0.0 is answered",
        ),
        (
            checks.check_environment({"A": "1", "B": "x"}, {"A": "1"}),
            checks.check_environment({}, {"A": "1"}),
            "A='' instead of '1'",
        ),
        (
            checks.check_haproxy_config(
                "global\n    retry-on conn-failure  empty-response\n option http-buffer-request\n"
                " timeout server 30s\n",
                EXPECTED,
            ),
            checks.check_haproxy_config("    retry-on conn-failure\n    timeout server 30s", EXPECTED),
            "1 of 3; absent: option http-buffer-request, retry-on conn-failure empty-response",
        ),
        (
            checks.check_ray_version("2.60.0", "2.60.0"),
            checks.check_ray_version("2.59.0", "2.60.0"),
            "2.59.0",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Check) else "",
)
def test_judgement(good: Check, bad: Check, said: str) -> None:
    assert good.ok
    assert good.advice == ""
    assert not bad.ok
    assert said in bad.detail
    assert bad.advice.endswith(".")


def test_a_system_without_what_is_judged() -> None:
    assert checks.check_shared_memory(None, 10**9).ok
    assert checks.check_haproxy(False, False).ok
