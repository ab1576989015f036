"""The loan applications of Agrawal, Imielinski and Swami: rows whose ten concepts are known.

R. Agrawal, T. Imielinski, A. Swami (1993), "Database Mining: A Performance Perspective", IEEE Transactions
on Knowledge and Data Engineering 5(6), 914-925. A label is group A where the concept's function is true.
Public generators differ from the paper in places (function 5 asks for the salary where the paper asks for
the loan, and disposable income must exceed 1); this one follows the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from raypipe.core.errors import ConfigError
from raypipe.core.files import storage_errors

Numbers = np.ndarray
Draws = Mapping[str, Numbers]

_RANGES = {
    "salary": (20_000.0, 150_000.0),
    "commission": (10_000.0, 75_000.0),
    "age": (20.0, 80.0),
    "hyears": (1.0, 30.0),
    "loan": (0.0, 500_000.0),
}
_WHOLE = ("age", "hyears")
COLUMNS = ("salary", "commission", "age", "elevel", "car", "zipcode", "hvalue", "hyears", "loan")


@dataclass(frozen=True)
class AgrawalSettings:
    """What to generate.

    `concepts` lists how many rows follow which function (1 to 10), in order of time. `perturbation` moves
    numbers by up to that share of their range, after the label is known. `label_noise` is the share of
    labels that are drawn by a coin; `missing` the share of nulls by column.
    """

    concepts: tuple[tuple[int, int], ...] = ((20_000, 2),)
    seed: int = 0
    perturbation: float = 0.05
    label_noise: float = 0.0
    missing: Mapping[str, float] = field(default_factory=dict)
    start: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    every_s: float = 60.0

    def __post_init__(self) -> None:
        for n_rows, function in self.concepts:
            if n_rows < 1 or function not in FUNCTIONS:
                raise ConfigError(
                    f"concepts must be pairs of a number of rows >= 1 and a function of 1 to 10. "
                    f"Got {(n_rows, function)}."
                )
        for name, share in {"label_noise": self.label_noise, **self.missing}.items():
            if not 0 <= share <= 1 or (name != "label_noise" and name not in COLUMNS):
                raise ConfigError(f"{name} must be a share in [0, 1] of one of {COLUMNS}. Got {share}.")


def generate(settings: AgrawalSettings) -> pa.Table:
    """Return rows in order of time: nine columns, `applied_at`, and the label `group` ("A" or "B").

    Equal settings give equal rows. The draws do not depend on the concepts, so two schedules of equal length
    differ in their labels alone.
    """
    n_rows = sum(n for n, _ in settings.concepts)
    random = np.random.Generator(np.random.PCG64(settings.seed))
    draws = _draw(random, n_rows)
    is_a = _labels(draws, settings.concepts)
    coins = random.random((2, n_rows))
    is_a = np.where(coins[0] < settings.label_noise, coins[1] < 0.5, is_a)
    draws = _perturb(random, draws, settings.perturbation)
    arrays = [_column(random, name, draws[name], settings.missing.get(name, 0.0)) for name in COLUMNS]
    group = pa.array(np.where(is_a, "A", "B").tolist(), pa.string())
    return pa.table([_times(settings, n_rows), *arrays, group], names=["applied_at", *COLUMNS, "group"])


def write_files(folder: Path, table: pa.Table, n_files: int) -> tuple[Path, ...]:
    """Write rows as Parquet files `part-0.parquet` and so on, equal to the byte for equal rows."""
    paths = []
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(n_files):
            start, end = (table.num_rows * k // n_files for k in (number, number + 1))
            path = folder / f"part-{number}.parquet"
            temporary = path.with_name(f".{path.name}.tmp")
            parquet.write_table(table.slice(start, end - start), temporary)
            temporary.replace(path)
            paths.append(path)
    return tuple(paths)


QUICKSTART_NOISE = 0.05
QUICKSTART_MISSING = {"commission": 0.05, "hvalue": 0.1, "car": 0.03}


def write_quickstart(
    folder: Path, *, n_rows: int = 20_000, n_files: int = 4, function: int = 2, seed: int = 7
) -> tuple[Path, ...]:
    """Write the quickstart's files: one concept, some noise, some missing values."""
    settings = AgrawalSettings(
        concepts=((n_rows, function),),
        seed=seed,
        label_noise=QUICKSTART_NOISE,
        missing=QUICKSTART_MISSING,
    )
    return write_files(folder, generate(settings), n_files)


def _draw(random: np.random.Generator, n_rows: int) -> dict[str, Numbers]:
    salary = random.uniform(20_000, 150_000, n_rows)
    zipcode = random.integers(0, 9, n_rows)
    return {
        "salary": salary,
        "commission": np.where(salary >= 75_000, 0.0, random.uniform(10_000, 75_000, n_rows)),
        "age": random.integers(20, 81, n_rows),
        "elevel": random.integers(0, 5, n_rows),
        "car": random.integers(1, 21, n_rows),
        "zipcode": zipcode,
        "hvalue": (9 - zipcode) * 100_000 * random.uniform(0.5, 1.5, n_rows),
        "hyears": random.integers(1, 31, n_rows),
        "loan": random.uniform(0, 500_000, n_rows),
    }


def _labels(draws: Draws, concepts: Sequence[tuple[int, int]]) -> Numbers:
    parts = []
    start = 0
    for n_rows, function in concepts:
        rows = {name: values[start : start + n_rows] for name, values in draws.items()}
        parts.append(FUNCTIONS[function](rows))
        start += n_rows
    return np.concatenate(parts)


def _perturb(random: np.random.Generator, draws: Draws, share: float) -> dict[str, Numbers]:
    moved = dict(draws)
    for name, (low, high) in _RANGES.items():
        shift = random.uniform(-share, share, len(draws[name])) * (high - low)
        values = np.clip(draws[name] + shift, low, high)
        if name == "commission":
            values = np.where(draws[name] > 0, values, 0.0)
        moved[name] = np.rint(values).astype(np.int64) if name in _WHOLE else values
    shift = random.uniform(-share, share, len(draws["hvalue"]))
    moved["hvalue"] = draws["hvalue"] + shift * (9 - draws["zipcode"]) * 100_000
    return moved


def _column(random: np.random.Generator, name: str, values: Numbers, missing: float) -> pa.Array:
    absent = random.random(len(values)) < missing
    prefix = {"elevel": "e", "car": "make-", "zipcode": "zip-"}.get(name)
    if prefix is not None:
        texts = np.array([f"{prefix}{code}" for code in range(21)])
        return pa.array(texts[values].tolist(), pa.string(), mask=absent)
    return pa.array(np.round(values, 2) if values.dtype.kind == "f" else values, mask=absent)


def _times(settings: AgrawalSettings, n_rows: int) -> pa.Array:
    start_us = round(settings.start.timestamp() * 1_000_000)
    steps = np.rint(np.arange(n_rows) * settings.every_s * 1_000_000).astype(np.int64)
    return pa.array(start_us + steps, pa.timestamp("us", tz="UTC"))


def _by_age(age: Numbers, young: Numbers, middle: Numbers, old: Numbers) -> Numbers:
    return np.where(age < 40, young, np.where(age < 60, middle, old))


def _between(values: Numbers, low: float, high: float) -> Numbers:
    return (low <= values) & (values <= high)


def _bands(age: Numbers, values: Numbers) -> Numbers:
    """Whether a value lies in the band of its age: 50-100, 75-125 or 25-75 thousand."""
    return _by_age(
        age,
        _between(values, 50_000, 100_000),
        _between(values, 75_000, 125_000),
        _between(values, 25_000, 75_000),
    )


def _levels(age: Numbers, elevel: Numbers) -> Numbers:
    return _by_age(age, elevel <= 1, _between(elevel, 1, 3), elevel >= 2)


def _is_positive(disposable: Numbers) -> Numbers:
    return np.asarray(disposable > 0)


def _income(rows: Draws) -> Numbers:
    return rows["salary"] + rows["commission"]


def _function_1(rows: Draws) -> Numbers:
    return (rows["age"] < 40) | (rows["age"] >= 60)


def _function_2(rows: Draws) -> Numbers:
    return _bands(rows["age"], rows["salary"])


def _function_3(rows: Draws) -> Numbers:
    return _levels(rows["age"], rows["elevel"])


def _function_4(rows: Draws) -> Numbers:
    age, salary = rows["age"], rows["salary"]
    middle = _between(salary, 50_000, 100_000)
    within = _by_age(age, _between(salary, 25_000, 75_000), middle, middle)
    outside = _by_age(age, middle, _between(salary, 75_000, 125_000), _between(salary, 25_000, 75_000))
    return np.where(_levels(age, rows["elevel"]), within, outside)


def _function_5(rows: Draws) -> Numbers:
    age, loan = rows["age"], rows["loan"]
    low, middle = _between(loan, 100_000, 300_000), _between(loan, 200_000, 400_000)
    high = _between(loan, 300_000, 500_000)
    return np.where(
        _bands(age, rows["salary"]), _by_age(age, low, middle, high), _by_age(age, middle, high, low)
    )


def _function_6(rows: Draws) -> Numbers:
    return _bands(rows["age"], _income(rows))


def _function_7(rows: Draws) -> Numbers:
    return _is_positive(2 / 3 * _income(rows) - rows["loan"] / 5 - 20_000)


def _function_8(rows: Draws) -> Numbers:
    return _is_positive(2 / 3 * _income(rows) - 5_000 * rows["elevel"] - 20_000)


def _function_9(rows: Draws) -> Numbers:
    return _is_positive(2 / 3 * _income(rows) - 5_000 * rows["elevel"] - rows["loan"] / 5 - 10_000)


def _function_10(rows: Draws) -> Numbers:
    equity = rows["hvalue"] * np.maximum(rows["hyears"] - 20, 0) / 10
    return _is_positive(2 / 3 * _income(rows) - 5_000 * rows["elevel"] + equity / 5 - 10_000)


FUNCTIONS: Mapping[int, Callable[[Draws], Numbers]] = {
    1: _function_1,
    2: _function_2,
    3: _function_3,
    4: _function_4,
    5: _function_5,
    6: _function_6,
    7: _function_7,
    8: _function_8,
    9: _function_9,
    10: _function_10,
}
