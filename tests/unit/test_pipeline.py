"""The stages of the loop that need no Ray: releases, what rollback goes back to, the id of a run."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.config.load import parse_config
from raypipe.config.yaml_text import Plain
from raypipe.core.errors import ArtifactError, DataError, ServingError, StaleEpoch, UnknownVersion
from raypipe.data.schema import Column
from raypipe.data.versions import DataVersion, Erasure
from raypipe.registry.manifest import ManifestDraft
from raypipe.registry.store import Registry
from raypipe.retraining import RetrainingLoop
from raypipe.serving.pointer import read_pointer
from raypipe.serving.releases import CHAMPION, answers_at, undone
from raypipe.testing import FakeClock
from raypipe.training.kept import open_run
from raypipe.training.trials import Trials

SETTINGS: dict[str, Plain] = {
    "name": "credit",
    "home": "home",
    "data": {"sources": [{"name": "files", "format": "csv", "path": "rows/*.csv"}], "label": "group"},
}
NOBODY = answers_at("http://127.0.0.1:1", 1, timeout_s=0.01)


def no_ray() -> AbstractContextManager[Trials]:
    raise AssertionError("this stage needs no Ray")


@pytest.fixture
def loop(tmp_path: Path) -> RetrainingLoop:
    """Return a loop whose registry holds v1, v2 and v3."""
    config = parse_config(SETTINGS, tmp_path)
    config.root.prepare()
    registry = Registry(config.root.registry_url, FakeClock())
    for number in (1, 2, 3):
        staged = config.folder.root / "staging" / str(number)
        staged.mkdir(parents=True)
        (staged / "model.txt").write_text(str(number))
        draft = ManifestDraft("credit", "d-1", f"r-{number}", {}, "linear", "json", {}, {}, {})
        registry.register("credit", staged, config.folder.models, draft)
    return RetrainingLoop(config, registry, FakeClock(), no_ray)


def release(loop: RetrainingLoop, *versions: str) -> None:
    for version in versions:
        loop.releases.release(version, expected=loop.registry.alias("credit", CHAMPION), reason="test")


def test_a_release_moves_alias_and_pointer_under_one_epoch(loop: RetrainingLoop) -> None:
    pointer = loop.releases.release("v1", expected=None, reason="the first")
    assert read_pointer(loop.config.folder.pointer) == pointer
    assert loop.registry.alias("credit", CHAMPION) == "v1"
    assert pointer.epoch == loop.registry.epoch("credit")
    assert pointer.manifest_sha256 == loop.registry.model_version("credit", "v1").manifest_sha256


def test_of_two_releases_at_once_one_is_told(loop: RetrainingLoop) -> None:
    release(loop, "v1", "v2")
    with pytest.raises(StaleEpoch):
        loop.releases.release("v3", expected="v1", reason="decided while v1 still was the champion")
    pointer = read_pointer(loop.config.folder.pointer)
    assert pointer is not None and pointer.version == loop.registry.alias("credit", CHAMPION) == "v2"


def test_an_unknown_version_is_not_released(loop: RetrainingLoop) -> None:
    with pytest.raises(UnknownVersion):
        loop.releases.release("v9", expected=None, reason="")
    assert read_pointer(loop.config.folder.pointer) is None


def test_a_pointer_left_behind_follows_the_registry_again(loop: RetrainingLoop) -> None:
    release(loop, "v1")
    loop.registry.set_alias("credit", CHAMPION, "v2", reason="then the process died")
    assert loop.releases.point_again().version == "v2"
    pointer = read_pointer(loop.config.folder.pointer)
    assert pointer is not None and pointer.version == "v2"


def test_a_promotion_cut_short_is_done_to_its_end(loop: RetrainingLoop) -> None:
    """The alias had moved when the process died; the pointer, which the endpoint follows, had not."""
    release(loop, "v1")
    loop.registry.set_alias("credit", CHAMPION, "v2", reason="then the process died")
    pointer = loop.releases.promote("v2", expected="v1", reason="again").pointer
    assert pointer == read_pointer(loop.config.folder.pointer)
    assert pointer.version == "v2"


def test_a_promotion_that_is_done_is_not_done_again(loop: RetrainingLoop) -> None:
    release(loop, "v1")
    before = loop.releases.promote("v2", expected="v1", reason="better")
    again = loop.releases.promote("v2", expected="v1", reason="better")
    assert (before.is_new, again.is_new) == (True, False)
    assert again.pointer == before.pointer
    assert loop.registry.epoch("credit") == before.pointer.epoch


def test_an_endpoint_that_does_not_follow_brings_the_champion_back(loop: RetrainingLoop) -> None:
    release(loop, "v1")
    with pytest.raises(ServingError, match="did not come to epoch"):
        loop.releases.promote("v2", expected="v1", reason="better", follow=NOBODY)
    pointer = read_pointer(loop.config.folder.pointer)
    assert pointer is not None and pointer.version == loop.registry.alias("credit", CHAMPION) == "v1"


def test_a_damaged_version_is_refused_before_anything_moves(loop: RetrainingLoop) -> None:
    """Also where no endpoint answers that could refuse it."""
    release(loop, "v1")
    before = read_pointer(loop.config.folder.pointer)
    damage(loop, "v2")
    with pytest.raises(ArtifactError, match=r"v2 was refused, and v1 stays the champion: .*truncated"):
        loop.releases.promote("v2", expected="v1", reason="better")
    assert loop.registry.alias("credit", CHAMPION) == "v1"
    assert len(loop.registry.alias_history("credit", CHAMPION)) == 1
    assert read_pointer(loop.config.folder.pointer) == before


def test_a_champion_that_was_damaged_meanwhile_comes_back_all_the_same(loop: RetrainingLoop) -> None:
    """The replicas still hold it, and the other one they do not take."""
    release(loop, "v1")
    damage(loop, "v1")
    with pytest.raises(ServingError, match="did not come to epoch"):
        loop.releases.promote("v2", expected="v1", reason="better", follow=NOBODY)
    assert loop.registry.alias("credit", CHAMPION) == "v1"


def damage(loop: RetrainingLoop, version: str) -> None:
    (loop.config.folder.model(version) / "model.txt").write_text("")


def test_a_decision_carried_out_before_knows_its_rows(
    loop: RetrainingLoop, data_version: DataVersion
) -> None:
    """Rows that came later would move the split, and training rows of then could judge."""
    assert loop._learned_from("r-2") is None
    loop.registry.add_data_version("credit", data_version)
    assert loop._learned_from("r-2") == data_version
    assert loop._learned_from("r-9") is None


def test_a_decision_that_died_half_way_goes_on_with_its_rows(
    loop: RetrainingLoop, data_version: DataVersion
) -> None:
    """Labels that came meanwhile would make other rows, of which no trial has learned."""
    with open_run(loop.config.folder.runs / "r-9", content="c-1", data="d-1"):
        pass
    loop.registry.add_data_version("credit", data_version)
    assert loop._learned_from("r-9") == data_version


def test_rollback_goes_back_step_by_step_and_not_forth(loop: RetrainingLoop) -> None:
    release(loop, "v1", "v2", "v3")
    assert loop.releases.rollback(expected="v3", reason="").pointer.version == "v2"
    assert loop.releases.rollback(expected="v2", reason="").pointer.version == "v1"
    with pytest.raises(UnknownVersion, match="no other champion"):
        loop.releases.rollback(expected="v1", reason="")


@given(st.lists(st.sampled_from(["v1", "v2", "v3", "v4"]), max_size=20))
def test_what_stands_is_a_path_without_returns(releases: list[str]) -> None:
    standing = undone(releases)
    assert len(set(standing)) == len(standing)
    assert standing[-1:] == releases[-1:]
    assert standing[:1] == releases[:1]


def test_a_run_id_follows_from_what_changes_the_model(
    loop: RetrainingLoop, data_version: DataVersion
) -> None:
    def run_id(**changes: Plain) -> str:
        config = parse_config({**SETTINGS, **changes}, Path("/anywhere/else"))
        return replace(loop, config=config).run_id(data_version)

    base = run_id()
    assert run_id(serving={"port": 9000}, cluster={"cpus": 1}, home="elsewhere") == base
    assert run_id(training={"resources": {"max_concurrent": 1}}) == base
    assert run_id(training={"seed": 1}) != base
    assert run_id(processing={"use_time": True}) != base


def test_rows_of_which_some_were_erased_are_learned_from_anew(
    loop: RetrainingLoop, data_version: DataVersion
) -> None:
    erased = replace(data_version, erased=(Erasure("e-1", FakeClock().now(), 3, "asked to"),))
    assert loop.run_id(erased) != loop.run_id(data_version)


def test_a_run_on_a_named_version_wants_its_rows_and_columns(
    loop: RetrainingLoop, data_version: DataVersion
) -> None:
    columns = (Column(loop.config.data.label_name, "integer", nullable=False),)
    known = replace(data_version, columns=columns)
    loop.registry.add_data_version("credit", known)
    loop.registry.add_data_version("credit", replace(known, id="d-2", removed_at=FakeClock().now()))
    loop.registry.add_data_version("credit", replace(known, id="d-3", columns=()))
    assert loop.known("d-1") == known
    with pytest.raises(UnknownVersion, match=r"one of those there are \(d-3, d-1\)\. Got 'd-9'"):
        loop.known("d-9")
    with pytest.raises(DataError, match=r"^d-2 was removed on 20.*its rows are gone"):
        loop.known("d-2")
    with pytest.raises(DataError, match=r"data\.label must be a column of d-3"):
        loop.known("d-3")


@pytest.fixture
def data_version() -> DataVersion:
    now = FakeClock().now()
    return DataVersion("d-1", None, 0, (), (), 10, (), 0, (), now)
