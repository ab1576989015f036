"""pandera over polars: lazy, so that all rules are looked at, with the failure cases as a table."""

from __future__ import annotations

from collections.abc import Mapping

import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaErrors
from pandera.polars import PolarsData

from benchmarks.contract.job import CODE, RULES, SHOPS, main


def ordered(data: PolarsData) -> pl.LazyFrame:
    return data.lazyframe.select(pl.col("end") >= pl.col("start"))


SCHEMA = pa.DataFrameSchema(
    {
        "id": pa.Column(int, unique=True),
        "amount": pa.Column(float, pa.Check.in_range(0, 1000)),
        "shop": pa.Column(str, pa.Check.isin(SHOPS)),
        "code": pa.Column(str, pa.Check.str_matches(f"^{CODE}$")),
    },
    checks=pa.Check(ordered, name="ordered"),
)
NAMES = ("field_uniqueness", "in_range", "isin", "str_matches", "ordered")


def five_rules(frame: pl.DataFrame) -> Mapping[str, int]:
    try:
        SCHEMA.validate(frame, lazy=True)
    except SchemaErrors as error:
        checks = error.failure_cases["check"].to_list()
        return {
            rule: sum(check.startswith(name) for check in checks)
            for rule, name in zip(RULES, NAMES, strict=True)
        }
    return {}


if __name__ == "__main__":
    main(five_rules)
