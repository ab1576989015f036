"""`raypipe run`, `up` and `down`: do the work, put it behind a URL, end what was started."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli.explain import explained
from raypipe.cli.models import leaderboard_lines
from raypipe.cli.output import DEFAULT_CONFIG, ConfigArgument, JsonOption, emit, interruptible
from raypipe.cli.progress import shown
from raypipe.core.ids import Json
from raypipe.core.progress import Progress, Step
from raypipe.training.importance import summary_of

if TYPE_CHECKING:
    from pathlib import Path

    from raypipe.api.pipeline import Deployment, Pipeline
    from raypipe.config.settings import Config
    from raypipe.pipeline import Outcome

CURL_TIMEOUT_S = 30
AddressOption = Annotated[
    str | None, typer.Option(help="An existing Ray to use, such as 10.0.0.5:6379.", metavar="HOST:PORT")
]
ExplainOption = Annotated[
    bool,
    typer.Option("--explain", help="Say what would be done, where and with what, and do nothing."),
]
DataOption = Annotated[
    str | None,
    typer.Option(help="A data version to learn from, instead of what the sources hold.", metavar="VERSION"),
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Learn again, even from rows and settings learned from before.")
]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (run, up, down):
        app.command()(command)


def run(
    config: ConfigArgument = DEFAULT_CONFIG,
    address: AddressOption = None,
    force: ForceOption = False,
    data: DataOption = None,
    explain: ExplainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Go from the sources to a registered model version, and show the leaderboard."""
    if explain:
        explained(_config(config, address), as_json, serve=False, force=force, data=data)
        return
    with interruptible(), shown() as progress:
        outcome = _pipeline(config, address, progress).run(force=force, data=data)
    emit(_outcome_json(outcome), as_json, lambda: _outcome_lines(outcome))


def up(
    config: ConfigArgument = DEFAULT_CONFIG,
    address: AddressOption = None,
    force: ForceOption = False,
    explain: ExplainOption = False,
    as_json: JsonOption = False,
) -> None:
    """Start Ray if need be, run the loop, and put the champion behind a URL that outlives this command."""
    if explain:
        explained(_config(config, address), as_json, serve=True, force=force)
        return
    with interruptible(), shown() as progress:
        outcome, deployment = _pipeline(config, address, progress).up(force=force)
        command = _curl(deployment)
        progress(Step("answer", "asking for a prediction"))
        answer = _run_curl(command, deployment.serving_token_file)
    emit(
        {
            **_outcome_json(outcome),
            **_deployment_json(deployment),
            "curl": _printed(command, deployment.serving_token_file),
            "answer": answer,
        },
        as_json,
        lambda: _up_lines(outcome, deployment, command, answer),
    )


def down(config: ConfigArgument = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """End the Ray that `up` started, and the endpoints on it; the home and what is in it stay."""
    from raypipe.api.pipeline import load

    with shown() as progress:
        ended = load(config, progress=progress).down()
    emit(
        {"ended": ended},
        as_json,
        lambda: ["ended." if ended else "nothing to end: this home has started no Ray, or it is gone."],
    )


def _pipeline(config: str, address: str | None, progress: Progress) -> Pipeline:
    from raypipe.api.pipeline import Pipeline

    return Pipeline.of(_config(config, address), progress=progress)


def _config(path: str, address: str | None) -> Config:
    from raypipe.config.load import load_config

    loaded = load_config(path)
    if address is None:
        return loaded
    cluster = loaded.cluster.model_copy(update={"address": address})
    return loaded.model_copy(update={"cluster": cluster})


def _outcome_json(outcome: Outcome) -> dict[str, Json]:
    return {
        "run": outcome.run,
        "is_new": outcome.is_new,
        "before": list(outcome.before),
        "data_version": outcome.data.id,
        "version": outcome.version.version,
        "leaderboard": outcome.leaderboard.to_json(),
        "importance": None if outcome.importance is None else outcome.importance.to_json(),
    }


def _deployment_json(deployment: Deployment) -> dict[str, Json]:
    return {
        "url": deployment.url,
        "grpc_address": deployment.grpc_address,
        "serving": deployment.version,
        "dashboard_url": deployment.dashboard_url,
        "token_file": _path(deployment.token_file),
        "serving_token_file": _path(deployment.serving_token_file),
        "warning": deployment.warning,
    }


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _outcome_lines(outcome: Outcome) -> Iterator[str]:
    made = "registered" if outcome.is_new else "learned before from the same rows and settings"
    yield f"{outcome.version.version} {made}: {outcome.version.family}, on {outcome.data.id}"
    yield from outcome.before
    yield ""
    yield from leaderboard_lines(outcome.leaderboard)
    if outcome.importance is not None:
        yield ""
        yield from summary_of(outcome.importance)


def _up_lines(outcome: Outcome, deployment: Deployment, command: list[str], answer: str) -> Iterator[str]:
    yield from _outcome_lines(outcome)
    yield ""
    yield f"{deployment.version} answers at {deployment.url}"
    if deployment.warning:
        yield f"WARNING: {deployment.warning}"
    if deployment.version != outcome.version.version:
        yield f"{outcome.version.version} waits: `raypipe promote {outcome.version.version}` lets it answer."
    yield ""
    yield f"  {_printed(command, deployment.serving_token_file)}"
    yield f"  {answer}"
    yield ""
    yield f"OpenAPI: {deployment.url}/docs"
    if deployment.grpc_address:
        yield f"gRPC, Open Inference Protocol: {deployment.grpc_address}"
    if deployment.dashboard_url:
        yield f"Ray dashboard: {deployment.dashboard_url}"
        if deployment.token_file:
            yield f"  it asks for a token: cat {shlex.quote(str(deployment.token_file))}"


def _curl(deployment: Deployment) -> list[str]:
    body = json.dumps({"rows": [deployment.example]}, ensure_ascii=False)
    # A header from standard input: what stands in a command is seen by all users of the machine.
    shown = [] if deployment.serving_token_file is None else ["-H", "@-"]
    header = "content-type: application/json"
    return ["curl", "-sS", "-X", "POST", f"{deployment.url}/predict", *shown, "-H", header, "-d", body]


def _printed(command: list[str], token_file: Path | None) -> str:
    """Return the command for a POSIX shell, with what gives it the token where one is asked for."""
    told = shlex.join(command)
    if token_file is None:
        return told
    return f"printf 'authorization: Bearer %s' \"$(cat {shlex.quote(str(token_file))})\" | {told}"


def _run_curl(command: list[str], token_file: Path | None) -> str:
    """Run the command that was printed; where there is no curl, ask the same by Python."""
    from raypipe.serving.token import read_token

    token = None if token_file is None else read_token(token_file)
    if shutil.which(command[0]):
        shown = None if token is None else f"authorization: Bearer {token}"
        done = subprocess.run(
            command, input=shown, capture_output=True, text=True, timeout=CURL_TIMEOUT_S, check=False
        )
        return done.stdout.strip() or done.stderr.strip()
    from raypipe.serving import client

    url, body = command[command.index("POST") + 1], command[-1]
    return json.dumps(client.predict(url.removesuffix("/predict"), json.loads(body), token=token).body)
