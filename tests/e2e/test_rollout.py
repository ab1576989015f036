"""A challenger goes through shadow and canary on Ray Serve, under load, before it is the champion."""

from __future__ import annotations

from typing import Any

import pytest

from raypipe.api.drift_demo import DemoSettings, DriftDemo
from raypipe.data.committer import read_predictions
from raypipe.data.roles import read_role
from raypipe.serving.pointer import read_pointer

pytestmark = pytest.mark.slow
SETTINGS = DemoSettings(healthy_s=10, limit_s=170, recovery_s=5)


def test_it_proves_itself_under_load_and_no_request_fails(rolling_out: Any) -> None:
    pipeline = rolling_out.pipeline
    told: list[str] = []
    result = DriftDemo(pipeline.config, pipeline.registry, SETTINGS, told.append).run()
    assert result.n_failed == 0, told
    champion = rolling_out.command("status")["champion"]
    receipt = rolling_out.command("why", champion)
    assert receipt["ending"] == "promoted"
    verdicts = [step.get("verdict") for step in receipt["rollout"]]
    assert verdicts == ["pass", None, "pass"], receipt["rollout"]
    pointer = read_pointer(pipeline.config.folder.pointer)
    assert pointer is not None
    assert (pointer.version, pointer.canary) == (champion, None)
    rows = read_predictions(pipeline.config.folder)
    pairs = zip(rows["role"].to_pylist(), rows["version"].to_pylist(), strict=True)
    arms = [(role.arm, version) for text, version in pairs if (role := read_role(text))]
    assert {("canary", champion), ("control", receipt["champion"])} <= set(arms)
    [allowed] = [step["max_rows"] for step in receipt["rollout"] if "max_rows" in step]
    assert sum(arm == "canary" for arm, _ in arms) <= allowed
