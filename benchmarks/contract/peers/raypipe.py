"""The contract of raypipe: what it does with a piece at the door, keys included."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from benchmarks.contract.job import CODE, RULES, SHOPS, main
from raypipe.data.contract import check, rules_of
from raypipe.data.contract_settings import ContractSettings
from raypipe.data.keys import KeyStore
from raypipe.data.schema import Column
from raypipe.data.sources.source import PLACE_COLUMN, SOURCE_COLUMN
from raypipe.data.uniqueness import KeyIndex

CONTRACT = ContractSettings.model_validate(
    {
        "columns": {
            "amount": {"min": 0, "max": 1000},
            "shop": {"allowed": SHOPS},
            "code": {"pattern": CODE},
        },
        "rows": [{"must": '"end" >= "start"'}],
    }
)


def five_rules(frame: pl.DataFrame) -> Mapping[str, int]:
    """Return how many rows break each rule; those rows are set aside whole, and keys are on the disk."""
    placed = frame.with_row_index(PLACE_COLUMN).with_columns(pl.lit("s").alias(SOURCE_COLUMN))
    checked = check(placed, rules_of(CONTRACT, placed.schema))
    counts = {one.column: one.n_rows for one in checked.broken}
    with tempfile.TemporaryDirectory() as folder:
        index = KeyIndex(KeyStore(Path(folder), [Column("id", "integer", nullable=False)]))
        n_repeated = len(index.add(index.store.runs("rows", frame.height, [frame])))
    by_rule = (n_repeated, *(counts[name] for name in ("amount", "shop", "code", "end, start")))
    return dict(zip(RULES, by_rule, strict=True))


if __name__ == "__main__":
    main(five_rules)
