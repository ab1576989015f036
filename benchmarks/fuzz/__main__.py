"""The command: bring up a quickstart, send it nonsense, and say what became of it."""

from __future__ import annotations

import argparse
import json
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
from benchmarks.fuzz.secrets import grpc_answer, leaks, open_ports
from raypipe.api.status import endpoint_spec
from raypipe.control.traffic import read_window
from raypipe.runtime.processes import marked
from raypipe.runtime.state import read_cluster
from raypipe.serving import client
from raypipe.serving.spec import EndpointSpec

SERVING = {"auth": "token", "max_body_bytes": 1_000_000, "body_timeout_s": 1}
SCHEMATHESIS = "schemathesis>=4,<5"
FAILED = "the controller's look failed"
REFUSED = "UNAUTHENTICATED"
CHECKS = ",".join(
    (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
        "unsupported_method",
    )
)


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
    # `raypipe up` has asked for a prediction.
    wait_for(lambda: is_moved(place.config.folder), "empty write-ahead log")
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
    yield from _secrets(place)
    yield from _looks(place)
    if environment is not None and (n_failed := _schemathesis(environment, spec)):
        yield f"schemathesis failed {n_failed} of 2 times"
    if (after := _workers(place)) != before:
        yield f"workers were {before}, and are {after}"
    sys.stdout.write(f"workers: {len(before)}, none lost\n" if after == before else "")


def _secrets(place: Place) -> Iterator[str]:
    """Say who listens beyond this machine, and yield what a token should not have got to."""
    spec, cluster = endpoint_spec(place.config), read_cluster(place.config.root)
    if cluster is None or spec.token_file is None:
        raise SystemExit(f"{place.folder} has no Ray any more, or no token.")
    ports = open_ports(marked(cluster.id))
    answers = {port: grpc_answer(port) for name, port in ports if "ServeRepl" in name}
    told = ", ".join(f"{name} {port} {answers.get(port, '')}".rstrip() for name, port in ports)
    sys.stdout.write(f"listening beyond this machine: {told or 'nothing'}\n")
    yield from (
        f"port {port} answers {answer} to no token" for port, answer in answers.items() if answer != REFUSED
    )
    files = (spec.token_file, spec.operator_token_file)
    for token in (spec.token(), spec.status_token()):
        found = leaks(token or "", (place.folder, Path(cluster.folder)), files)
        yield from (f"a token is in {where}" for where in found)


def _looks(place: Place) -> Iterator[str]:
    """Wait until the controller has measured what was captured, and yield each way in which a look failed."""
    n_rows = captured(place).total()
    wait_for(lambda: _n_measured(place) >= n_rows, f"look of the controller at all {n_rows:,} rows")
    sys.stdout.write(f"the controller has looked at {n_rows:,} rows\n")
    cluster = read_cluster(place.config.root)
    logs = Path(cluster.folder).rglob("worker-*.err") if cluster is not None else ()
    failed = [line for log in logs for line in log.read_text(errors="replace").splitlines() if FAILED in line]
    yield from (line[-300:] for line in failed[:3])


def _n_measured(place: Place) -> int:
    window = read_window(place.config.folder)
    return 0 if window is None else window.labels.n_predictions + window.labels.n_redelivered


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


def _schemathesis(folder: Path, spec: EndpointSpec) -> int:
    """Run Schemathesis over the OpenAPI document, once with each token; return how often it failed."""
    program = folder / "bin" / "schemathesis"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [
            str(folder / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        subprocess.run([*pip, SCHEMATHESIS], check=True)
    document = folder / "openapi.json"
    document.write_text(json.dumps(client.ask(spec.url, "GET", "openapi.json", token=spec.token()).body))
    base = spec.url.removesuffix(f"/{spec.name}")
    line = [str(program), "run", str(document), "--url", base, "--checks", CHECKS, "--seed", "1"]
    line += ["--max-examples", "300", "--continue-on-failure"]
    users, operators = "/(predict|feedback|openapi.json|health)$", "/(promote|rollback|status)$"
    n_failed = 0
    for routes, token in ((users, spec.token()), (operators, spec.status_token())):
        shown = ["--include-path-regex", routes, "--header", f"authorization: Bearer {token}"]
        n_failed += subprocess.run([*line, *shown], check=False, cwd=folder).returncode != 0
    return n_failed


if __name__ == "__main__":
    main()
