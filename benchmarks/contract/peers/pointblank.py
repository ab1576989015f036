"""pointblank over polars; the rows that fail are collected as it does by default."""

from __future__ import annotations

from collections.abc import Mapping

import pointblank as pb
import polars as pl

from benchmarks.contract.job import CODE, RULES, SHOPS, main


def five_rules(frame: pl.DataFrame) -> Mapping[str, int]:
    done = (
        pb.Validate(frame)
        .rows_distinct(columns_subset="id")
        .col_vals_between(columns="amount", left=0, right=1000)
        .col_vals_in_set(columns="shop", set=SHOPS)
        .col_vals_regex(columns="code", pattern=f"^{CODE}$")
        .col_vals_ge(columns="end", value=pb.col("start"))
        .interrogate()
    )
    failed = done.n_failed()
    return {rule: failed[number] for number, rule in enumerate(RULES, 1)}


if __name__ == "__main__":
    main(five_rules)
