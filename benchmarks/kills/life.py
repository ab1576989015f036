"""A controller's life, and a person's rollback: what the driver kills."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np

from benchmarks.kills.job import ProcessJobs
from benchmarks.kills.place import NAME, SETTINGS, Place, course_of
from raypipe.control.actions import SetCanary
from raypipe.control.alerting import LogAndWebhook
from raypipe.control.controller import Controller
from raypipe.control.endpoint import canary_of
from raypipe.control.events import Quality, WindowScored
from raypipe.control.people import read_state
from raypipe.control.ports import Ports
from raypipe.control.rollout_evidence import Baseline, CanaryEvidence, RolloutEvidence, ShadowEvidence
from raypipe.control.state import Canarying
from raypipe.core.clock import SystemClock, read_uptime
from raypipe.serving.canaries import Canaries
from raypipe.stats.arms import Arms
from raypipe.stats.bets import Bets

LOOK_EVERY_S = 0.002


class Ending:
    """What a controller acts through, besides jobs and alerts, at a place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._watched = place.root / "watched"
        self._watched.mkdir(exist_ok=True)

    def measure(self, champion: str, at: datetime) -> WindowScored:
        """Find every champion bad, so that there is always a reason for the next retrain."""
        score = 0.95 if self._place.is_ending else 0.6
        return WindowScored(at, champion, 500, Quality("auc", True, score, score - 0.01, score + 0.01, 500))

    def promote(self, version: str, expected: str | None, reason: str, controller: int) -> int:
        done = self._place.releases(controller).promote(version, expected=expected, reason=reason)
        return done.pointer.epoch

    def settle(self, controller: int) -> None:
        self._place.releases(controller).settle()

    def watch(self, decision: str, version: str, champion: str | None) -> None:  # noqa: ARG002 - the port's names
        (self._watched / decision).touch()

    def evidence(self, decision: str) -> RolloutEvidence | None:
        return shown(self._place, decision)

    def set_canary(self, canary: SetCanary, controller: int) -> int:
        terms = SETTINGS.rollout.canary
        if terms is None:
            raise RuntimeError("the settings have a canary")
        canaries = Canaries(self._place.releases(controller))
        return canaries.put(canary_of(canary, terms), canary.champion or "").epoch

    def end(self, decision: str, controller: int) -> None:
        Canaries(self._place.releases(controller)).withdraw()
        (self._watched / decision).unlink(missing_ok=True)


def live(root: Path, webhook: str) -> None:
    """Be a controller until somebody kills it."""
    logging.disable()
    place = Place(root, webhook)
    world = Ending(place)
    ports = Ports(
        jobs=ProcessJobs(place),
        traffic=world,
        releases=world,
        alerts=LogAndWebhook(NAME, webhook),
        rollout=world,
        mending=world,
    )
    controller = Controller(NAME, SETTINGS, place.registry, SystemClock(), ports, read_uptime)
    controller.start()
    while True:
        controller.tick()
        time.sleep(LOOK_EVERY_S)


def go_back(root: Path, champion: str) -> None:
    """Be a person's `raypipe rollback`, where no endpoint is up."""
    logging.disable()
    Place(root, "").releases().rollback(expected=champion, reason="rolled back")


def shown(place: Place, decision: str) -> RolloutEvidence | None:
    """Return what live traffic is said to show of a decision's challenger by now."""
    course, rollout = course_of(decision), SETTINGS.rollout
    if course == "silent" or rollout.shadow is None:
        return None
    shadow = replace(ShadowEvidence.none(rollout.shadow), lower=Bets.of(np.full(400, 0.7), 0.49), n_rows=400)
    found, phase = RolloutEvidence(Baseline(500, 50.0), shadow), read_state(place.registry, NAME).phase
    if not isinstance(phase, Canarying) or phase.epoch is None:
        return found
    treated = np.arange(400) < (250 if course == "harm" else 20)
    losses = Arms.of(np.ones(400), treated, phase.weight, tolerance=2.0)
    return replace(found, canary={phase.epoch: CanaryEvidence(Bets.none(0.01), Arms(2.0), losses)})
