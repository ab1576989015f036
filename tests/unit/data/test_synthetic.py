from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from pyarrow import parquet

from raypipe.core.errors import ConfigError
from raypipe.data.synthetic import FUNCTIONS, AgrawalSettings, generate, write_files, write_quickstart


def is_a(function: int, **row: float) -> bool:
    base = {"salary": 0, "commission": 0, "age": 30, "elevel": 0, "hvalue": 0, "hyears": 0, "loan": 0}
    columns = {name: np.array([value]) for name, value in {**base, **row}.items()}
    return bool(FUNCTIONS[function](columns)[0])


def in_band(value: float, low: float, high: float) -> bool:
    return low * 1000 <= value <= high * 1000


def by_the_paper(function: int, row: dict[str, Any]) -> bool:
    """The ten functions once more, one row at a time, as the paper prints them."""
    age, salary, elevel, loan = row["age"], row["salary"], row["elevel"], row["loan"]
    total = salary + row["commission"]
    era = 0 if age < 40 else 1 if age < 60 else 2
    bands = [(50, 100), (75, 125), (25, 75)]
    levels = [(0, 1), (1, 2, 3), (2, 3, 4)]
    if function == 1:
        return era != 1
    if function == 2:
        return in_band(salary, *bands[era])
    if function == 3:
        return elevel in levels[era]
    if function == 4:
        inner, outer = [(25, 75), (50, 100), (50, 100)], [(50, 100), (75, 125), (25, 75)]
        return in_band(salary, *(inner if elevel in levels[era] else outer)[era])
    if function == 5:
        inner, outer = [(100, 300), (200, 400), (300, 500)], [(200, 400), (300, 500), (100, 300)]
        return in_band(loan, *(inner if in_band(salary, *bands[era]) else outer)[era])
    if function == 6:
        return in_band(total, *bands[era])
    equity = 0.1 * row["hvalue"] * max(row["hyears"] - 20, 0)
    disposable = {
        7: 2 / 3 * total - 0.2 * loan - 20_000,
        8: 2 / 3 * total - 5_000 * elevel - 20_000,
        9: 2 / 3 * total - 5_000 * elevel - 0.2 * loan - 10_000,
        10: 2 / 3 * total - 5_000 * elevel + 0.2 * equity - 10_000,
    }
    return disposable[function] > 0


@pytest.mark.parametrize("function", range(1, 11))
def test_labels_follow_the_paper(function: int) -> None:
    random = np.random.default_rng(function)
    n_rows = 3000
    columns = {
        "salary": random.uniform(20_000, 150_000, n_rows),
        "commission": random.uniform(0, 75_000, n_rows),
        "age": random.integers(20, 81, n_rows),
        "elevel": random.integers(0, 5, n_rows),
        "hvalue": random.uniform(0, 1_000_000, n_rows),
        "hyears": random.integers(1, 31, n_rows),
        "loan": random.uniform(0, 500_000, n_rows),
    }
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    found = FUNCTIONS[function](columns)
    assert found.tolist() == [by_the_paper(function, row) for row in rows]
    assert 0.02 < found.mean() < 1


def test_some_rows_worked_by_hand() -> None:
    assert is_a(1, age=39) and not is_a(1, age=40) and not is_a(1, age=59) and is_a(1, age=60)
    assert is_a(2, age=45, salary=125_000) and not is_a(2, age=45, salary=74_999)
    assert is_a(5, age=70, salary=100_000, loan=100_000) and not is_a(5, age=70, salary=50_000, loan=100_000)
    assert is_a(7, salary=90_000, loan=199_000) and not is_a(7, salary=90_000, loan=200_000)
    assert is_a(10, elevel=4, hvalue=500_000, hyears=30) and not is_a(10, elevel=4, hvalue=500_000, hyears=22)


def test_equal_seeds_give_equal_rows_and_others_others() -> None:
    settings = AgrawalSettings(concepts=((500, 3),), seed=1, label_noise=0.1, missing={"loan": 0.2})
    assert generate(settings) == generate(settings)
    assert generate(settings) != generate(AgrawalSettings(concepts=((500, 3),), seed=2))


def test_a_concept_switches_at_its_row_and_nothing_else_does() -> None:
    still = generate(AgrawalSettings(concepts=((2000, 1),)))
    switched = generate(AgrawalSettings(concepts=((1000, 1), (1000, 3))))
    assert still.drop(["group"]) == switched.drop(["group"])
    assert still["group"].slice(0, 1000) == switched["group"].slice(0, 1000)
    assert still["group"].slice(1000) != switched["group"].slice(1000)


def test_columns_keep_their_ranges() -> None:
    table = generate(AgrawalSettings(concepts=((5000, 1),), perturbation=0.2))
    salary, age = pc.min_max(table["salary"]).as_py(), pc.min_max(table["age"]).as_py()
    assert 20_000 <= salary["min"] < 21_000 and 149_000 < salary["max"] <= 150_000
    assert (age["min"], age["max"]) == (20, 80)
    assert sorted(pc.unique(table["elevel"]).to_pylist()) == ["e0", "e1", "e2", "e3", "e4"]
    assert len(pc.unique(table["car"])) == 20 and "make-20" in pc.unique(table["car"]).to_pylist()
    assert len(pc.unique(table["zipcode"])) == 9
    assert set(table["group"].to_pylist()) == {"A", "B"}


def test_without_perturbation_the_label_can_be_read_off() -> None:
    table = generate(AgrawalSettings(concepts=((2000, 1),), perturbation=0.0))
    columns = {"age": np.asarray(table["age"])}
    assert FUNCTIONS[1](columns).tolist() == [group == "A" for group in table["group"].to_pylist()]


def test_noise_and_missing_values_have_their_shares() -> None:
    clean = generate(AgrawalSettings(concepts=((20_000, 2),)))
    noisy = generate(AgrawalSettings(concepts=((20_000, 2),), label_noise=0.4, missing={"car": 0.25}))
    changed = np.mean(np.asarray(clean["group"]) != np.asarray(noisy["group"]))
    assert changed == pytest.approx(0.2, abs=0.02)
    assert noisy["car"].null_count / 20_000 == pytest.approx(0.25, abs=0.02)
    assert clean["car"].null_count == 0


def test_events_come_at_a_fixed_rate() -> None:
    start = datetime(2025, 5, 1, tzinfo=UTC)
    times = generate(AgrawalSettings(concepts=((3, 1),), start=start, every_s=0.5))["applied_at"].to_pylist()
    assert [(time - start).total_seconds() for time in times] == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    "wrong",
    [{"concepts": ((10, 11),)}, {"concepts": ((0, 1),)}, {"label_noise": 2.0}, {"missing": {"x": 0.1}}],
)
def test_settings_have_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        AgrawalSettings(**wrong)


def test_the_quickstart_is_equal_to_the_byte(tmp_path: Path) -> None:
    def digests(folder: Path) -> list[str]:
        paths = write_quickstart(folder, n_rows=1000)
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]

    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert len(list((tmp_path / "a").iterdir())) == 4


def test_files_split_the_rows_in_order(tmp_path: Path) -> None:
    table = generate(AgrawalSettings(concepts=((10, 1),)))
    paths = write_files(tmp_path, table, 3)
    parts = [parquet.read_table(path) for path in paths]
    assert [part.num_rows for part in parts] == [3, 3, 4]
    assert [row for part in parts for row in part.to_pylist()] == table.to_pylist()
