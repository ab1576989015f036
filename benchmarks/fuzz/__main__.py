"""The command: bring up a quickstart, send it nonsense, and say what became of it."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.faults.audit import captured, is_moved
from benchmarks.faults.place import Place, quickstart, wait_for
from benchmarks.fuzz.kinds import Target
from benchmarks.fuzz.report import Report, differences, run
from raypipe.api.status import endpoint_spec
from raypipe.serving import client

SERVING = {"auth": "token", "max_body_bytes": 1_000_000, "body_timeout_s": 5}
SCHEMATHESIS = "schemathesis>=4,<5"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def main() -> None:
    """Fuzz, and end with an error where anything broke."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fuzz", description="An endpoint under nonsense."
    )
    parser.add_argument("--port", type=int, default=8000, help="of the endpoint that it brings up")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--schemathesis", type=Path, metavar="FOLDER", help="run it too, in an environment made there"
    )
    asked = parser.parse_args()
    with quickstart(asked.port, serving=SERVING) as place:
        problems = [*_fuzzed(place, asked.requests, asked.seed, asked.schemathesis)]
    for problem in problems:
        sys.stdout.write(f"BROKEN: {problem}\n")
    sys.exit(bool(problems))


def _fuzzed(place: Place, n: int, seed: int, environment: Path | None) -> Iterator[str]:
    spec = endpoint_spec(place.config)
    token, parts = spec.token(), urlsplit(spec.url)
    document = client.ask(spec.url, "GET", "openapi.json", token=token).body
    if not isinstance(document, dict):
        raise SystemExit(f"{spec.url}/openapi.json must be an object. Got {str(document)[:200]}.")
    target = Target.of(document, (("authorization", f"Bearer {token}"),))
    before, already = _workers(place), captured(place)
    start = time.monotonic()
    report = run(parts.hostname or "", parts.port or 0, target, n=n, seed=seed)
    _tell(report, time.monotonic() - start)
    for came in report.broken[:20]:
        yield f"{came.asked.kind}: {came.status} {came.error} {came.body[:200]!r}"
    wait_for(lambda: is_moved(place.config.folder), "empty write-ahead log")
    lacking, unheard = differences(report.ids + already, captured(place).elements())
    sys.stdout.write(
        f"answered predictions: {report.ids.total():,}; of these not in the table: {lacking.total():,}; "
        f"in the table and not answered: {unheard.total():,}\n"
    )
    if lacking or unheard:
        yield f"the log lacks {lacking.total()}, and has {unheard.total()} that nobody got"
    if environment is not None and (status := _schemathesis(environment, spec.url, token)):
        yield f"schemathesis ended with {status}"
    if (after := _workers(place)) != before:
        yield f"workers were {before}, and are {after}"
    sys.stdout.write(f"workers: {len(before)}, none lost\n" if after == before else "")


def _workers(place: Place) -> list[tuple[int, float]]:
    """Return the process id and start of each replica and proxy."""
    words = ("ServeReplica", "haproxy", "ProxyActor")
    found = {process for word in words for process in place.processes(word)}
    return sorted((process.pid, process.create_time()) for process in found)


def _tell(report: Report, took_s: float) -> None:
    total: Counter[str] = sum(report.by_kind.values(), Counter())
    n_5xx = sum(n for status, n in total.items() if status.startswith("5"))
    sys.stdout.write("\n".join(report.lines()) + "\n")
    sys.stdout.write(
        f"{total.total():,} in {took_s:.0f} s; 5xx: {n_5xx}; connections lost: {total['lost']}\n"
    )


def _schemathesis(folder: Path, url: str, token: str | None) -> int:
    """Run Schemathesis over the OpenAPI document, in an environment of its own; return its exit status."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            SCHEMATHESIS,
        ]
        subprocess.run(install, check=True)
    line = [str(folder / "bin" / "schemathesis"), "run", f"{url}/openapi.json", "--checks", CHECKS]
    line += ["--header", f"authorization: Bearer {token}", "--seed", "1", "--max-examples", "200"]
    return subprocess.run(line, check=False).returncode


if __name__ == "__main__":
    main()
