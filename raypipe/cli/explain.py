"""`--explain`: what `run` or `up` would do, printed before anything is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from raypipe.cli.output import emit, size, table
from raypipe.core.ids import Json

if TYPE_CHECKING:
    from raypipe.api.explain import Explanation, Planned
    from raypipe.config.settings import Config


def explained(config: Config, as_json: bool, *, serve: bool, force: bool, data: str | None = None) -> None:
    """Print what would be done."""
    from raypipe.api.explain import explain
    from raypipe.api.sizes import Machine

    found = explain(config, machine=Machine.here(), serve=serve, force=force, data=data)
    emit(found.to_json(), as_json, lambda: _lines(found))


def _lines(found: Explanation) -> Iterator[str]:
    header = ("stage", "does", "rows", "size", "where", "with")
    yield from table(header, [_row(one) for one in found.stages])
    yield ""
    for one in found.stages:
        yield f"{one.stage}: {one.what + '; ' if one.what else ''}{one.why}"
    yield ""
    yield f"home {found.home}; nothing was started, and nothing written. Memory is estimated."


def _row(one: Planned) -> tuple[str, ...]:
    rows = "" if one.n_rows is None else f"{one.n_rows:,}"
    where = "" if one.action == "skip" else one.where
    return (one.stage, one.action, rows, size(one.n_bytes), where, _with(one.resources))


def _with(resources: Mapping[str, Json]) -> str:
    """Say what a stage holds while it runs."""
    said = []
    if "cpus_per_trial" in resources:
        each = f"{resources['cpus_per_trial']} CPU and {resources['gpus_per_trial']:g} GPU each"
        said.append(f"{resources['max_concurrent']} trials at a time, {each}")
    if "cpus_per_replica" in resources:
        replicas = f"{resources['min_replicas']} to {resources['max_replicas']}"
        said.append(f"{replicas} replicas, {resources['cpus_per_replica']} CPU each")
    memory = resources.get("memory_bytes")
    said += [f"about {size(memory)} of memory"] if isinstance(memory, int) else []
    return ", ".join(said)
