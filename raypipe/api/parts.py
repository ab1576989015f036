"""What the newest model of a data version tells of the parts that it was made by."""

from __future__ import annotations

from raypipe.config.settings import Config
from raypipe.core.errors import ArtifactError
from raypipe.data.explore.parts import Parts, TrainedColumn
from raypipe.data.versions import DataVersion
from raypipe.monitoring.reference import CategoryBins, NumberBins, ReferenceColumn, read_reference
from raypipe.registry.store import Registry
from raypipe.training.leaderboard import Leaderboard


def parts_of(config: Config, registry: Registry, data: DataVersion) -> Parts | None:
    """Return the parts as the newest model that learned from a version had them; None without one."""
    models = (one for one in registry.model_versions(config.name) if one.data_version == data.id)
    newest = next(models, None)
    if newest is None:
        return None
    try:
        reference = read_reference(config.folder.model(newest.version))
    except ArtifactError:
        return None
    board = Leaderboard.from_json(newest.metrics)
    n_train = max((one.n_rows for one in reference.columns), default=0)
    columns = {one.column.name: _trained(one) for one in reference.columns}
    return Parts(newest.version, n_train, board.n_validation_rows, board.n_test_rows, columns)


def _trained(one: ReferenceColumn) -> TrainedColumn:
    n_missing, bins = one.counts[-1], one.bins
    match bins:
        case NumberBins():
            # The first and the last bin are for what no training row held.
            return TrainedColumn(one.n_rows, n_missing, bins.edges, one.counts[1 : 1 + len(bins.edges)])
        case CategoryBins():
            own = dict(zip(bins.own, one.counts, strict=False))
            return TrainedColumn(one.n_rows, n_missing, categories=own)
        case _:
            return TrainedColumn(one.n_rows, n_missing)
