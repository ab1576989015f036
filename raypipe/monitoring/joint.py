"""All inputs together: can a classifier tell live rows from training rows?

Columns may each look as they did while what goes with what has changed. A classifier that learns on one half
of a sample of both to tell them apart, and is asked about the other half, finds that (Lopez-Paz, Oquab,
ICLR 2017). For rows that come from one distribution its scores rank live and training rows at random, which
the Mann-Whitney test bounds; of two halves in turn, twice the smaller p-value counts.

The columns are taken by their bins: so the training rows that a version keeps are no raw values, and the cost
is that of some thousand rows, whatever the traffic. It informs and decides nothing: its rows are a sample of
one moment, and rows that depend on each other rank less at random than the test takes them to.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raypipe.core.errors import ArtifactError
from raypipe.core.ids import Json
from raypipe.monitoring.drift import places
from raypipe.monitoring.reference import Reference

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Bins = NDArray[np.uint8]

N_SAMPLED = 1_000
"""Training rows that a version keeps, and live rows that they are compared with, at most."""
MIN_SAMPLED = 200
_N_TREES = 30


@dataclass(frozen=True)
class Told:
    """How well live rows were told from training rows: 0.5 is not at all, 1 is always."""

    auc: float
    p_value: float


@dataclass(frozen=True)
class Sample:
    """Rows by the bins of their columns, shape (n_rows, n_columns)."""

    bins: Bins

    @classmethod
    def of(cls, reference: Reference, rows: pa.Table, *, seed: int) -> Sample:
        """Draw at most 1,000 rows."""
        import numpy as np

        if rows.num_rows > N_SAMPLED:
            drawn = np.random.default_rng(seed).choice(rows.num_rows, N_SAMPLED, replace=False)
            rows = rows.take(np.sort(drawn))
        columns = [places(one, rows).astype(np.uint8) for one in reference.columns]
        return cls(np.stack(columns, axis=1) if columns else np.zeros((rows.num_rows, 0), np.uint8))

    def to_json(self) -> Json:
        text = base64.b64encode(self.bins.tobytes()).decode()
        return {"n_rows": self.bins.shape[0], "n_columns": self.bins.shape[1], "bins": text}

    @classmethod
    def from_json(cls, value: Json) -> Sample:
        """Read what `to_json` wrote; raises ArtifactError for anything else."""
        import numpy as np

        match value:
            case {"n_rows": int(n), "n_columns": int(k), "bins": str(text)}:
                found = np.frombuffer(base64.b64decode(text), np.uint8)
                if found.size == n * k:
                    return cls(found.reshape(n, k))
        raise ArtifactError(f"A sample must have rows by bins. Got {value!r:.200}.")


def told_apart(training: Sample, live: Sample, *, seed: int) -> Told | None:
    """Say how well a classifier tells live rows from training rows; None with too few of either."""
    import numpy as np

    n = min(len(training.bins), len(live.bins))
    if n < MIN_SAMPLED or not training.bins.shape[1]:
        return None
    random = np.random.default_rng(seed)
    rows = [random.permutation(one.bins)[:n] for one in (training, live)]
    found = [_told(*(np.split(one, [n // 2]) for one in rows), turned=turned, seed=seed) for turned in (0, 1)]
    auc = sum(auc for auc, _ in found) / 2
    return Told(auc, min(1.0, 2 * min(p for _, p in found)))


def _told(training: list[Bins], live: list[Bins], *, turned: int, seed: int) -> tuple[float, float]:
    """Learn on one half, and return the area under the curve on the other, and its p-value."""
    import numpy as np
    from scipy.stats import mannwhitneyu
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    learned, asked = turned, 1 - turned
    x = np.concatenate([training[learned], live[learned]])
    y = np.repeat([0, 1], [len(training[learned]), len(live[learned])])
    model = HistGradientBoostingClassifier(
        max_iter=_N_TREES, max_leaf_nodes=8, early_stopping=False, random_state=seed
    )
    with threadpool_limits(1):
        model.fit(x, y)
        before, now = (model.predict_proba(part[asked])[:, 1] for part in (training, live))
    found = mannwhitneyu(now, before, alternative="greater", method="asymptotic")
    return float(found.statistic) / (len(now) * len(before)), float(found.pvalue)
