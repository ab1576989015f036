"""The controller as an actor that a second `up` restarts, so that there is always one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from raypipe.config.load import parse_config
from raypipe.config.settings import Config
from raypipe.control.events import ControllerStarted
from raypipe.control.ledger import read_facts
from raypipe.control.on_ray import NAMESPACE, controller_name, start_controller, stop_controller
from raypipe.core.clock import SystemClock
from raypipe.registry.store import Registry

pytestmark = pytest.mark.usefixtures("local_ray")


def config_of(place: Path, schedule: str | None) -> Config:
    source = {"name": "files", "format": "csv", "path": "rows.csv"}
    triggers = {"schedule": schedule} if schedule else {}
    return parse_config(
        {
            "name": "acted",
            "home": "home",
            "data": {"sources": [source], "label": "y"},
            "retraining": {"triggers": triggers, "tick_s": 0.1},
        },
        place,
    )


def announced(config: Config, n_controllers: int) -> list[ControllerStarted]:
    """Wait until so many controllers have taken over."""
    registry = Registry(config.root.registry_url, SystemClock())
    for _ in range(600):
        facts = [fact for _, fact in read_facts(registry, config.name)]
        found = [fact for fact in facts if isinstance(fact, ControllerStarted)]
        if len(found) >= n_controllers:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{n_controllers} controllers were to take over. Got {facts}")


@pytest.fixture
def first(tmp_path: Path) -> Iterator[Config]:
    config = config_of(tmp_path, None)
    config.root.prepare()
    start_controller(config, "")
    yield config
    assert stop_controller("acted") is True
    assert stop_controller("acted") is False


def test_a_second_start_restarts_the_one_there_is_with_the_new_config(first: Config, tmp_path: Path) -> None:
    """Were it another actor in its place, a caller that dies between the two would leave none."""
    announced(first, 1)
    before = ray.get_actor(controller_name("acted"), namespace=NAMESPACE)
    second = config_of(tmp_path, "30 3 * * mon")
    start_controller(second, "")
    after = ray.get_actor(controller_name("acted"), namespace=NAMESPACE)
    assert before._actor_id == after._actor_id
    found = announced(second, 2)
    assert [one.schedule for one in found] == [None, "30 3 * * mon"]
    assert found[0].epoch < found[1].epoch
