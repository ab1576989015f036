"""How far each trigger is from asking for a retrain, and what else would have to pass first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from raypipe.control.expected_cost import expected_cost
from raypipe.control.level import level_text
from raypipe.control.state import State, Watching, cap_of, rested, rests_until
from raypipe.control.traffic import quality_of, read_window
from raypipe.core.clock import Clock
from raypipe.core.files import write_json
from raypipe.core.home import PipelineHome
from raypipe.core.ids import Json
from raypipe.monitoring.report import WindowReport
from raypipe.monitoring.samples import Metric, Sample
from raypipe.policy.config import RetrainingSettings, TriggerSettings
from raypipe.policy.cron import next_time
from raypipe.stats.metrics import METRICS

TRIGGER = Metric(
    "raypipe_trigger_nearness",
    "gauge",
    "How much of the way to a trigger is done, from 0 to 1, where that is known.",
    ("pipeline", "trigger"),
)


@dataclass(frozen=True)
class Nearness:
    """A trigger that is configured; `ratio` is how much of the way is done, from 0 to 1, if known."""

    trigger: str
    leads_to: str
    """What follows, as the config calls it: `retrain`, `alert` and others."""
    ratio: float | None
    text: str

    def to_json(self) -> dict[str, Json]:
        return {"trigger": self.trigger, "leads_to": self.leads_to, "ratio": self.ratio, "text": self.text}


@dataclass(frozen=True)
class Outlook:
    """Every trigger, and why none would start a retrain at this moment, if so."""

    triggers: tuple[Nearness, ...]
    held_by: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        return {"triggers": [one.to_json() for one in self.triggers], "held_by": list(self.held_by)}


def outlook(
    state: State, window: WindowReport | None, settings: RetrainingSettings, now: datetime
) -> Outlook:
    """Say what would start a retrain or an alert next; `window` is what was measured last."""
    own = window if window is not None and window.version == state.champion else None
    return Outlook(
        (
            *_quality(own, settings.triggers),
            *_harm(own, settings.triggers),
            *_lost(state, own, settings),
            *_cost(state, own, settings.triggers),
            *_labels(state, own, settings.triggers),
            *_drift(own, settings.triggers),
            *_schedule(state, settings.triggers),
        ),
        tuple(_held_by(state, own, settings, now)),
    )


class OutlookFile:
    """Keeps the newest outlook in the home, for the endpoint to show."""

    def __init__(self, folder: PipelineHome, settings: RetrainingSettings, clock: Clock) -> None:
        self._folder = folder
        self._settings = settings
        self._clock = clock
        self._kept: Outlook | None = None

    def keep(self, state: State) -> Outlook:
        """Write the outlook where it is another one, and return it; raises StorageError."""
        found = outlook(state, read_window(self._folder), self._settings, self._clock.now())
        if found != self._kept:
            write_json(self._folder.outlook, found.to_json())
            self._kept = found
        return found


def trigger_samples(pipeline: str, found: Outlook) -> Iterator[Sample]:
    """Yield how far each trigger is."""
    for one in found.triggers:
        yield TRIGGER.of(one.ratio, pipeline, one.trigger)


def _quality(window: WindowReport | None, triggers: TriggerSettings) -> Iterator[Nearness]:
    bound, leads_to = triggers.quality_bound, triggers.response_to("quality")
    if bound is None:
        return
    found = window.quality if window is not None else None
    if found is None or found.value is None:
        yield Nearness("quality", leads_to, None, f"no live score yet; bound {bound:g}")
        return
    larger = METRICS[found.metric].larger_is_better
    end = found.high if larger else found.low
    best = found.value if end is None else end
    away = best - bound if larger else bound - best
    side = "above" if larger else "below"
    where = f"{away:.3g} {side} its bound {bound:g}" if away >= 0 else f"beyond its bound {bound:g}"
    text = f"the better end of live {found.metric}'s interval, {best:.4g}, is {where}"
    yield Nearness("quality", leads_to, 1.0 if away < 0 else None, text)


def _harm(window: WindowReport | None, triggers: TriggerSettings) -> Iterator[Nearness]:
    if triggers.harm == "off":
        return
    signals = window.signals if window is not None else None
    if signals is None or signals.harm is None:
        yield Nearness("harm", triggers.harm, None, "nothing to compare with yet")
        return
    harm = signals.harm
    loss = "no label has matured" if harm.loss is None else f"mean loss {harm.loss:.4g}"
    text = f"{loss}, {harm.at_release:.4g} at release, harm above {harm.bound:.4g}"
    yield Nearness("harm", triggers.harm, harm.nearness, text)
    nearest = max(signals.slices, key=lambda one: one.nearness, default=None)
    if nearest is not None:
        yield Nearness("harm to a slice", "alert", nearest.nearness, f"nearest: {nearest.of}")


def _lost(state: State, window: WindowReport | None, settings: RetrainingSettings) -> Iterator[Nearness]:
    lost, leads_to = state.lost, settings.triggers.harm
    if (
        lost is None
        or state.champion is None
        or state.champion == lost.harmed
        or leads_to in ("off", "rollback")
    ):
        return
    trigger, where = "level lost to harm", level_text(lost.level)
    quality = window and quality_of(window)
    if not quality or quality.value is None:
        yield Nearness(trigger, leads_to, None, f"no live score yet; {where}")
        return
    live = f"live {quality.metric} {quality.value:.4g}"
    if not lost.is_still(state.champion, quality):
        yield Nearness(trigger, leads_to, 0.0, f"{live} is not surely worse than the {where}")
        return
    needed = lost.n_labels_for_next(state.n_labels, settings.warm_up_labels)
    ratio = min(1.0, window.n_labels / needed) if window and needed else 1.0
    yield Nearness(
        trigger, leads_to, ratio, f"{live} is surely worse than the {where}; asks at {needed:,} labels"
    )


def _cost(state: State, window: WindowReport | None, triggers: TriggerSettings) -> Iterator[Nearness]:
    if triggers.cost is None:
        return
    decay = window.signals.decay if window is not None and window.signals is not None else None
    if decay is None:
        yield Nearness("cost", triggers.actions.cost, None, "too few labels have matured yet")
        return
    found = expected_cost(decay, triggers.cost, state.n_unhelpful)
    yield Nearness("cost", triggers.actions.cost, min(1.0, found.at_stake / found.needed), found.text)


def _labels(state: State, window: WindowReport | None, triggers: TriggerSettings) -> Iterator[Nearness]:
    wanted = triggers.new_labels
    if wanted is not None:
        n = 0 if window is None else max(0, window.n_labels - state.n_labels)
        yield Nearness(
            "labels", triggers.actions.labels, min(1.0, n / wanted), f"{n:,} of {wanted:,} new labels"
        )


def _drift(window: WindowReport | None, triggers: TriggerSettings) -> Iterator[Nearness]:
    if triggers.drift == "off":
        return
    inputs = window.signals.inputs if window is not None and window.signals is not None else ()
    nearest = max(inputs, key=lambda one: one.nearness, default=None)
    if nearest is None:
        yield Nearness("drift", triggers.drift, None, "too few rows yet")
        return
    psi = "" if nearest.psi is None else f", PSI {nearest.psi:.3f}"
    yield Nearness("drift", triggers.drift, nearest.nearness, f"nearest: {nearest.column}{psi}")


def _schedule(state: State, triggers: TriggerSettings) -> Iterator[Nearness]:
    if state.schedule is None or state.schedule_from is None:
        return
    at = next_time(state.schedule, state.schedule_from)
    if at is not None:
        yield Nearness("schedule", triggers.actions.schedule, None, f"at {at:%Y-%m-%d %H:%M} UTC")


def _held_by(
    state: State, window: WindowReport | None, settings: RetrainingSettings, now: datetime
) -> Iterator[str]:
    if settings.mode == "manual":
        yield "retraining.mode is manual: people start retrains"
    if not isinstance(state.phase, Watching):
        yield f"{state.decision} is under way"
    until = rests_until(state, settings)
    if until is not None and not rested(state, now, settings):
        yield f"cool-down until {until.astimezone(UTC):%H:%M:%S} UTC"
    cap = cap_of(state, now, settings)
    if cap is not None:
        yield cap
    n_new = 0 if window is None else max(0, window.n_labels - state.n_labels)
    if n_new < settings.warm_up_labels:
        yield f"warm-up: {n_new:,} of {settings.warm_up_labels:,} labels, for quality, harm, cost and drift"
