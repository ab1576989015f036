"""What the answers of a version are compared with, all from the version's own folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raypipe.monitoring.graded import CLASS, CONFIDENCE, VALUE, Graded, answer_table
from raypipe.monitoring.harm import Release
from raypipe.monitoring.labelled_life import Slice, releases_of
from raypipe.monitoring.quality import JudgedTask
from raypipe.monitoring.reference import Reference
from raypipe.stats.many import spent

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from raypipe.monitoring.config import MonitoringSettings
    from raypipe.monitoring.drift_evidence import Budget as DriftBudget
    from raypipe.monitoring.harm import Budget as HarmBudget

    Floats = NDArray[np.float64]

OUTPUTS = (CLASS, CONFIDENCE, VALUE)


@dataclass(frozen=True)
class Watch:
    """A version's training rows as bins, and how it answered the rows that it was graded on."""

    task: JudgedTask
    inputs: Reference
    graded: Graded | None = None
    """None for versions that were registered without."""
    nth_version: int = 1
    """Of all versions of the pipeline; a later one has a smaller share of the false alarms of all."""

    @property
    def columns(self) -> Reference:
        """All that is counted of an answered row: the inputs, and the answer where it can be compared."""
        names = {one.column.name for one in self.inputs.columns}
        answers = self.graded.answers.columns if self.graded else ()
        return Reference((*self.inputs.columns, *(one for one in answers if one.column.name not in names)))

    @property
    def sliced(self) -> Reference:
        """The columns whose bins are slices."""
        return self.inputs.only(self.graded.slices) if self.graded else Reference(())

    def drift_budget(self, settings: MonitoringSettings) -> DriftBudget:
        from raypipe.monitoring.drift_evidence import Budget

        return Budget(spent(settings.drift.alpha, self.nth_version), tolerance=settings.drift.tolerance)

    def harm_budget(self, settings: MonitoringSettings) -> HarmBudget:
        """Return the budget of all answers together, and of all slices together."""
        from raypipe.monitoring.harm import Budget

        return Budget(spent(settings.harm.alpha, self.nth_version), tolerance=settings.harm.tolerance)

    def releases(self, settings: MonitoringSettings) -> Mapping[Slice | None, Release]:
        """Return what is no harm, of all answers under None and of each slice; empty where none is known."""
        return releases_of(self.graded, self.harm_budget(settings)) if self.graded else {}


def rows_of(watch: Watch, captured: pa.Table) -> pa.Table:
    """Return captured rows, with the columns of `predictions`, with those of a watch."""
    from raypipe.data.live import decode_inputs

    table = decode_inputs(captured["inputs"], watch.inputs.inputs)
    if watch.graded is None:
        return table
    answers = answers_of(watch.task, captured["prediction"], captured["probabilities"])
    for name in answers.column_names:
        if name not in table.column_names:
            table = table.append_column(name, answers[name])
    return table


def answers_of(task: JudgedTask, predictions: pa.ChunkedArray, probabilities: pa.ChunkedArray) -> pa.Table:
    """Return captured answers as graded ones are kept; an amount that is none, or infinite, is NaN."""
    import numpy as np

    if task.kind == "classification":
        return answer_table(predictions, _confidences(probabilities))
    return answer_table(None, np.array([_amount(text) for text in predictions.to_pylist()], np.float64))


def _confidences(probabilities: pa.ChunkedArray) -> Floats:
    """Return the largest of each list; NaN where there is none."""
    import numpy as np
    import pyarrow.compute as pc

    lengths = pc.list_value_length(probabilities).fill_null(0).to_numpy()
    found, is_some = np.full(len(lengths), np.nan), lengths > 0
    starts = (np.cumsum(lengths) - lengths)[is_some]
    if len(starts):
        found[is_some] = np.maximum.reduceat(pc.list_flatten(probabilities).to_numpy(), starts)
    return found


def _amount(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
