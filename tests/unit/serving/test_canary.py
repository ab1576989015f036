"""A canary beside the champion: who answers which row, and that no client pays for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count

import numpy as np
import pytest

from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json
from raypipe.data.roles import Role, read_role
from raypipe.serving.canary import LoadedCanary
from raypipe.serving.capture import AnsweredRow
from raypipe.serving.endpoint import Asked, Endpoint, Keyed
from raypipe.serving.pointer import Canary, DamagedPointer, Pointer, read_pointer, write_pointer
from raypipe.serving.swap import LoadedVersion, VersionHolder, load_version
from raypipe.testing import FakeClock
from raypipe.testing.serving import TINY_TASK, tiny_model, write_tiny_version

ROW: dict[str, Json] = {"amount": 1.5, "size": 1, "colour": "red", "member": True, "seen": None}
TERMS = Canary("v2", "", weight=0.25, max_rows=10_000, slow_ms=50.0)


@pytest.fixture
def name(folder: PipelineHome, released: Pointer) -> Callable[..., Pointer]:
    """Return what writes a pointer to v1 with v2 beside it, under a new epoch."""
    digest = write_tiny_version(folder, "v2", 0, model=tiny_model(0.1)).manifest_sha256
    epochs = count(2)

    def write(**terms: object) -> Pointer:
        canary = replace(TERMS, manifest_sha256=digest, **terms)  # type: ignore[arg-type]
        pointer = replace(released, epoch=next(epochs), canary=canary)
        write_pointer(folder.pointer, pointer)
        return pointer

    return write


@pytest.fixture
def endpoint(make_endpoint: Callable[..., Endpoint], name: Callable[..., Pointer]) -> Endpoint:
    found = make_endpoint()
    found.versions.follow(name())
    return found


def body(*rows: dict[str, Json], ids: list[str] | None = None) -> bytes:
    return json.dumps({"rows": rows} if ids is None else {"rows": rows, "ids": ids}).encode()


def items(endpoint: Endpoint, asked: Asked) -> list[dict[str, Json]]:
    reply = endpoint.predict(asked)
    assert reply.status == 200
    found: list[dict[str, Json]] = json.loads(reply.body)["predictions"]
    return found


def roles(rows: list[AnsweredRow]) -> list[Role | None]:
    return [read_role(row.role or "champion") for row in rows]


def canary_of(endpoint: Endpoint) -> LoadedCanary:
    found = endpoint.versions.current.canary
    assert found is not None
    return found


def test_a_part_of_the_rows_is_the_canarys(endpoint: Endpoint, capture: object) -> None:
    ids = [f"i{n}" for n in range(2_000)]
    found = items(endpoint, body(*[ROW] * 2_000, ids=ids))
    by_canary = [item for item in found if item.get("version") == "v2"]
    assert 0.22 < len(by_canary) / 2_000 < 0.28
    assert {item["prediction"] for item in by_canary} == {"bad"}
    assert {item["prediction"] for item in found if "version" not in item} == {"good"}
    rows: list[AnsweredRow] = capture.rows  # type: ignore[attr-defined]
    assert [row.id for row in rows] == ids
    assert [row.version for row in rows] == [item.get("version") for item in found]
    told = roles(rows)
    assert {role.epoch for role in told if role} == {2}
    assert [role is not None and role.arm == "canary" for role in told] == [
        "version" in item for item in found
    ]


def test_a_key_keeps_its_arm_as_the_weight_grows(endpoint: Endpoint, name: Callable[..., Pointer]) -> None:
    keys = [{**ROW, "colour": f"c{n}"} for n in range(300)]
    seen = set[int]()
    for weight in (0.1, 0.4, 0.8):
        endpoint.versions.follow(name(weight=weight, column="colour"))
        found = {n for n, item in enumerate(items(endpoint, body(*keys, *keys))) if "version" in item}
        assert {n + 300 for n in found if n < 300} == {n for n in found if n >= 300}
        first = {n for n in found if n < 300}
        assert seen < first
        seen = first
    assert 200 < len(seen) < 280


def test_a_column_that_no_model_uses_may_be_the_key(endpoint: Endpoint, name: Callable[..., Pointer]) -> None:
    endpoint.versions.follow(name(weight=0.5, column="note"))
    found = items(endpoint, body(*[{**ROW, "note": f"n{i % 10}"} for i in range(100)]))
    arms = ["version" in item for item in found]
    assert arms[:10] * 10 == arms
    assert len(set(arms)) == 2


def test_a_row_without_its_key_is_in_no_arm(
    endpoint: Endpoint, name: Callable[..., Pointer], capture: object
) -> None:
    endpoint.versions.follow(name(weight=0.999, column="note"))
    items(endpoint, body(*[ROW] * 20))
    endpoint.versions.follow(name(weight=0.999, header="X-User"))
    items(endpoint, body(*[ROW] * 20))
    assert roles(capture.rows) == [None] * 40  # type: ignore[attr-defined]


def test_a_header_decides(endpoint: Endpoint, name: Callable[..., Pointer]) -> None:
    endpoint.versions.follow(name(weight=0.5, header="X-User"))
    arms = {}
    for user in (f"u{n}" for n in range(40)):
        key = endpoint.key_of({b"x-user": user.encode()})
        assert key == user
        found = [{"version" in item for item in items(endpoint, Keyed(body(ROW, ROW), key))} for _ in "ab"]
        assert found[0] == found[1]
        [arms[user]] = found[0]
    assert set(arms.values()) == {True, False}


class Broken:
    """Raises, or answers NaN, for every row."""

    format = "broken"

    def __init__(self, answer: float | None) -> None:
        self._answer = answer

    def predict(self, features: np.ndarray) -> np.ndarray:
        if self._answer is None:
            raise RuntimeError("no such tree")
        return np.full((len(features), 2), self._answer)


@pytest.mark.parametrize("answer", [None, float("nan")])
def test_what_the_canary_fails_on_the_champion_answers(
    endpoint: Endpoint, capture: object, answer: float | None
) -> None:
    canary = canary_of(endpoint)
    canary.predictor = replace(canary.predictor, model=Broken(answer))  # type: ignore[arg-type]
    found = items(endpoint, body(*[ROW] * 200))
    assert {item["prediction"] for item in found} == {"good"}
    arms = [role.arm for role in roles(capture.rows) if role]  # type: ignore[attr-defined]
    assert set(arms) == {"fallback", "control"}
    assert canary.n_rows == arms.count("fallback") > 20


def test_a_canary_spends_no_more_rows_than_it_has(
    endpoint: Endpoint, name: Callable[..., Pointer], capture: object
) -> None:
    endpoint.versions.follow(name(max_rows=7))
    found = items(endpoint, body(*[ROW] * 300))
    assert sum("version" in item for item in found) == 7
    items(endpoint, body(*[ROW] * 50))
    told = roles(capture.rows)  # type: ignore[attr-defined]
    # What comes when it has spent them is in neither arm: the weight holds no more.
    last = max(place for place, role in enumerate(told) if role and role.arm == "canary")
    assert set(told[last + 1 :]) == {None}


@pytest.mark.parametrize("n_replicas", [1, 3])
def test_replicas_that_start_anew_spend_no_more_rows_than_the_step_has(
    folder: PipelineHome,
    clock: FakeClock,
    make_endpoint: Callable[..., Endpoint],
    name: Callable[..., Pointer],
    n_replicas: int,
) -> None:
    step: dict[str, object] = {"max_rows": 40, "weight": 0.5, "budget": "tiny-retrain-1-step-1"}
    ids = (f"i{n}" for n in count())

    def started() -> Endpoint:
        found = make_endpoint()
        found.versions = VersionHolder(folder.pointer, partial(load_version, folder), clock)
        return found

    def spent(replica: Endpoint, n: int) -> int:
        found = items(replica, body(*[ROW] * n, ids=[next(ids) for _ in range(n)]))
        by_canary = sum("version" in item for item in found)
        assert canary_of(replica).n_rows == by_canary
        return by_canary

    n_spent = 0
    for n_starts in range(12):
        if n_starts in (0, 6):
            name(**step)  # The second time under another epoch, as after a crash.
        n_spent += sum(spent(replica, 4) for replica in [started() for _ in range(n_replicas)])
    last = started()
    n_spent += spent(last, 400)
    assert canary_of(last).budget.is_empty
    assert 20 <= n_spent <= 40


def test_slow_answers_are_marked_in_both_arms(
    versions: VersionHolder, capture: object, clock: FakeClock, name: Callable[..., Pointer]
) -> None:
    from raypipe.serving.config import ServingSettings

    moments: Iterator[float] = count(0, 0.06)
    endpoint = Endpoint(
        "tiny",
        ServingSettings(),
        versions=versions,
        capture=capture,  # type: ignore[arg-type]
        clock=clock,
        replica="r1",
        timer=lambda: next(moments),
    )
    versions.follow(name(weight=0.5))
    items(endpoint, body(*[ROW] * 50))
    told = [role for role in roles(capture.rows) if role]  # type: ignore[attr-defined]
    assert {(role.arm, role.slow) for role in told} == {("canary", True), ("control", True)}


def test_champion_and_canary_are_loaded_once(
    folder: PipelineHome, released: Pointer, clock: FakeClock, name: Callable[..., Pointer]
) -> None:
    loads: list[str] = []

    def load(pointer: Pointer) -> LoadedVersion:
        loads.append(pointer.version)
        return load_version(folder, pointer)

    versions = VersionHolder(folder.pointer, load, clock)
    since = versions.current.since
    clock.advance(5)
    first, second = name(), name(weight=0.5)
    versions.follow(second)
    assert versions.current.since == since
    promoted = Pointer("v2", first.canary.manifest_sha256 if first.canary else "", 9)
    write_pointer(folder.pointer, promoted)
    versions.follow(promoted)
    assert versions.current.loaded.pointer == promoted
    assert versions.current.canary is None
    assert loads == ["v1", "v2"]


def test_a_canary_that_cannot_be_loaded_costs_nothing(
    folder: PipelineHome, versions: VersionHolder, clock: FakeClock, name: Callable[..., Pointer]
) -> None:
    name()
    (folder.model("v2") / "golden.json").unlink()
    versions.poll()
    assert versions.current.loaded.pointer.epoch == 1
    assert versions.refusal is not None
    assert "golden.json" in versions.refusal.message
    started = VersionHolder(folder.pointer, partial(load_version, folder), clock)
    assert (started.current.loaded.pointer.version, started.current.canary) == ("v1", None)
    assert started.refusal is not None


def test_another_order_of_classes_is_put_right(
    folder: PipelineHome, released: Pointer, make_endpoint: Callable[..., Endpoint]
) -> None:
    task = replace(TINY_TASK, classes=("good", "bad", "late"))
    from raypipe.training.families.baseline import ConstantModel

    model = ConstantModel((0.1, 0.7, 0.2), None)
    digest = write_tiny_version(folder, "v2", 0, model=model, task=task).manifest_sha256
    endpoint = make_endpoint()
    write_pointer(folder.pointer, replace(released, epoch=2, canary=replace(TERMS, manifest_sha256=digest)))
    endpoint.versions.poll()
    found = [item for item in items(endpoint, body(*[ROW] * 50)) if "version" in item]
    assert {item["prediction"] for item in found} == {"bad"}
    assert found[0]["probabilities"] == {"bad": 0.7, "good": 0.1}


def test_the_file_names_both(folder: PipelineHome, name: Callable[..., Pointer]) -> None:
    pointer = name(weight=0.5, column="customer")
    assert read_pointer(folder.pointer) == pointer
    value = json.loads(folder.pointer.read_bytes())
    assert (value["version"], value["canary"]["version"], value["canary"]["weight"]) == ("v1", "v2", 0.5)


@pytest.mark.parametrize("spoilt", [{"weight": 1.5}, {"version": "../x"}, {"weight": "half"}])
def test_a_damaged_canary_is_told(
    folder: PipelineHome, name: Callable[..., Pointer], spoilt: dict[str, object]
) -> None:
    name()
    value = json.loads(folder.pointer.read_bytes())
    folder.pointer.write_text(json.dumps(value | {"canary": value["canary"] | spoilt}))
    with pytest.raises(DamagedPointer, match="must hold a canary with"):
        read_pointer(folder.pointer)
