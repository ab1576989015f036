"""kill -9 of a controller's process at any moment of whole cycles: the books add up in the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.kills.__main__ import LONGEST_LIFE_S, kill
from benchmarks.kills.on_ray import RayPlace, write_config
from benchmarks.kills.stage import gated, told_of_canary
from raypipe.control.people import read_state
from raypipe.control.state import AwaitingApproval
from raypipe.serving.releases import Releases
from raypipe.testing.serving import register_tiny_version, tiny_model


@pytest.mark.parametrize(
    ("n_kills", "longest_s"), [(8, 0.15), pytest.param(100, LONGEST_LIFE_S, marks=pytest.mark.slow)]
)
def test_no_decision_is_lost_doubled_or_left_half_done(
    tmp_path: Path, n_kills: int, longest_s: float
) -> None:
    found = kill(tmp_path, n_kills, seed=n_kills, longest_s=longest_s)
    assert found.books.wrong == ()
    assert found.struck.total() == n_kills
    assert found.books.endings.total() >= 1
    if n_kills == 100:
        assert len(found.struck) >= 5, "kills must strike most phases"
        assert {"promoted", "withdrawn"} <= found.books.endings.keys()


def test_what_a_gate_let_pass_is_where_a_rollout_begins(tmp_path: Path) -> None:
    place = RayPlace(tmp_path)
    write_config(place, n_replicas=1, webhook_url="http://127.0.0.1:1/")
    place.config.root.prepare()
    for good in (0.6, 0.7):
        version = register_tiny_version(place.registry, place.config.folder, model=tiny_model(good)).version
    Releases(place.registry, place.config.folder).release("v1", expected=None, reason="the first")
    gated(place.registry, place.config.name, version)
    phase = read_state(place.registry, place.config.name).phase
    assert isinstance(phase, AwaitingApproval)
    assert (phase.version, phase.champion, phase.shadowed) == ("v2", "v1", False)
    assert told_of_canary(place, 0) == ("open", "-", 0)
