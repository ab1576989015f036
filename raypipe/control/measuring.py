"""Measures a challenger beside the champion on captured rows: outside of the champion's process.

Champion and challenger are asked the rows of a shadow's share again, so that their times are of one process;
what clients got is read from the log. Labels are taken as they come.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np

from raypipe.control.rollout import MIN_BASELINE_LABELS
from raypipe.control.rollout_evidence import Baseline, CanaryEvidence, RolloutEvidence, ShadowEvidence
from raypipe.control.row_loss import Given, RowLoss, typical_error
from raypipe.control.sides import Captured, Sides
from raypipe.data.roles import Role, read_role
from raypipe.policy.rollout import RolloutSettings
from raypipe.serving.capture import is_sampled
from raypipe.stats.arms import Arms
from raypipe.stats.bets import Bets

N_TOGETHER = 64
"""Rows that are asked at once."""
MAX_EARLY = 100_000
"""Labels that came before their answers, and are kept for them."""
MAX_WAITING = 500_000
"""Rows whose labels are waited for; the oldest are given up beyond."""
_CLOSE = 1e-6
_T = TypeVar("_T")


class _InArm(NamedTuple):
    """An answer in one of the two arms, whose label is waited for."""

    role: Role
    given: Given


class _Twice(NamedTuple):
    """What both answered to one row, of which the label is waited for."""

    old: Given
    new: Given | None


_Waiting: TypeAlias = dict[str, "_InArm | _Twice | Given"]


class RolloutMeasure:
    """Folds captured answers and labels into the evidence of one rollout; equal rows give equal evidence.

    `since` is when the rollout began: earlier answers tell only what the champion's losses are like. A row's
    arm counts once `weights`, by the epoch of the pointer, tell how likely it was.
    """

    def __init__(self, sides: Sides, settings: RolloutSettings, since: datetime) -> None:
        self._sides = sides
        self._settings = settings
        self.since = since
        self._loss = RowLoss(sides.champion.task)
        self._errors: list[float] = []
        self._baseline = Baseline()
        self._shadow = None if settings.shadow is None else ShadowEvidence.none(settings.shadow)
        self._canary: dict[int, CanaryEvidence] = {}
        self._keys: set[tuple[int, str]] = set()
        self._waiting: _Waiting = {}
        self._unweighted: list[Captured] = []
        self._early: dict[str, str] = {}
        self._ripe: list[tuple[str, str]] = []
        self.weights: dict[int, float] = {}

    @property
    def evidence(self) -> RolloutEvidence:
        """All that is known."""
        return RolloutEvidence(self._baseline, self._shadow, dict(self._canary))

    def take_answers(self, rows: Sequence[Captured]) -> None:
        """Take in what was answered, in the order of the log."""
        arms = [one for one in (*self._unweighted, *rows) if read_role(one.role) is not None]
        self._unweighted = [one for one in arms if _epoch(one) not in self.weights]
        for epoch in sorted({_epoch(one) for one in arms} & self.weights.keys()):
            self._take_arms(epoch, [one for one in arms if _epoch(one) == epoch])
        champions = [
            one for one in rows if read_role(one.role) is None and one.version == self._sides.champion_version
        ]
        shadowed = [one for one in champions if self._is_shadowed(one)]
        for start in range(0, len(shadowed), N_TOGETHER):
            self._take_shadow(shadowed[start : start + N_TOGETHER])
        for one in champions:
            if one.id not in self._waiting:
                self._wait(one.id, one.given)
        ripe, self._ripe = self._ripe, []
        self.take_labels(ripe)

    def take_labels(self, labels: Sequence[tuple[str, str]]) -> None:
        """Take in labels, as JSON, by the ids of the answers; the first one of an answer counts."""
        differences: list[float] = []
        arms: dict[int, list[tuple[float, bool]]] = {}
        for id_, label in labels:
            waiting = self._waiting.get(id_)
            if waiting is None:
                _bounded(self._early, MAX_EARLY)[id_] = label
                continue
            if not self._can_judge(waiting):
                continue
            del self._waiting[id_]
            if isinstance(waiting, _Twice):
                differences += self._difference(waiting, label)
            elif isinstance(waiting, _InArm):
                loss = self._loss(waiting.given, label)
                if loss is not None:
                    treated = waiting.role.arm == "canary"
                    arms.setdefault(waiting.role.epoch, []).append((loss, treated))
            else:
                self._count(waiting, label)
        self._pair(differences)
        for epoch, found in arms.items():
            losses, in_canary = (np.array(column) for column in zip(*found, strict=True))
            known = self._canary[epoch]
            grown = known.losses + Arms.of(
                losses, in_canary, self.weights[epoch], tolerance=known.losses.tolerance
            )
            self._canary[epoch] = replace(known, losses=grown)

    def _is_shadowed(self, one: Captured) -> bool:
        shadow = self._settings.shadow
        return shadow is not None and one.at >= self.since and is_sampled(one.id, shadow.share)

    def _take_shadow(self, rows: Sequence[Captured]) -> None:
        known = self._shadow
        if known is None:
            return
        n, given = self._sides.answers(rows)
        pairs = [(one, new) for one, new in zip(rows, given, strict=True) if new is not None]
        gaps = [_gap(one.given, new) for one, new in pairs]
        total = known.mean_difference * (known.n_rows - int(known.failed.total)) + sum(gaps)
        failed = known.failed + Bets.of([float(new is None) for new in given], known.failed.p)
        self._shadow = replace(
            known,
            failed=failed,
            n_rows=known.n_rows + n,
            n_agreed=known.n_agreed + sum(self._agrees(one, new) for one, new in pairs),
            mean_difference=total / max(1, failed.n - int(failed.total)),
            slowdown=statistics.median(self._sides.ratios) if self._sides.ratios else None,
        )
        for one, new in zip(rows, given, strict=True):
            self._wait(one.id, _Twice(one.given, new))

    def _take_arms(self, epoch: int, rows: Sequence[Captured]) -> None:
        canary = self._settings.canary
        if canary is None:
            return
        known = self._canary.get(epoch) or CanaryEvidence.none(canary)
        told = [(one, role) for one in rows if (role := read_role(one.role)) is not None]
        failed = [float(role.arm == "fallback") for _, role in told if role.arm != "control"]
        # A key that always goes to one arm is one draw, whatever it asks.
        fresh = [pair for pair in told if self._is_fresh(pair[1])]
        in_canary = np.array([role.arm != "control" for _, role in fresh])
        slows = np.array([float(role.slow) for _, role in fresh])
        grown = known.slow + Arms.of(slows, in_canary, self.weights[epoch], tolerance=known.slow.tolerance)
        self._canary[epoch] = replace(
            known, failed=known.failed + Bets.of(failed, known.failed.p), slow=grown
        )
        for one, role in fresh:
            if role.arm != "fallback":
                self._wait(one.id, _InArm(role, one.given))

    def _is_fresh(self, role: Role) -> bool:
        if role.key is None:
            return True
        key = (role.epoch, role.key)
        is_new = key not in self._keys
        self._keys.add(key)
        return is_new

    def _wait(self, id_: str, what: _InArm | _Twice | Given) -> None:
        _bounded(self._waiting, MAX_WAITING)[id_] = what
        if id_ in self._early:
            self._ripe.append((id_, self._early.pop(id_)))

    def _can_judge(self, waiting: _InArm | _Twice | Given) -> bool:
        """Say whether a label can be judged by: for amounts, once the champion's errors are known."""
        return self._loss.is_defined or not isinstance(waiting, _InArm | _Twice)

    def _count(self, given: Given, label: str) -> None:
        """Count one of the champion's own losses."""
        if self._loss.task.kind == "regression" and self._loss.typical is None:
            error = self._loss.error(given, label)
            self._errors += [] if error is None else [error]
            if len(self._errors) < MIN_BASELINE_LABELS:
                return
            self._loss = replace(self._loss, typical=typical_error(self._errors))
            return
        loss = self._loss(given, label)
        if loss is not None:
            self._baseline = Baseline(self._baseline.n_labels + 1, self._baseline.loss + loss)

    def _difference(self, both: _Twice, label: str) -> list[float]:
        old = self._loss(both.old, label)
        # A row that it failed on is a loss of all that can be lost.
        new = 1.0 if both.new is None else self._loss(both.new, label)
        if old is None or new is None:
            return []
        self._baseline = Baseline(self._baseline.n_labels + 1, self._baseline.loss + old)
        return [new - old]

    def _pair(self, differences: Sequence[float]) -> None:
        known = self._shadow
        if known is None or not differences:
            return
        d = np.array(differences)
        self._shadow = replace(
            known,
            higher=known.higher + Bets.of((1 + d) / 2, known.higher.p),
            lower=known.lower + Bets.of((1 - d) / 2, known.lower.p),
        )

    def _agrees(self, one: Captured, new: Given) -> bool:
        if isinstance(new, Sequence) and not isinstance(new, str):
            best = self._sides.champion.task.classes[int(np.argmax(new))]
            return json.dumps(best, ensure_ascii=False) == one.prediction
        return _gap(one.given, new) <= _CLOSE * max(1.0, abs(float(one.prediction)))


def _bounded(known: dict[str, _T], most: int) -> dict[str, _T]:
    """Return a dict with room for one more, without its oldest where it was full."""
    if len(known) >= most:
        del known[next(iter(known))]
    return known


def _epoch(one: Captured) -> int:
    role = read_role(one.role)
    return -1 if role is None else role.epoch


def _gap(old: Given, new: Given) -> float:
    """Return how far two answers are apart: at the mean of the probabilities, or as numbers."""
    return float(np.mean(np.abs(np.asarray(old, np.float64) - np.asarray(new, np.float64))))
