"""One look at live traffic: drift on the newest rows, quality on the newest labels."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from raypipe.monitoring.config import MonitoringSettings
from raypipe.monitoring.quality import JudgedTask
from raypipe.monitoring.reference import Reference
from raypipe.monitoring.report import LabelCounts, Signals, WindowReport

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["WindowReport", "measure"]


def measure(
    reference: Reference,
    task: JudgedTask,
    predictions: pa.Table,
    labels: pa.Table,
    settings: MonitoringSettings,
    *,
    version: str,
    at: datetime,
    seed: int = 0,
    counts: LabelCounts | None = None,
    signals: Signals | None = None,
) -> WindowReport:
    """Measure the serving version, whose reference and task are given, on what was captured.

    The tables are as `raypipe.data.committer` reads them, in any order. The rows compared with the training
    rows are the newest ones, whichever version answered them. Equal arguments give an equal report. Where the
    tables hold the newest rows alone, `counts` are those of all, and `signals` are of all that the version
    ever answered; without them the newest rows are taken for all.
    """
    from raypipe.data.live import answered_once, decode_inputs
    from raypipe.monitoring.drift import counts as counts_of
    from raypipe.monitoring.drift import drift
    from raypipe.monitoring.fold_lives import Lives
    from raypipe.monitoring.labels import join
    from raypipe.monitoring.life import Life
    from raypipe.monitoring.quality import live_quality
    from raypipe.monitoring.signals import signals as signals_of
    from raypipe.monitoring.watch import Watch
    from raypipe.stats.delays import DelayCurve

    joined = join(predictions, labels, settings.window_labels)
    counts = joined.counts if counts is None else counts
    answered = answered_once(predictions)
    newest = answered.slice(max(0, answered.num_rows - settings.window_rows))
    inputs = decode_inputs(newest["inputs"], reference.inputs)
    if signals is None:
        life = Life().after(reference, inputs, settings.drift.step_rows)
        watch, lives = Watch(task, reference), Lives(counts=life)
        signals = signals_of(watch, lives, DelayCurve(), newest.slice(0, 0), settings, now=at)
    drifted = {one.column for one in signals.inputs if one.drifted}
    return WindowReport(
        at=at,
        version=version,
        n_rows=newest.num_rows,
        n_labels=counts.n_labelled,
        quality=live_quality(_mature(joined.rows, signals, at), task, settings, version=version, seed=seed),
        drift=drift(reference, counts_of(reference, inputs), drifted),
        labels=counts,
        capture_lag_s=max(0.0, (at - newest["at"][-1].as_py()).total_seconds()) if newest.num_rows else None,
        signals=signals,
    )


def _mature(rows: pa.Table, signals: Signals, at: datetime) -> pa.Table:
    """Return the labelled rows that are as old as labels take: of younger ones only quick labels came."""
    import pyarrow as pa
    import pyarrow.compute as pc

    after_s = None if signals.matured is None else signals.matured.mature_after_s
    if after_s is None:
        return rows
    before = pa.scalar(at - timedelta(seconds=after_s), rows["at"].type)
    return rows.filter(pc.less_equal(rows["at"], before))
