"""How long labels take, of rows many of which are still waiting for theirs.

The delays seen so far are short ones: of the newest rows only the quick labels have come. The product-limit
estimator (Kaplan, Meier, J. Am. Stat. Assoc. 1958) takes each waiting row for what it is, one whose label
takes longer than its age. A row whose label never comes waits for ever, and the curve ends below 1.

    >>> import numpy as np
    >>> curve = DelayCurve.of(np.array([1.0, 3.0, np.nan, np.nan]), np.array([9.0, 9.0, 2.0, 9.0]))
    >>> curve.arrived_by(1.0), curve.arrived_by(9.0), curve.age_for(0.5)
    (0.25, 0.625, 3.0)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

N_POINTS = 200


@dataclass(frozen=True)
class DelayCurve:
    """The estimated share of rows whose label comes within a delay, at delays in increasing order."""

    delays_s: tuple[float, ...] = ()
    arrived: tuple[float, ...] = ()

    @classmethod
    def of(cls, delays_s: Floats, ages_s: Floats) -> DelayCurve:
        """Estimate from the delay of each row's label, NaN while it has none, and the row's age by now."""
        came = ~np.isnan(delays_s)
        waited = np.sort(np.where(came, delays_s, ages_s))
        distinct, n_came = np.unique(delays_s[came], return_counts=True)
        at_risk = len(waited) - np.searchsorted(waited, distinct, side="left")
        arrived = np.asarray(1 - np.cumprod(1 - n_came / np.maximum(at_risk, 1)), np.float64)
        kept = _kept(arrived)
        return cls(tuple(distinct[kept].tolist()), tuple(arrived[kept].tolist()))

    @property
    def ever(self) -> float:
        """The share of rows whose label has come by the longest delay seen."""
        return self.arrived[-1] if self.arrived else 0.0

    def arrived_by(self, age_s: float) -> float:
        """Return the share of rows of an age that have their label."""
        at = int(np.searchsorted(self.delays_s, age_s, side="right"))
        return self.arrived[at - 1] if at else 0.0

    def age_for(self, ratio: float) -> float | None:
        """Return the age by which that share of the labels that ever come have come; None without labels."""
        at = int(np.searchsorted(self.arrived, ratio * self.ever - 1e-12))
        return self.delays_s[at] if at < len(self.delays_s) else None


def _kept(arrived: Floats) -> npt.NDArray[np.int64]:
    """Return where a curve of few points has steps: the last of every rise by 1 / N_POINTS of its height."""
    if len(arrived) <= N_POINTS:
        return np.arange(len(arrived))
    steps = np.floor(arrived / arrived[-1] * N_POINTS)
    return np.flatnonzero(np.append(steps[1:] != steps[:-1], True))
