"""Joining labels to the predictions that they are for, however late, often or wrongly they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from raypipe.data.live import labelled_predictions
from raypipe.monitoring.report import LabelCounts

__all__ = ["Joined", "LabelCounts", "join"]


@dataclass(frozen=True)
class Joined:
    """The labelled predictions, oldest first, and what came of all labels.

    `rows` has the columns of the captured predictions, with `label` (JSON, as there) and `label_at`.
    """

    rows: pa.Table
    counts: LabelCounts


def join(predictions: pa.Table, labels: pa.Table, window: int | None = None) -> Joined:
    """Join captured predictions and labels by id: the last answer and the last label of an id count.

    A label may come at any time, also before its prediction has reached its table: it then counts as
    unknown until the next join. Time must be given by `at`, aware and in UTC. Delays are of the `window`
    labels that came last, of all if None.
    """
    rows = labelled_predictions(predictions, labels)
    ids = pl.Series(predictions["id"], dtype=pl.String)
    came = pl.DataFrame(
        {
            "id": pl.Series(labels["prediction_id"], dtype=pl.String),
            "label": pl.Series(labels["label"], dtype=pl.String),
            "at": pl.Series(labels["at"]),
        }
    ).sort("at", maintain_order=True)
    before = came.select(before=pl.col("label").shift(1).over("id"), label="label")
    n_again = before["before"].count()
    n_corrected = int((before["before"] != before["label"]).sum())
    n_predictions = ids.n_unique()
    return Joined(
        rows,
        LabelCounts(
            n_predictions=n_predictions,
            n_redelivered=len(ids) - n_predictions,
            n_labelled=rows.num_rows,
            n_unknown=came["id"].n_unique() - rows.num_rows,
            n_repeated=n_again - n_corrected,
            n_corrected=n_corrected,
            **delays(_waited(rows, window)),
        ),
    )


def delays(waited_us: Sequence[int]) -> dict[str, float]:
    """Return quantiles in seconds of the times from answer to label, given in microseconds."""
    if not waited_us:
        return {}
    # A label that came before the last answer took none.
    seconds = pl.Series(waited_us, dtype=pl.Int64).clip(0).cast(pl.Float64) / 1e6
    return {
        name: float(seconds.quantile(q, "nearest") or 0.0)
        for name, q in (("delay_p50_s", 0.5), ("delay_p90_s", 0.9), ("delay_max_s", 1.0))
    }


def _waited(rows: pa.Table, window: int | None) -> Sequence[int]:
    last = pl.DataFrame({"at": pl.Series(rows["at"]), "label_at": pl.Series(rows["label_at"])})
    last = last.sort("label_at", maintain_order=True)
    if window is not None:
        last = last.tail(window)
    return (last["label_at"] - last["at"]).dt.total_microseconds().to_list()
