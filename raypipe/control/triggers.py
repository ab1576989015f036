"""What asks for a retrain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeAlias

from raypipe.control.events import Evidence, Observation, Ticked, Trigger, WindowScored
from raypipe.control.expected_cost import expected_cost
from raypipe.control.state import State
from raypipe.policy.config import Response, RetrainAction, RetrainingSettings
from raypipe.policy.cron import next_time

Due: TypeAlias = tuple[Trigger, Evidence]


def due(state: State, seen: Observation, settings: RetrainingSettings) -> Due | None:
    """Return what asks for a retrain now, a person's wish before all else; None where nothing does.

    Where several triggers are needed at once, the first of those that ask is told.
    """
    if state.champion is None:
        return None
    by_hand = _by_hand(state, seen)
    if by_hand is not None or settings.mode == "manual":
        return by_hand
    asking = [one for one in _asking(state, seen, settings) if _response(one[0], settings) != "alert"]
    return asking[0] if len(asking) >= settings.triggers.n_needed else None


def told_of(state: State, seen: Observation, settings: RetrainingSettings) -> Iterator[Due]:
    """Yield what asks, and only alerts, of those whose alert comes from nowhere else."""
    for trigger, evidence in _asking(state, seen, settings) if state.champion is not None else ():
        if trigger in ("cost", "labels") and _response(trigger, settings) == "alert":
            yield trigger, evidence


def _asking(state: State, seen: Observation, settings: RetrainingSettings) -> list[Due]:
    """Return what is set and asks, that which is told first in front."""
    found = (
        _by_quality(state, seen, settings),
        _by_harm(state, seen, settings),
        _by_cost(state, seen, settings),
        _by_labels(state, seen, settings),
        _by_drift(state, seen, settings),
        _by_schedule(state, seen),
    )
    return [one for one in found if one is not None and _response(one[0], settings) != "off"]


def action_on(state: State, trigger: Trigger, settings: RetrainingSettings) -> RetrainAction:
    """Return what follows where a trigger asked, or a person."""
    if trigger == "hand":
        return "retrain" if state.requested is None else state.requested.action
    return settings.triggers.action_of(trigger) or "retrain"


def _response(trigger: Trigger, settings: RetrainingSettings) -> Response:
    return "retrain" if trigger == "hand" else settings.triggers.response_to(trigger)


def _by_hand(state: State, seen: Observation) -> Due | None:
    asked = state.requested
    if asked is None:
        return None
    return "hand", Evidence(n_labels=seen.n_labels, by=asked.by, note=asked.note)


def _by_quality(state: State, seen: Observation, settings: RetrainingSettings) -> Due | None:
    bound = settings.triggers.quality_bound
    if bound is None or not isinstance(seen, WindowScored) or not _warm(state, seen, settings):
        return None
    if seen.quality is None or not seen.quality.surely_beyond(bound):
        return None
    return "quality", _evidence(state, seen, bound)


def _by_harm(state: State, seen: Observation, settings: RetrainingSettings) -> Due | None:
    if not isinstance(seen, WindowScored) or not _warm(state, seen, settings):
        return None
    evidence = _evidence(state, seen, settings.triggers.quality_bound)
    if seen.harm is None or seen.harm.slices:
        return _by_lost_level(state, seen, settings, replace(evidence, harm=None))
    return "harm", evidence


def _by_lost_level(
    state: State, seen: WindowScored, settings: RetrainingSettings, evidence: Evidence
) -> Due | None:
    lost = state.lost
    if lost is None or settings.triggers.harm == "rollback" or not lost.is_still(seen.version, seen.quality):
        return None
    if seen.n_labels < lost.n_labels_for_next(state.n_labels, settings.warm_up_labels):
        return None
    return "harm", replace(evidence, level=lost.level)


def _by_cost(state: State, seen: Observation, settings: RetrainingSettings) -> Due | None:
    prices = settings.triggers.cost
    if prices is None or not isinstance(seen, WindowScored) or not _warm(state, seen, settings):
        return None
    if seen.decay is None:
        return None
    found = expected_cost(seen.decay, prices, state.n_unhelpful)
    evidence = _evidence(state, seen, settings.triggers.quality_bound)
    return ("cost", replace(evidence, cost=found)) if found.asks else None


def _by_drift(state: State, seen: Observation, settings: RetrainingSettings) -> Due | None:
    if not isinstance(seen, WindowScored) or not seen.drifted or not _warm(state, seen, settings):
        return None
    return "drift", _evidence(state, seen, settings.triggers.quality_bound)


def _by_labels(state: State, seen: Observation, settings: RetrainingSettings) -> Due | None:
    wanted = settings.triggers.new_labels
    if wanted is None or seen.n_labels is None or seen.n_labels - state.n_labels < wanted:
        return None
    return "labels", _evidence(state, seen, settings.triggers.quality_bound)


def _by_schedule(state: State, seen: Observation) -> Due | None:
    """A time that was missed, or fell into a cool-down, is made up for once."""
    if state.schedule is None or state.schedule_from is None:
        return None
    scheduled = next_time(state.schedule, state.schedule_from)
    if scheduled is None or scheduled > seen.at:
        return None
    return "schedule", Evidence(n_labels=seen.n_labels, scheduled_for=scheduled)


def _warm(state: State, window: WindowScored, settings: RetrainingSettings) -> bool:
    """Return whether a window is the champion's, with enough labels that the last retrain had not."""
    is_champions = window.version == state.champion
    return is_champions and window.n_labels - state.n_labels >= settings.warm_up_labels


def _evidence(state: State, seen: Observation, bound: float | None) -> Evidence:
    new = None if seen.n_labels is None else seen.n_labels - state.n_labels
    match seen:
        case WindowScored():
            is_harmed = seen.harm is not None and not seen.harm.slices
            level = seen.level if is_harmed else None
            return Evidence(seen.n_labels, new, seen.quality, bound, seen.drifted, seen.harm, level=level)
        case Ticked():
            return Evidence(seen.n_labels, new)
