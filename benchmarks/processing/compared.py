"""Whether two peers wrote the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from pyarrow import dataset

_NEAR = 1e-5
"""Of float32: numbers near 0 may differ by so much, others by so large a share of them."""


def difference(one: Path, other: Path, *, in_order: bool) -> str:
    """Return `equal to the bit`, `equal`, or what differs.

    Features go by name; where the rows may be in any order, each column is compared for itself.
    """
    ours, theirs = (dataset.dataset(sorted(map(str, folder.glob("*.parquet")))) for folder in (one, other))
    if sorted(ours.schema.names) != sorted(theirs.schema.names):
        return "other columns"
    same_bits, differing = True, []
    for name in ours.schema.names:
        a, b = (_column(found, name) for found in (ours, theirs))
        if not in_order:
            a, b = np.sort(a), np.sort(b)
        same_bits = same_bits and a.tobytes() == b.tobytes()
        if len(a) != len(b) or not np.allclose(a, b, rtol=_NEAR, atol=_NEAR):
            differing.append(name)
    if differing:
        return f"{', '.join(differing)} differ"
    return "equal to the bit" if same_bits else "equal"


def _column(found: dataset.Dataset, name: str) -> npt.NDArray[np.float32]:
    column: npt.NDArray[np.float32] = found.to_table(columns=[name])[name].to_numpy()
    return column
