"""`raypipe models`: what was learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli import beside, importing, removal
from raypipe.cli.output import DEFAULT_CONFIG, ConfigArgument, JsonOption, emit, interval, opened, table
from raypipe.core.ids import Json
from raypipe.registry.datasets import erased_since
from raypipe.registry.models import removal_of
from raypipe.registry.values import ModelVersion

if TYPE_CHECKING:
    from raypipe.data.versions import Erasure
    from raypipe.registry.store import Registry
    from raypipe.training.importance import ColumnImportance, Importance
    from raypipe.training.leaderboard import Leaderboard, LeaderboardEntry

app = typer.Typer(help="Model versions: what was learned.", no_args_is_help=True)
beside.add_to(app)
importing.add_to(app)
removal.add_to(app)


@app.command("list")
def list_models(config: ConfigArgument = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the model versions, newest first, with their test scores; also those that were removed."""
    pipeline, registry = opened(config)
    versions = registry.model_versions(pipeline.name, removed=True)
    names = names_of(registry.aliases(pipeline.name))
    emit([_as_json(version, names) for version in versions], as_json, lambda: _list(versions, names))


@app.command("show")
def show(
    version: Annotated[str, typer.Argument(help="A model version, such as v1.", metavar="VERSION")],
    config: ConfigArgument = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show a model version: where it came from, its leaderboard and columns, where its files are."""
    from raypipe.training.importance import read_importance

    pipeline, registry = opened(config)
    found = _also_removed(registry, pipeline.name, version)
    names = names_of(registry.aliases(pipeline.name))
    folder = pipeline.folder.model(version)
    weighed = read_importance(folder)
    erased = erased_since(found, registry.data_version(pipeline.name, found.data_version))
    emit(
        {
            **_as_json(found, names),
            "erased_since": [one.to_json() for one in erased],
            "folder": str(folder),
            "leaderboard": found.metrics,
            "importance": None if weighed is None else weighed.to_json(),
        },
        as_json,
        lambda: _show(found, names, str(folder), weighed, erased),
    )


@app.command("importance")
def importance(
    version: Annotated[str, typer.Argument(help="A model version, such as v1.", metavar="VERSION")],
    config: ConfigArgument = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show what each column is worth to a version, what is suspicious, and what moved since the last."""
    from raypipe.training.importance import read_importance

    pipeline, registry = opened(config)
    registry.model_version(pipeline.name, version)
    found = read_importance(pipeline.folder.model(version))
    emit(None if found is None else found.to_json(), as_json, lambda: _importance(version, found))


def _also_removed(registry: Registry, pipeline: str, version: str) -> ModelVersion:
    """Return a version, also one of which only the record is left; raises UnknownVersion."""
    versions = registry.model_versions(pipeline, removed=True)
    found = next((one for one in versions if one.version == version), None)
    return found or registry.model_version(pipeline, version)


def names_of(aliases: Mapping[str, str]) -> dict[str, str]:
    """Return for each version the aliases that name it, joined by commas."""
    names: dict[str, str] = {}
    for alias, version in sorted(aliases.items()):
        names[version] = f"{names[version]}, {alias}" if version in names else alias
    return names


def leaderboard_lines(board: Leaderboard) -> Iterator[str]:
    """Yield a leaderboard as a table: scores with their 95% intervals, costs, and who differs for real."""
    rows = [
        (
            entry.family + (" *" if entry.family == board.winner else ""),
            interval(entry.validation),
            interval(entry.test),
            "" if entry.over_baseline is None else interval(entry.over_baseline),
            _place(entry),
            f"{entry.train_s:.2f}",
            f"{entry.predict_us:.0f}",
            f"{entry.size_bytes / 1000:.0f}",
        )
        for entry in board.entries
    ]
    header = ("family", f"validation {board.metric}", f"test {board.metric}", "over baseline", "on test")
    yield from table((*header, "train s", "1 row us", "kB"), rows)
    yield (
        f"* best on {board.n_validation_rows:,} validation rows; judged once on {board.n_test_rows:,} test "
        f"rows; 95% intervals by bootstrap over {board.resampling}"
    )


def importance_lines(found: Importance) -> Iterator[str]:
    """Yield the columns as a table, what is suspicious about them, and on what that was measured."""
    rows = [
        (
            "" if one.rank is None else str(one.rank),
            one.column,
            str(one.n_features),
            "" if one.value is None else interval(one.value),
            "" if one.alone is None else f"{one.alone:.4g}",
            *((_moved(one),) if found.before else ()),
            ", ".join(finding.flag for finding in one.findings),
        )
        for one in found.columns
    ]
    moved = (f"in {found.before}",) if found.before else ()
    header = ("rank", "column", "features", f"loss of {found.metric} without it", f"{found.metric} alone")
    yield from table((*header, *moved, "flags"), rows)
    for one in found.columns:
        yield from (f"{finding.flag}: {finding.why}" for finding in one.findings)
    yield f"{found.metric} {found.score:.4g}. {found.measured_on}"


def _moved(one: ColumnImportance) -> str:
    if one.before is None:
        return "" if one.value is None else "new"
    return f"{one.before.rank}: {interval(one.before.value)}{' moved' if one.has_moved else ''}"


def _importance(version: str, found: Importance | None) -> Iterator[str]:
    if found is None:
        yield f"the importance of columns was not measured for {version} (training.importance.enabled)."
        return
    yield from importance_lines(found)


def _place(entry: LeaderboardEntry) -> str:
    """Say whether the test rows tell a model from the winner; one may be ahead, as they choose nothing."""
    if entry.behind_winner is None:
        return "winner"
    if entry.tied_with_winner:
        return "tied"
    return "behind" if entry.behind_winner.value > 0 else "ahead"


def _as_json(version: ModelVersion, names: Mapping[str, str]) -> dict[str, Json]:
    return {
        "version": version.version,
        "aliases": names.get(version.version, ""),
        "family": version.family,
        "format": version.format,
        "created_at": version.created_at.isoformat(),
        "data_version": version.data_version,
        "run": version.run,
        "manifest_sha256": version.manifest_sha256,
        "removed_at": None if version.removed_at is None else version.removed_at.isoformat(),
        "removed_reason": version.removed_reason,
        "pin": version.pin,
    }


def _list(versions: tuple[ModelVersion, ...], names: Mapping[str, str]) -> Iterator[str]:
    from raypipe.training.leaderboard import Leaderboard

    if not versions:
        yield "no model version yet; `raypipe run` makes one."
        return
    boards = [Leaderboard.from_json(version.metrics) for version in versions]
    rows = [
        (
            version.version,
            names.get(version.version, ""),
            f"{version.created_at:%Y-%m-%d %H:%M:%S}",
            version.family,
            f"{board.metric} {interval(board.best.test)}",
            version.data_version,
            "removed" if version.removed_at else "" if version.pin is None else "pinned",
        )
        for version, board in zip(versions, boards, strict=True)
    ]
    yield from table(("version", "alias", "created", "family", "test score", "data version", ""), rows)


def _show(
    version: ModelVersion,
    names: Mapping[str, str],
    folder: str,
    weighed: Importance | None,
    erased: Sequence[Erasure],
) -> Iterator[str]:
    from raypipe.training.importance import summary_of
    from raypipe.training.leaderboard import Leaderboard

    alias = names.get(version.version)
    yield f"{version.version}{f' ({alias})' if alias else ''}: {version.family}, kept as {version.format}"
    yield f"created {version.created_at:%Y-%m-%d %H:%M:%S} UTC by run {version.run} on {version.data_version}"
    if version.removed_at is not None:
        yield f"{removal_of(version)}; what is left is this record"
    if version.pin is not None:
        yield f"pinned{f': {version.pin}' if version.pin else ''}"
    for one in erased:
        yield (
            f"learned from {one.n_rows:,} rows of people that were erased on {one.at:%Y-%m-%d %H:%M:%S} UTC "
            f"({one.id}): {one.reason}"
        )
    if version.removed_at is None:
        yield f"files and card: {folder}"
    yield f"manifest sha256: {version.manifest_sha256}"
    yield ""
    yield from leaderboard_lines(Leaderboard.from_json(version.metrics))
    if weighed is not None:
        yield ""
        yield from summary_of(weighed)
        yield f"each column, and why: raypipe models importance {version.version}"
