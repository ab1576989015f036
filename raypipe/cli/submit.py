"""`raypipe submit`: the same config as a job on a Ray cluster that exists."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli.output import DEFAULT_CONFIG, ConfigArgument, JsonOption, emit, say_error
from raypipe.cli.progress import shown
from raypipe.core.errors import ClusterError, ConfigError
from raypipe.core.ids import Json

if TYPE_CHECKING:
    from raypipe.runtime.submit import Cluster, Submission


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command("submit")(submit)


def submit(
    address: Annotated[
        str, typer.Option(help="The dashboard of the cluster, such as http://10.0.0.5:8265.", metavar="URL")
    ],
    config: ConfigArgument = DEFAULT_CONFIG,
    up: Annotated[
        bool, typer.Option("--up", help="Run `raypipe up` there, which serves, not `raypipe run`.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Learn again, even from rows learned from.")] = False,
    job_id: Annotated[
        str | None, typer.Option("--id", help="What the job is called; none may be yet.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="A name or pattern of files to leave behind.", metavar="PATTERN")
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option(help="A variable that the job finds set.", metavar="NAME=VALUE")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the log to the end.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Run the config on an existing Ray cluster, and follow its log; exit code 1 where the job fails."""
    from raypipe.runtime.dashboard import dashboard_url
    from raypipe.runtime.submit import Cluster, Submission, require_portable
    from raypipe.runtime.submit import submit as send
    from raypipe.runtime.token import find_token

    variables = _variables(env or [])
    loaded = require_portable(Path(config), {**os.environ, **variables})
    cluster = Cluster(dashboard_url(address), find_token(os.environ, Path.home()))
    job = Submission(
        id=job_id or f"raypipe-{loaded.name}-{secrets.token_hex(4)}",
        config=Path(config),
        pipeline=loaded.name,
        command="up" if up else "run",
        force=force,
        exclude=tuple(exclude or ()),
        variables=tuple(variables.items()),
    )
    with shown(quiet=as_json) as progress:
        send(cluster, job, progress)
    if wait:
        _follow(cluster, job, as_json)
    else:
        emit(_sent_json(cluster, job), as_json, lambda: _sent_lines(cluster, job))


def _follow(cluster: Cluster, job: Submission, as_json: bool) -> None:
    from raypipe.runtime.submit import failure, follow

    with _leaving(cluster, job):
        ended = follow(cluster, job.id, _writer(to_stderr=as_json))
    emit(
        {**_sent_json(cluster, job), **ended.to_json()},
        as_json,
        lambda: [f"{job.id} succeeded"] if ended.ok else [],
    )
    if not ended.ok:
        raise ClusterError(failure(ended))


@contextmanager
def _leaving(cluster: Cluster, job: Submission) -> Iterator[None]:
    """Say what Ctrl-C leaves behind, then let it end the process."""
    try:
        yield
    except KeyboardInterrupt:
        say_error(f"the job goes on; `ray job stop {job.id} --address {cluster.url}` ends it.")
        raise


def _writer(*, to_stderr: bool) -> Callable[[str], None]:
    def write(text: str) -> None:
        if text:
            typer.echo(text, nl=False, err=to_stderr)

    return write


def _variables(given: list[str]) -> dict[str, str]:
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise ConfigError(f"--env must be NAME=VALUE. Got {text!r}.")
        pairs[name] = value
    return pairs


def _sent_json(cluster: Cluster, job: Submission) -> dict[str, Json]:
    return {"id": job.id, "dashboard_url": cluster.url, "entrypoint": job.entrypoint, "status": "SUBMITTED"}


def _sent_lines(cluster: Cluster, job: Submission) -> Iterator[str]:
    yield f"{job.id} is at work; `ray job logs {job.id} --address {cluster.url} --follow` shows how far it is"
