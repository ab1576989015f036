"""`raypipe status`, `predict`, `feedback`, `promote`, `rollback` and `history`: the endpoint and its past."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli.output import DEFAULT_CONFIG, ConfigArgument, JsonOption, emit, opened, read_text, table
from raypipe.cli.signals import outlook_lines, window_lines
from raypipe.core.errors import ConfigError, EndpointUnavailable
from raypipe.core.ids import Json

if TYPE_CHECKING:
    from raypipe.api.releases import Released
    from raypipe.api.status import Status
    from raypipe.config.settings import Config
    from raypipe.data.sinks import Sink
    from raypipe.data.sources.source import Source
    from raypipe.registry.values import LedgerEntry
    from raypipe.serving.releases import Releases

_HIDDEN = ("at", "controller", "manifest_sha256")
"""What `history` leaves to `--json`, as it does long texts and lists."""
_N_RETRIES = 3
"""Tries that `predict` adds where an answer is lost; where no endpoint is up, that is told in two seconds."""
FileOption = Annotated[
    str,
    typer.Option("--file", help="A JSON or JSON-lines file of rows; - reads standard input.", metavar="FILE"),
]
LabelsOption = Annotated[
    str,
    typer.Option(
        "--file",
        help="JSON, or a table: Parquet, CSV, JSON lines, a Delta folder; - reads JSON from standard input.",
        metavar="FILE",
    ),
]
FormatOption = Annotated[
    str | None,
    typer.Option(help="Of FILE, where its name does not tell: parquet, csv, jsonl, delta.", metavar="FORMAT"),
]
UrlOption = Annotated[
    str | None,
    typer.Option(help="A database instead, such as 'postgresql+psycopg://me:${PASSWORD}@host/base'."),
]
ToOption = Annotated[
    str | None,
    typer.Option("--to", help="Write the answers to a topic instead.", metavar="kafka://HOST:PORT/TOPIC"),
]
ProducerConfigOption = Annotated[
    str | None,
    typer.Option(
        "--producer-config",
        help="A file of Kafka client settings for --to, a KEY=VALUE a line.",
        metavar="FILE",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (status, predict, feedback, promote, rollback, history):
        app.command()(command)


def status(config: ConfigArgument = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show which version serves, how the endpoint is doing, and where the dashboard is."""
    from raypipe.api.status import read_status

    found = read_status(*opened(config))
    emit(found.to_json(), as_json, lambda: _status_lines(found))


def predict(
    config: ConfigArgument = DEFAULT_CONFIG,
    file: FileOption = "-",
    offline: Annotated[
        bool, typer.Option("--offline", help="Answer in this process, with no endpoint and no capture.")
    ] = False,
    to: ToOption = None,
    producer_config: ProducerConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask for the predictions of rows, at the endpoint; print them, or send each to a Kafka topic."""
    sink = None if to is None else sink_at(to, producer_config)
    rows = _items(read_text(file), "rows")
    answers = _offline(config, rows) if offline else _asked(config, rows)
    if sink is None:
        emit(answers, as_json, lambda: (json.dumps(answer, ensure_ascii=False) for answer in answers))
        return
    _send(answers, sink)
    emit(
        {"to": to, "n_rows": len(answers)}, as_json, lambda: [f"{len(answers):,} answers are written to {to}"]
    )


def feedback(
    config: ConfigArgument = DEFAULT_CONFIG,
    file: LabelsOption = "-",
    format: FormatOption = None,
    url: UrlOption = None,
    query: Annotated[str | None, typer.Option(help="A SELECT for --url.", metavar="SQL")] = None,
    id_column: Annotated[str, typer.Option(help="The column of the predictions' ids.")] = "id",
    label_column: Annotated[str, typer.Option(help="The column of what was true of them.")] = "label",
    as_json: JsonOption = False,
) -> None:
    """Send labels by prediction id, one or many: rows such as {"id": "...", "label": "A"}.

    A table may have more columns; rows without a label yet are left out. What the endpoint does not answer is
    sent again a few times, and to send labels again does no harm: the last one of an id counts.
    """
    from raypipe.api.labels import LabelColumns, read_labels, send_labels
    from raypipe.api.status import endpoint_spec

    pipeline, _ = opened(config)
    source = _label_source(file, format, url, query)
    if source is None:
        batches = iter([_items(read_text(file), "labels")])
    else:
        batches = read_labels(source, LabelColumns(id_column, label_column))
    with _hinting():
        sent = send_labels(endpoint_spec(pipeline), batches, max_retries=_N_RETRIES).to_json()
    emit(sent, as_json, lambda: [json.dumps(sent, ensure_ascii=False)])


def promote(
    version: Annotated[str, typer.Argument(help="A model version, such as v2.", metavar="VERSION")],
    config: ConfigArgument = DEFAULT_CONFIG,
    reason: Annotated[str, typer.Option(help="Why, for the history.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Make a version the champion; the endpoint swaps to it in place, or refuses it and goes on."""
    from raypipe.api import releases

    _emit_release(releases.promote(*_releases(config), version, reason=reason), as_json)


def rollback(config: ConfigArgument = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Make the version that served before the champion again."""
    from raypipe.api import releases

    _emit_release(releases.rollback(*_releases(config)), as_json)


def history(
    config: ConfigArgument = DEFAULT_CONFIG,
    limit: Annotated[int, typer.Option(help="How many entries.", min=1)] = 50,
    as_json: JsonOption = False,
) -> None:
    """List what happened to the pipeline, newest first."""
    pipeline, registry = opened(config)
    entries = registry.history(pipeline.name, limit)
    emit([_entry_json(entry) for entry in entries], as_json, lambda: _history_lines(entries))


def _offline(config: str, rows: list[Json]) -> list[Json]:
    from raypipe.api.pipeline import load

    return load(config).predict([row for row in rows if isinstance(row, dict)])


def sink_at(to: str, producer_config: str | None) -> Sink:
    """Return the sink at an address, with the client's settings from a file; raises ConfigError."""
    from raypipe.data.sinks import open_sink, read_properties

    return open_sink(to, read_properties(read_text(producer_config)) if producer_config else {})


def _send(answers: list[Json], sink: Sink) -> None:
    from raypipe.data.sources.records import UNDECLARED, records_table

    items = [answer for answer in answers if isinstance(answer, dict)]
    sink.write(records_table(items, "the answers", UNDECLARED))


def _asked(config: str, rows: list[Json]) -> list[Json]:
    from raypipe.api.client.clients import Client
    from raypipe.api.status import endpoint_spec

    pipeline, _ = opened(config)
    spec = endpoint_spec(pipeline)
    limits = spec.settings
    with Client(
        spec.url,
        spec.token(),
        max_retries=_N_RETRIES,
        max_rows=limits.max_rows,
        max_body_bytes=limits.max_body_bytes,
    ) as client:
        with _hinting():
            answers = client.predict(rows)
        return [answer.to_json() for answer in answers]


@contextmanager
def _hinting() -> Iterator[None]:
    """Say what to do where no endpoint answers."""
    try:
        yield
    except EndpointUnavailable as error:
        raise EndpointUnavailable(f"{error} Start it with `raypipe up`.") from error


def _items(text: str, key: str) -> list[Json]:
    """Read a JSON list, an object that holds it under `key`, or one JSON object a line."""
    try:
        value: Json = json.loads(text)
    except ValueError:
        return [_line(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    inner = value.get(key) if isinstance(value, Mapping) else value
    return list(inner) if isinstance(inner, list) else [value]


def _line(number: int, line: str) -> Json:
    try:
        value: Json = json.loads(line)
    except ValueError as error:
        raise ConfigError(
            f"FILE must hold JSON, one object a line. Line {number} does not: {error}."
        ) from error
    return value


def _label_source(file: str, format: str | None, url: str | None, query: str | None) -> Source | None:
    """Return the table that holds labels; None for JSON, whose items go as they are."""
    from raypipe.api.labels import FORMATS, format_of, label_source
    from raypipe.config.yaml_text import with_variables

    if (url is None) != (query is None):
        raise ConfigError("--url and --query must be given together: a database and a SELECT.")
    if url is not None:
        return label_source({"format": "sql", "url": with_variables(url), "query": query})
    found = format or format_of(file)
    if found is None:
        return None
    if found not in FORMATS[:-1]:
        raise ConfigError(f"--format must be one of {', '.join(FORMATS[:-1])}. Got {found!r}.")
    return label_source({"format": found, "path": file})


def _releases(config: str) -> tuple[Config, Releases]:
    from raypipe.serving.releases import Releases

    pipeline, registry = opened(config)
    return pipeline, Releases(registry, pipeline.folder)


def _emit_release(released: Released, as_json: bool) -> None:
    emit(released.to_json(), as_json, lambda: _release_lines(released))


def _release_lines(released: Released) -> Iterator[str]:
    yield f"{released.version} is the champion, epoch {released.epoch}"
    if released.url is None:
        yield f"released in the home, over no endpoint: {released.because}"
    else:
        yield f"released over HTTP by {released.url}, which answers with it"


def _status_lines(status: Status) -> Iterator[str]:
    yield f"{status.pipeline} in {status.home}"
    yield f"champion     {status.champion or 'none yet'}"
    yield f"challenger   {status.challenger or 'none yet'}"
    yield f"data         {status.data_version or 'none yet'}"
    yield f"versions     {status.n_model_versions}"
    if status.endpoint is None:
        yield f"endpoint     down: {status.because}"
    else:
        answers = f"answers with {status.endpoint.version}, epoch {status.endpoint.epoch}"
        yield f"endpoint     {status.url} {answers}"
        yield from _replica_lines(status.endpoint.details)
    yield f"controller   {status.phase}"
    yield from (f"             {line}" for line in status.rollout)
    if status.window is not None:
        yield from window_lines(status.window)
    yield from outlook_lines(status.outlook)
    if status.dashboard_url:
        yield f"dashboard    {status.dashboard_url}"


def _replica_lines(details: Mapping[str, Json]) -> Iterator[str]:
    n_rows, n_failed = details.get("n_rows", 0), details.get("n_failed_rows", 0)
    yield f"requests     {details.get('n_requests', 0)}; rows {n_rows}, of which {n_failed} got an error"
    match details.get("capture"):
        case {"n_captured": int(kept), "n_not_captured": int(lost), "why_not": why, "n_left_out": int(rest)}:
            left_out = f", {rest} left out by sample_ratio" if rest else ""
            yield f"captured     {kept} rows{left_out}, not captured {lost}" + (f": {why}" if why else "")
    match details.get("refused"):
        case {"version": version, "message": message}:
            yield f"refused      {version}: {message}"


def _entry_json(entry: LedgerEntry) -> Json:
    return {
        "seq": entry.seq,
        "at": entry.at.isoformat(),
        "kind": entry.kind,
        "subject": entry.subject,
        "detail": entry.detail,
    }


def _history_lines(entries: Sequence[LedgerEntry]) -> Iterator[str]:
    if not entries:
        yield "nothing happened yet; `raypipe run` or `raypipe up` begins."
        return
    rows = [(str(e.seq), f"{e.at:%Y-%m-%d %H:%M:%S}", e.kind, e.subject, _detail(e.detail)) for e in entries]
    yield from table(("no.", "at", "what", "of", "detail"), rows)


def _detail(detail: Json) -> str:
    if not isinstance(detail, Mapping):
        return "" if detail is None else str(detail)
    told = (f"{key} {value}" for key, value in detail.items() if key not in _HIDDEN and _is_short(value))
    return ", ".join(told)


def _is_short(value: Json) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and 0 < len(value) <= 60)
