"""How far each trigger is, and what holds retrains back."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from raypipe.control.events import Evidence
from raypipe.control.level import Level, Lost
from raypipe.control.nearness import Nearness, OutlookFile, outlook, trigger_samples
from raypipe.control.state import Retraining, State
from raypipe.core.files import write_json
from raypipe.core.home import Home
from raypipe.core.ids import Json
from raypipe.monitoring.report import LabelCounts, LiveQuality, WindowReport
from raypipe.policy.config import RetrainingSettings
from raypipe.testing import FakeClock
from raypipe.testing.monitoring import some_signals

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
QUALITY = LiveQuality("auc", 0.9, 0.88, 0.92, 400, 0, ())
WINDOW = WindowReport(NOW, "v1", 1_000, 400, QUALITY, (), LabelCounts(), some_signals())
STATE = State("p", champion="v1", schedule="0 13 * * *", schedule_from=NOW)


def settings(**triggers: Any) -> RetrainingSettings:
    given = {"quality_bound": 0.85, "new_labels": 1_000, **triggers}
    return RetrainingSettings.model_validate({"triggers": given})


def near(window: WindowReport | None = WINDOW, **triggers: Any) -> dict[str, Nearness]:
    return {one.trigger: one for one in outlook(STATE, window, settings(**triggers), NOW).triggers}


def test_every_trigger_says_how_far_it_is() -> None:
    found = near()
    assert found["quality"].ratio is None and "0.07 above its bound 0.85" in found["quality"].text
    assert (found["harm"].leads_to, found["harm"].ratio) == ("retrain", 0.25)
    assert (found["harm to a slice"].leads_to, found["harm to a slice"].ratio) == ("alert", 1.0)
    assert (found["labels"].ratio, found["labels"].text) == (0.4, "400 of 1,000 new labels")
    assert (found["drift"].leads_to, found["drift"].ratio) == ("alert", 0.5)
    assert found["drift"].text == "nearest: age, PSI 0.300"
    assert found["schedule"].text == "at 2026-01-01 13:00 UTC"


def test_a_level_that_was_lost_to_harm_is_told_until_a_champion_is_back_at_it() -> None:
    level = Level("v0", "auc", True, 0.96, 0.95, 0.97)
    lost = replace(STATE, lost=Lost(level, "v0", 100), n_labels=300)

    def told(state: State, window: WindowReport | None, **triggers: Any) -> list[tuple[float | None, str]]:
        found = outlook(state, window, settings(**triggers), NOW).triggers
        return [(one.ratio, one.text) for one in found if one.trigger == "level lost to harm"]

    [(ratio, text)] = told(lost, WINDOW)
    assert ratio == 0.8
    assert text == (
        "live auc 0.9 is surely worse than the auc 0.96 [0.95, 0.97] of v0 at release; asks at 500 labels"
    )
    back = replace(WINDOW, quality=replace(QUALITY, high=0.955))
    [(ratio, text)] = told(lost, back)
    assert (ratio, "is not surely worse" in text) == (0.0, True)
    [(ratio, text)] = told(lost, None)
    assert (ratio, "no live score yet" in text) == (None, True)
    assert not told(STATE, WINDOW) and not told(lost, WINDOW, harm="off")
    assert not told(replace(lost, champion="v0"), replace(WINDOW, version="v0")), "its harm is told itself"


def test_the_cost_of_keeping_a_version_is_told_at_its_prices() -> None:
    found = near(cost={"loss": 0.5, "retrain": 70})["cost"]
    assert (found.leads_to, found.ratio) == ("retrain", 0.5)
    assert "0.2 of the last 200 of 1,000 rows, 0.1 before, 0.1 at release" in found.text
    assert near(replace(WINDOW, signals=None), cost={"loss": 1, "retrain": 1})["cost"].ratio is None


def test_quality_beyond_its_bound_is_all_of_the_way() -> None:
    worse = replace(WINDOW, quality=replace(QUALITY, value=0.8, low=0.78, high=0.82))
    assert (near(worse)["quality"].ratio, "beyond" in near(worse)["quality"].text) == (1.0, True)
    small = replace(WINDOW, quality=LiveQuality("mae", 2.0, 1.5, 2.5, 400, 0, ()))
    assert "0.5 below its bound 2" in near(small, quality_bound=2.0)["quality"].text


@pytest.mark.parametrize("window", [None, replace(WINDOW, version="v0"), replace(WINDOW, signals=None)])
def test_what_is_not_known_is_not_guessed(window: WindowReport | None) -> None:
    found = near(window)
    assert found["harm"].ratio is None and found["drift"].ratio is None


def test_what_is_off_is_not_shown() -> None:
    assert set(near(harm="off", drift="off", new_labels=None)) == {"quality", "schedule"}


def test_what_holds_retrains_back() -> None:
    assert outlook(STATE, WINDOW, settings(), NOW).held_by == ()
    busy = replace(
        STATE,
        phase=Retraining("p-retrain-1", "hand", Evidence(), NOW, 0),
        ended_at=NOW - timedelta(seconds=10),
        decided_at=(NOW,) * 24,
        n_labels=300,
    )
    manual = RetrainingSettings(mode="manual")
    held = " ".join(outlook(busy, WINDOW, manual, NOW).held_by)
    for expected in (
        "manual",
        "p-retrain-1 is under way",
        "cool-down until 12:00:50",
        "24 in 24 hours are all that retraining.max_per_day allows",
        "100 of 200",
    ):
        assert expected in held


def test_the_outlook_is_kept_for_the_endpoint(tmp_path: Path) -> None:
    folder = Home(tmp_path).pipeline("p")
    folder.root.mkdir()
    write_json(folder.window, WINDOW.to_json())
    file = OutlookFile(folder, settings(), FakeClock(NOW))
    found = file.keep(STATE)
    shown = {one.tags: one.value for one in trigger_samples("p", found)}
    assert (shown["p", "harm"], shown["p", "quality"]) == (0.25, None)
    written = folder.outlook.stat().st_mtime_ns
    kept: Json = json.loads(folder.outlook.read_bytes())
    assert kept == outlook(STATE, WINDOW, settings(), NOW).to_json()
    file.keep(STATE)
    assert folder.outlook.stat().st_mtime_ns == written
