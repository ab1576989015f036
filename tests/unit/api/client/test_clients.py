"""Tables in, the same kind out; large inputs in several requests, in order."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from raypipe import AsyncClient, Client
from raypipe.core.errors import ConfigError, DataError, EndpointUnavailable, ServingError
from tests.unit.api.client.faulty import Scripted, answered, hang_up, says

XS = [0.5, -1.0, None, 3.0]


@pytest.mark.parametrize(
    ("make", "as_dicts"),
    [
        (lambda columns: pd.DataFrame(columns), lambda frame: frame.astype(object).to_dict("records")),
        (lambda columns: pl.DataFrame(columns), lambda frame: frame.to_dicts()),
        (lambda columns: pa.table(columns), lambda table: table.to_pylist()),
    ],
    ids=["pandas", "polars", "pyarrow"],
)
def test_a_table_is_answered_by_one_of_its_kind(
    server: Scripted, make: Callable[..., Any], as_dicts: Callable[[Any], list[dict[str, Any]]]
) -> None:
    table = make({"x": XS})
    with Client(server.url) as client:
        answers = client.predict(table, ids=["i", "j", "k", "l"])
    assert type(answers) is type(table)
    rows = as_dicts(answers)
    assert list(rows[0]) == ["id", "prediction", "probability_a", "probability_b", "version", "error"]
    assert [row["id"] for row in rows] == ["i", "j", "k", "l"]
    assert rows[0]["prediction"] == 0.5
    assert (rows[0]["probability_a"], rows[0]["probability_b"], rows[0]["version"]) == (0.25, 0.75, "v1")
    assert rows[1]["error"] == "x must be >= 0."
    assert pd.isna(rows[1]["prediction"])
    assert pd.isna(rows[0]["error"])
    assert server.bodies[0]["rows"] == [{"x": one} for one in XS]


def test_an_index_is_kept(server: Scripted) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0]}, index=pd.Index(["p", "q"], name="customer"))
    with Client(server.url) as client:
        assert client.predict(frame).index.equals(frame.index)


def test_mappings_are_answered_by_predictions(server: Scripted) -> None:
    with Client(server.url) as client:
        good, bad = client.predict(row for row in [{"x": 1}, {"x": -1}])
        again, _ = client.predict([{"x": 1}, {"x": -1}])
    assert (good.value, good.probabilities) == (1, {"a": 0.25, "b": 0.75})
    assert (good.version, good.error) == ("v1", None)
    assert (bad.value, bad.error, bad.errors[0].column) == (None, "x must be >= 0.", "x")
    assert len({good.id, bad.id, again.id}) == 3


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table])
def test_values_of_all_types_go_as_json(server: Scripted, kind: Callable[..., Any]) -> None:
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    columns = {
        "x": np.array([1.0, np.nan], dtype=np.float32),
        "n": np.array([1, 2**40]),
        "flag": np.array([True, False]),
        "at": pd.Series([at, None]) if kind is pd.DataFrame else [at, None],
        "day": [date(2026, 1, 31), None],
        "text": ["ä", None],
        "price": [Decimal("1.25"), None],
    }
    with Client(server.url) as client:
        client.predict(kind(columns))
    first, second = server.bodies[0]["rows"]
    assert first == {
        "x": 1.0,
        "n": 1,
        "flag": True,
        "at": "2026-01-31T12:00:00+00:00",
        "day": "2026-01-31",
        "text": "ä",
        "price": 1.25,
    }
    assert second == {**dict.fromkeys(first), "n": 2**40, "flag": False}


def test_values_of_numpy_and_pandas_in_mappings(server: Scripted) -> None:
    row = {
        "x": np.float64(1.5),
        "n": np.int8(3),
        "nat": pd.NaT,
        "na": pd.NA,
        "nan": math.nan,
        "at": pd.Timestamp("2026-01-31 12:00:00.000000001"),
        "at64": np.datetime64("2026-01-31T12:00"),
        "many": np.array([1, 2]),
        "huge": 2**80,
        "money": Decimal("Infinity"),
    }
    with Client(server.url) as client:
        client.predict([row])
    assert server.bodies[0]["rows"][0] == {
        "x": 1.5,
        "n": 3,
        "nat": None,
        "na": None,
        "nan": None,
        "at": "2026-01-31T12:00:00.000000001",
        "at64": "2026-01-31T12:00",
        "many": [1, 2],
        "huge": 2**80,
        "money": math.inf,
    }


def test_nullable_and_categorical_columns_of_pandas(server: Scripted) -> None:
    frame = pd.DataFrame(
        {
            "x": pd.array([1, None], dtype="Int64"),
            "kind": pd.Categorical(["a", None]),
            "flag": pd.array([True, None], dtype="boolean"),
            "at": pd.to_datetime(["2026-01-31", None]),
            "wide": [math.inf, 1.0],
        }
    )
    with Client(server.url) as client:
        client.predict(frame)
    assert server.bodies[0]["rows"] == [
        {"x": 1, "kind": "a", "flag": True, "at": "2026-01-31T00:00:00", "wide": math.inf},
        {"x": None, "kind": None, "flag": None, "at": None, "wide": 1.0},
    ]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ({"x": 1}, "rows must be a list of mappings, or a table: .* Got dict"),
        (pd.DataFrame([[1, 2]], columns=["x", "x"]), "names that differ. Got 'x'"),
        (pd.DataFrame({0: [1]}), "must be text. Got 0"),
        ([{"x": 1}, {"x": object()}], "item 1 cannot be sent: x: a value must be a number"),
        ([{"x": "\ud800"}], "item 0 cannot be sent"),
    ],
    ids=["a mapping", "twice", "no text", "no value", "half a character"],
)
def test_what_cannot_be_sent_is_told(server: Scripted, rows: Any, told: str) -> None:
    with Client(server.url) as client, pytest.raises(DataError, match=told):
        client.predict(rows)
    assert server.bodies == []


@pytest.mark.parametrize(
    ("ids", "told"),
    [(["a"], "Got 1 ids for 2 rows"), (["a", "a"], "differ"), (["a", ""], "1 to 200"), (["a", 3], "Got 3")],
)
def test_ids_are_checked_first(server: Scripted, ids: list[Any], told: str) -> None:
    with Client(server.url) as client, pytest.raises(ConfigError, match=told):
        client.predict([{"x": 1}, {"x": 2}], ids)


def test_no_rows_ask_nothing(server: Scripted) -> None:
    with Client(server.url) as client:
        assert client.predict([]) == []
        assert client.predict(pl.DataFrame({"x": []})).height == 0
        assert client.feedback({}).n_accepted == 0
    assert server.bodies == []


def test_many_rows_go_in_several_requests(server: Scripted) -> None:
    with Client(server.url, max_rows=10) as client:
        answers = client.predict([{"x": x} for x in range(25)])
    assert [one.value for one in answers] == [*range(25)]
    assert [len(body["rows"]) for body in server.bodies] == [10, 10, 5]


def test_requests_stay_below_the_bytes_allowed(server: Scripted) -> None:
    rows = [{"x": x, "text": "ä" * (x % 50)} for x in range(300)]
    with Client(server.url, max_body_bytes=2_000) as client:
        client.predict(rows)
    assert max(int(headers["Content-Length"]) for headers in server.headers) <= 2_000
    assert [row for body in server.bodies for row in body["rows"]] == rows


def test_an_endpoint_that_takes_fewer_rows_gets_fewer(server: Scripted) -> None:
    server.max_rows = 3
    with Client(server.url) as client:
        answers = client.predict([{"x": x} for x in range(20)])
    assert [one.value for one in answers] == [*range(20)]
    taken = [body for body in server.bodies if len(body["rows"]) <= 3]
    assert [one.id for one in answers] == [id_ for body in taken for id_ in body["ids"]]
    server.max_rows = 0
    with Client(server.url) as client, pytest.raises(ServingError, match="refuses the request with 413"):
        client.predict([{"x": 1}])


def test_a_failure_in_the_middle_tells_how_far_it_came(server: Scripted) -> None:
    server.steps.extend([answered, answered, says(500)])
    told = r"with 500: not now\. The first 20 rows are through\."
    with Client(server.url, max_rows=10) as client, pytest.raises(ServingError, match=told):
        client.predict([{"x": x} for x in range(35)])


def test_labels_from_all_that_holds_them(server: Scripted) -> None:
    table = {"id": ["a", "b", "c"], "label": ["good", None, "bad"]}
    with Client(server.url) as client:
        for given in (
            pd.DataFrame(table),
            pl.DataFrame(table),
            pa.table(table),
            {"a": "good", "b": None, "c": "bad"},
        ):
            told = client.feedback(given)
            assert (told.n_accepted, told.n_empty, told.refused) == (2, 1, ())
        client.feedback([{"key": "a", "truth": np.int64(3)}], id_column="key", label_column="truth")
    wanted = {"labels": [{"id": "a", "label": "good"}, {"id": "c", "label": "bad"}]}
    assert server.bodies == [wanted] * 4 + [{"labels": [{"id": "a", "label": 3}]}]


def test_refused_labels_are_told_by_their_place(server: Scripted) -> None:
    server.steps.append(answered)
    error = {"index": 1, "id": "l3", "message": "outcome must be one of good, bad."}
    server.steps.append(lambda handler: handler.reply(200, {"accepted": 1, "errors": [error]}))
    labels = {"l0": "good", "l1": math.nan, "l2": "good", "l4": "good", "l3": "else"}
    with Client(server.url, max_rows=2) as client:
        told = client.feedback(labels)
    assert (told.n_accepted, told.n_empty) == (3, 1)
    assert [(one.index, one.id) for one in told.refused] == [(4, "l3")]


def test_labels_without_an_id_are_told(server: Scripted) -> None:
    with Client(server.url) as client, pytest.raises(DataError, match="must have 'id' and 'label'"):
        client.feedback([{"id": "a"}])


def test_tokens_come_from_a_file_or_the_environment(
    server: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("of-file\n")
    Client(server.url, token_file=file).status()
    monkeypatch.setenv("RAYPIPE_TOKEN_FILE", str(file))
    Client(server.url).status()
    monkeypatch.setenv("RAYPIPE_TOKEN", "of-environment")
    Client(server.url).status()
    Client(server.url, "of-argument").status()
    shown = [headers["authorization"] for headers in server.headers]
    assert shown == [f"Bearer of-{one}" for one in ("file", "file", "environment", "argument")]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"token": "a", "token_file": "b"}, "not be given both"),
        ({"token": "two words"}, "token must be a token"),
        ({"token": "a\r\nx: y"}, "token must be a token"),
        ({"token_file": "nowhere"}, "token_file must be a file that can be read. Got nowhere: No such file"),
    ],
)
def test_wrong_tokens_are_told_and_not_shown(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as error:
        Client("http://host/x", **arguments)
    assert "two words" not in str(error.value)


def test_async_answers_come_in_order_with_few_in_flight(server: Scripted) -> None:
    gate, flying, most = threading.Barrier(3, timeout=5), [0], [0]

    def together(handler: Any) -> None:
        with server.lock:
            flying[0] += 1
            most[0] = max(most[0], flying[0])
        gate.wait()
        with server.lock:
            flying[0] -= 1
        answered(handler)

    async def ask() -> list[Any]:
        async with AsyncClient(server.url, max_rows=10, max_in_flight=3) as client:
            return await client.predict([{"x": x} for x in range(90)])

    server.steps.extend([together] * 9)
    assert [one.value for one in asyncio.run(ask())] == [*range(90)]
    assert most == [3]


def test_async_tables_labels_and_status(server: Scripted) -> None:
    async def ask() -> None:
        async with AsyncClient(server.url) as client:
            frame = await client.predict(pl.DataFrame({"x": [1.0, 2.0]}))
            assert frame["prediction"].to_list() == [1.0, 2.0]
            assert (await client.feedback(dict.fromkeys(frame["id"], "good"))).n_accepted == 2
            assert (await client.status()).version == "v1"
        with pytest.raises(ServingError, match="is closed"):
            await client.predict([{"x": 1}])
        with pytest.raises(ServingError, match="is closed"):
            await client.status()

    asyncio.run(ask())


def test_async_failures_are_raised_once(server: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    async def ask() -> None:
        async with AsyncClient(server.url, max_rows=1, max_retries=0, max_in_flight=4) as client:
            with pytest.raises(EndpointUnavailable):
                await client.predict([{"x": x} for x in range(8)])

    server.steps.extend([hang_up] * 8)
    asyncio.run(ask())
    assert caplog.records == []


def test_async_closing_ends_what_waits_for_another_try(server: Scripted) -> None:
    async def ask() -> None:
        client = AsyncClient(server.url)
        asked = asyncio.create_task(client.predict([{"x": 1}]))
        while not server.bodies:
            await asyncio.sleep(0.005)
        await client.close()
        with pytest.raises(ServingError, match="is closed"):
            await asked

    server.steps.append(says(429, retry_after="60"))
    asyncio.run(asyncio.wait_for(ask(), 10))
