"""Releases that are asked for twice, late, or side by side."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.core.errors import ServingError, StaleEpoch, UnknownVersion
from raypipe.core.home import Home
from raypipe.registry.manifest import ManifestDraft
from raypipe.registry.store import ModelVersion, Registry
from raypipe.serving.pointer import Pointer, read_pointer, write_pointer
from raypipe.serving.releases import CHAMPION, Release, Releases, undone
from raypipe.testing import FakeClock

VERSIONS = ("v1", "v2", "v3")


def make(place: Path, announce: Callable[[Pointer], object] | None = None) -> Releases:
    """Return the releases of a pipeline that has v1, v2 and v3."""
    home = Home(place)
    folder, registry = home.pipeline("tiny"), Registry(home.registry_url, FakeClock())
    for version in VERSIONS:
        staged = folder.root / "staged"
        staged.mkdir(parents=True)
        (staged / "model.txt").write_text(version)
        draft = ManifestDraft("tiny", "d-1", f"r-{version}", {}, "tiny", "json", {}, {}, {})
        registry.register("tiny", staged, folder.models, draft)
    return Releases(registry, folder, announce=announce)


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    return make(tmp_path)


def crown(releases: Releases, *versions: str) -> int:
    """Release versions one after another, and return the last epoch."""
    for version in versions:
        pointer = releases.release(version, expected=champion(releases), reason="test")
    return pointer.epoch


def champion(releases: Releases) -> str | None:
    return releases.registry.alias("tiny", CHAMPION)


def test_a_rollback_that_is_repeated_goes_back_once(releases: Releases) -> None:
    epoch = crown(releases, "v1", "v2", "v3")
    first = releases.rollback(expected="v3", epoch=epoch, reason="rolled back")
    again = releases.rollback(expected="v3", epoch=epoch, reason="rolled back")
    assert (first.pointer.version, first.is_new) == ("v2", True)
    assert again == Release(first.pointer, is_new=False)
    assert champion(releases) == "v2"


def test_without_an_epoch_the_version_tells_a_repeat(releases: Releases) -> None:
    crown(releases, "v1", "v2", "v3")
    assert [releases.rollback(expected="v3", reason="").is_new for _ in range(3)] == [True, False, False]
    assert champion(releases) == "v2"


def test_a_repeat_that_comes_after_another_release_is_refused(releases: Releases) -> None:
    """The champion has the name that the repeat expects again, and is not the one that it means."""
    epoch = crown(releases, "v1", "v2")
    releases.rollback(expected="v2", epoch=epoch, reason="")
    crown(releases, "v2")
    with pytest.raises(StaleEpoch, match=r"must still be v2, as of epoch 2\. Got v2, epoch 4: another"):
        releases.rollback(expected="v2", epoch=epoch, reason="")
    with pytest.raises(StaleEpoch, match="another release was faster"):
        releases.promote("v3", expected="v2", epoch=epoch, reason="")
    assert champion(releases) == "v2"


def test_a_promotion_is_no_rollback_done_before(releases: Releases) -> None:
    crown(releases, "v1", "v2", "v3")
    with pytest.raises(StaleEpoch, match=r"must still be v2\. Got v3"):
        releases.rollback(expected="v2", reason="")
    releases.rollback(expected="v3", reason="")
    with pytest.raises(StaleEpoch, match=r"must still be v1\. Got v2"):
        releases.rollback(expected="v1", reason="")


def test_a_release_whose_process_died_before_it_moved_the_pointer_is_ended(releases: Releases) -> None:
    crown(releases, "v1", "v2")
    assert releases.settle() is None
    name, epoch = releases.folder.name, releases.registry.epoch(releases.folder.name)
    releases.registry.set_alias(name, "champion", "v1", expected="v2", reason="rolled back")
    settled = releases.settle()
    assert settled is not None
    assert (settled.version, settled.epoch) == ("v1", epoch + 2)
    assert read_pointer(releases.folder.pointer) == settled
    releases.registry.set_alias(name, "champion", "v2", expected="v1", reason="promoted")
    replaced = replace(releases, controller=releases.registry.take_over(name))
    releases.registry.take_over(name)
    with pytest.raises(StaleEpoch, match="another has taken over"):
        replaced.settle()


def test_there_is_nothing_to_go_back_to(releases: Releases) -> None:
    with pytest.raises(StaleEpoch, match="Got none"):
        releases.rollback(expected="v1", reason="")
    crown(releases, "v1")
    with pytest.raises(UnknownVersion, match="no other champion"):
        releases.rollback(expected="v1", reason="")


class Interrupted(Registry):
    """Lets something happen between the look at the champion and its move."""

    between: Callable[[], object] | None = None

    def model_version(self, pipeline: str, version: str) -> ModelVersion:
        happen, self.between = self.between, None
        if happen is not None:
            happen()
        return super().model_version(pipeline, version)


def test_of_two_equal_requests_at_once_both_are_told_that_it_is_done(tmp_path: Path) -> None:
    fast = make(tmp_path)
    epoch = crown(fast, "v1", "v2")
    registry = Interrupted(Home(tmp_path).registry_url, FakeClock())
    done: list[Release] = []
    registry.between = lambda: done.append(fast.rollback(expected="v2", epoch=epoch, reason=""))
    late = Releases(registry, fast.folder).rollback(expected="v2", epoch=epoch, reason="")
    assert late == Release(done[0].pointer, is_new=False)
    assert len(registry.alias_history("tiny", CHAMPION)) == 3
    registry.between = lambda: crown(fast, "v3")
    with pytest.raises(StaleEpoch, match=r"must still name v1\. Got v3"):
        Releases(registry, fast.folder).promote("v2", expected="v1", reason="")


def test_a_repeat_may_write_the_pointer_first(releases: Releases) -> None:
    crown(releases, "v1")
    newer = Pointer("v3", releases.registry.model_version("tiny", "v3").manifest_sha256, 99)
    write_pointer(releases.folder.pointer, newer)
    assert releases.release("v3", expected="v1", reason="") == newer


def test_a_release_that_another_version_overtook_is_told(releases: Releases) -> None:
    crown(releases, "v1")
    write_pointer(releases.folder.pointer, Pointer("v3", "0" * 64, 99))
    with pytest.raises(StaleEpoch, match="must grow: it is 99"):
        releases.release("v2", expected="v1", reason="")


@pytest.mark.parametrize("damaged", ["", "{"])
def test_a_release_replaces_a_damaged_pointer(releases: Releases, damaged: str) -> None:
    """That is what the sentence about a damaged pointer tells to do."""
    crown(releases, "v1")
    releases.folder.pointer.write_text(damaged)
    pointer = releases.promote("v1", expected="v1", reason="").pointer
    assert read_pointer(releases.folder.pointer) == pointer
    releases.folder.pointer.write_text(damaged)
    assert releases.promote("v2", expected="v1", reason="").pointer.version == "v2"


def test_each_move_of_the_pointer_is_announced(tmp_path: Path) -> None:
    """Also the one that takes back what the endpoint refused."""
    told: list[str] = []
    releases = make(tmp_path, lambda pointer: told.append(pointer.version))
    crown(releases, "v1")

    def refuse(pointer: Pointer) -> None:
        raise ServingError("no")

    with pytest.raises(ServingError, match="no"):
        releases.promote("v2", expected="v1", reason="", follow=refuse)
    releases.promote("v1", expected="v1", reason="")
    assert told == ["v1", "v2", "v1"]


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("crown"), st.sampled_from(VERSIONS)),
            st.tuples(st.just("back"), st.none()),
            st.tuples(st.just("again"), st.integers(0, 5)),
        ),
        max_size=10,
    )
)
@settings(max_examples=25)
def test_no_repeat_moves_anything(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str | int | None]]
) -> None:
    releases = make(tmp_path_factory.mktemp("home"))
    epoch = crown(releases, "v1", "v2")
    asked: list[tuple[str, int]] = []
    for what, value in steps:
        before = releases.registry.alias_history("tiny", CHAMPION)
        match what, value:
            case "crown", str(version):
                epoch = crown(releases, version)
            case "back", _ if len(undone([change.version for change in reversed(before)])) > 1:
                asked.append((before[0].version, epoch))
                epoch = releases.rollback(expected=before[0].version, epoch=epoch, reason="").pointer.epoch
            case "again", int(number) if asked:
                version, then = asked[number % len(asked)]
                with suppress(StaleEpoch):
                    assert not releases.rollback(expected=version, epoch=then, reason="").is_new
                assert releases.registry.alias_history("tiny", CHAMPION) == before
