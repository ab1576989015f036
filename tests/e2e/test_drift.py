"""The circle closes: the concept changes, and the loop notices, retrains, judges and redeploys by itself."""

from __future__ import annotations

import json
from typing import Any

from raypipe.api.drift_demo import DemoSettings, DriftDemo

SETTINGS = DemoSettings(healthy_s=10, limit_s=180, recovery_s=8)


def test_the_loop_recovers_from_a_change_of_concept_without_a_failed_request(drifting: Any) -> None:
    pipeline = drifting.pipeline
    told: list[str] = []
    result = DriftDemo(pipeline.config, pipeline.registry, SETTINGS, told.append).run()
    assert result.n_failed == 0, told
    assert result.n_rows_to_trigger is not None, told
    assert result.trigger_to_champion_s is not None, told
    before, during, after = result.accuracy_before, result.accuracy_during, result.accuracy_after
    assert before is not None and during is not None and after is not None
    assert during < 0.75 < after and before > 0.85, told

    status = drifting.command("status")
    assert status["champion"] == status["endpoint"]["version"] != "v1"
    receipt = drifting.command("why", status["champion"])
    assert receipt["trigger"] in ("quality", "harm"), "whichever labels showed it first"
    assert (receipt["ending"], receipt["gate"]["verdict"]) == ("promoted", "pass")
    assert receipt["gate"]["challenger_score"] > receipt["gate"]["champion_score"]
    assert receipt["data_version"] != receipt["champion_data_version"]
    kinds = [entry["kind"] for entry in drifting.command("history", "--limit", "200")]
    assert kinds.count("event.retrain_decided") == len(result.decisions)
    assert kinds.count("event.promoted") >= 1, "one that is better, but not well, makes way for the next"
    assert json.dumps(receipt)
