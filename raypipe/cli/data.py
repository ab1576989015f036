"""`raypipe data`: which rows there are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from raypipe.cli import check, erase, explore, versions
from raypipe.cli.output import DEFAULT_CONFIG, ConfigArgument, JsonOption, emit, opened, table
from raypipe.core.errors import UnknownVersion
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json
from raypipe.data.versions import BrokenRule, DataVersion

app = typer.Typer(help="Data versions: which rows there are.", no_args_is_help=True)
versions.add_to(app)
explore.add_to(app)
check.add_to(app)
erase.add_to(app)


@app.command("log")
def log(config: ConfigArgument = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the data versions, newest first."""
    pipeline, registry = opened(config)
    found = registry.data_versions(pipeline.name)
    emit([version.to_json() for version in found], as_json, lambda: _log(found))


@app.command("show")
def show(
    version: Annotated[
        str, typer.Argument(help="A data version, such as d-0123456789ab.", metavar="VERSION")
    ],
    config: ConfigArgument = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show a data version: its files, what was left out, and the profile of each column."""
    pipeline, registry = opened(config)
    found = registry.data_version(pipeline.name, version)
    if found is None:
        raise UnknownVersion(
            f"VERSION must be one that `raypipe data log` lists for {pipeline.name}. Got {version!r}."
        )
    profile = _profile(pipeline.folder, found)
    emit({"version": found.to_json(), "profile": profile}, as_json, lambda: _show(found, profile))


def _profile(folder: PipelineHome, version: DataVersion) -> Json:
    """Return the profile of a version: as it was kept, else merged now; None where its rows are gone."""
    if version.removed_at is not None:
        return None
    path = folder.profile(version.content)
    if path.exists():
        profile: Json = json.loads(path.read_bytes())
        return profile
    if not folder.rows.exists():
        return None
    from raypipe.data.profiles import version_profile

    return version_profile(folder, version).to_json()


def _log(versions: tuple[DataVersion, ...]) -> Iterator[str]:
    if not versions:
        yield "no data version yet; `raypipe run` makes one."
        return
    rows = [
        (
            version.id,
            f"{version.created_at:%Y-%m-%d %H:%M:%S}",
            f"{version.n_rows:,}",
            f"{sum(rule.n_rows for rule in version.broken):,}",
            f"{version.n_unlabelled:,}",
            f"{len(version.fragments):,}",
            version.parent or "",
            version.state,
        )
        for version in versions
    ]
    yield from table(
        ("version", "created", "rows", "broken", "unlabelled", "fragments", "parent", "state"), rows
    )


def _show(version: DataVersion, profile: Json) -> Iterator[str]:
    yield f"{version.id}: {version.n_rows:,} rows, created {version.created_at:%Y-%m-%d %H:%M:%S} UTC"
    if version.parent:
        yield f"parent: {version.parent}"
    yield from _fate(version)
    if version.n_unlabelled:
        yield f"left out: {version.n_unlabelled:,} rows without a label"
    for rule in version.broken:
        yield _broken(rule)
    n_pieces = version.n_read + version.n_known
    yield f"{version.n_read:,} of {n_pieces:,} fragments read, {version.n_known:,} known before"
    yield ""
    yield from table(
        ("source", "fragment", "pieces", "read", "kept", "bytes", "sha256"),
        [
            (
                f.source,
                f.path,
                *(f"{n:,}" for n in (f.n_pieces, f.n_rows, f.n_kept, f.n_bytes)),
                f.sha256[:12],
            )
            for f in version.fragments
        ],
    )
    for piece in version.joined:
        yield f"joined: {piece.source} of {piece.path}, {piece.sha256[:12]}"
    match profile:
        case {"columns": [*columns]}:
            yield ""
            yield from table(
                ("column", "kind", "missing", "distinct", "min", "median", "max", "most frequent"),
                [_profile_row(column) for column in columns],
            )


def _broken(rule: BrokenRule) -> str:
    if rule.action == "warn":
        return f"warn: {rule.column} {rule.rule}" if rule.column else f"warn: {rule.rule}"
    return f"{rule.action}: {rule.n_rows:,} rows where {rule.column} breaks {rule.rule}"


def _fate(version: DataVersion) -> Iterator[str]:
    """Say what became of a version since it was made."""
    for one in version.erased:
        yield f"erased: {one.n_rows:,} rows of people on {one.at:%Y-%m-%d %H:%M:%S} UTC: {one.reason}"
    at_the_door = version.n_erased - sum(one.n_rows for one in version.erased)
    if at_the_door > 0:
        yield f"not let in: {at_the_door:,} rows of people who were erased before"
    if version.removed_at is not None:
        yield f"removed: {version.removed_at:%Y-%m-%d %H:%M:%S} UTC by `raypipe data gc`; its rows are gone"


def _profile_row(profile: Json) -> tuple[str, ...]:
    match profile:
        case {"column": {"name": str(name), "kind": str(kind)}, "summary": Mapping() as summary}:
            return (
                name,
                kind,
                f"{_count(summary, 'n_nulls') + _count(summary, 'n_nan'):,}",
                f"{_count(summary, 'n_distinct'):,}",
                *(_value(kind, number) for number in _range(summary)),
                _top(summary),
            )
        case _:
            return ("?",) * 8


def _count(summary: Mapping[str, Json], name: str) -> int:
    value = summary.get(name)
    return value if isinstance(value, int) else 0


def _range(summary: Mapping[str, Json]) -> tuple[Json, Json, Json]:
    quantiles = summary.get("quantiles")
    median = quantiles.get("0.5") if isinstance(quantiles, Mapping) else None
    return summary.get("min"), median, summary.get("max")


def _value(kind: str, number: Json) -> str:
    if not isinstance(number, int | float):
        return ""
    if kind == "timestamp":
        return datetime.fromtimestamp(number / 1e6, UTC).isoformat(sep=" ", timespec="minutes")[:16]
    return f"{number:.6g}"


def _top(summary: Mapping[str, Json]) -> str:
    match summary.get("top"):
        case [[value, count], *_] if isinstance(count, int) and count > 1:
            return f"{value} ({count:,})"
        case _:
            return ""
