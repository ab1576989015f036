"""Rollouts simulated through the controller's own `step`: what is taken back, what goes on, who was touched.

    python -m benchmarks.rollouts --rollouts 200

A challenger has passed its gate. It is shadowed by a quarter of the rows, then answers a tenth and half of
the traffic. Rows come in looks; each row's label comes some looks later, or never. Kinds of challengers:

- as good: right as often as the champion, on other rows;
- twice the loss, from the first row on (its gate was wrong), and only as a canary (its answers change what
  happens, which no shadow sees);
- failing: 5% of its rows raise, or have no finite answer, only as a canary;
- slow: 5% of its answers are over the limit, and 1% of the champion's, only as a canary;
- as good, but no label ever comes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from raypipe.control.actions import Promote, Record, SetCanary
from raypipe.control.events import (
    ControllerStarted,
    Event,
    Evidence,
    Fact,
    GateJudged,
    Promoted,
    RetrainDecided,
    RetrainSubmitted,
    RetrainSucceeded,
    RolloutScored,
    Ticked,
)
from raypipe.control.rollout_events import CanaryJudged, CanarySet, CanaryStepped, ShadowJudged
from raypipe.control.rollout_evidence import Baseline, CanaryEvidence, RolloutEvidence, ShadowEvidence
from raypipe.control.state import Canarying, Shadowing, State, Watching
from raypipe.control.step import step
from raypipe.policy.config import RetrainingSettings
from raypipe.stats.arms import Arms
from raypipe.stats.bets import Bets
from raypipe.stats.proportions import clopper_pearson

START = datetime(2026, 1, 1, tzinfo=UTC)
LOOK_S = 10.0
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Kind:
    """What a challenger is like; the champion is wrong on a tenth of the rows, and 1% of it is slow."""

    name: str
    shadow_loss: float = 0.1
    canary_loss: float = 0.1
    fails: float = 0.0
    slow: float = 0.01
    is_bad: bool = False
    labelled: bool = True


KINDS = (
    Kind("as good"),
    Kind("as good, no labels", labelled=False),
    Kind("twice the loss", 0.2, 0.2, is_bad=True),
    Kind("twice the loss as a canary", canary_loss=0.2, is_bad=True),
    Kind("three times the loss as a canary", canary_loss=0.3, is_bad=True),
    Kind("5% fail as a canary", fails=0.05, is_bad=True),
    Kind("5% slow as a canary", slow=0.05, is_bad=True),
)
CHAMPION_LOSS = 0.1
CHAMPION_SLOW = 0.01


@dataclass
class Traffic:
    """What live traffic shows of one challenger, look by look."""

    kind: Kind
    settings: RetrainingSettings
    random: np.random.Generator
    n_rows: int
    delay: int
    """Looks until a row's label comes."""
    found: RolloutEvidence = field(default_factory=lambda: RolloutEvidence(Baseline(2_000, 200.0)))
    waiting: list[tuple[int, int, Arms]] = field(default_factory=list)
    paired: list[tuple[int, Floats]] = field(default_factory=list)
    n_looks: int = 0

    def look(self, phase: object) -> RolloutEvidence:
        """Return all the evidence after the rows of one more look."""
        self.n_looks += 1
        if isinstance(phase, Shadowing):
            self._shadow()
        elif isinstance(phase, Canarying) and phase.epoch is not None:
            self._canary(phase, phase.epoch)
        if self.kind.labelled:
            self._labels()
        return self.found

    def _shadow(self) -> None:
        shadow = self.settings.rollout.shadow
        assert shadow is not None
        n = self.random.binomial(self.n_rows, shadow.share)
        old = (self.random.random(n) < CHAMPION_LOSS).astype(float)
        new = (self.random.random(n) < self.kind.shadow_loss).astype(float)
        self.paired.append((self.n_looks, new - old))
        known = self.found.shadow or ShadowEvidence.none(shadow)
        self.found = replace(
            self.found,
            shadow=replace(
                known,
                failed=known.failed + Bets.of(np.zeros(n), shadow.max_error_ratio),
                n_rows=known.n_rows + n,
                n_agreed=known.n_agreed + int((old == new).sum()),
                slowdown=1.0,
            ),
        )

    def _canary(self, phase: Canarying, epoch: int) -> None:
        canary = self.settings.rollout.canary
        assert canary is not None
        known = self.found.canary.get(epoch) or CanaryEvidence.none(canary)
        treated = self.random.random(self.n_rows) < phase.weight
        over = treated & (np.cumsum(treated) > phase.max_rows - known.n_rows)
        if over.any():  # The replica has spent its rows: from here on the champion answers all, unmeasured.
            treated = treated[: int(np.argmax(over))]
        n = len(treated)
        fails = treated & (self.random.random(n) < self.kind.fails)
        slow = self.random.random(n) < np.where(treated, self.kind.slow, CHAMPION_SLOW)
        loss = self.random.random(n) < np.where(treated, self.kind.canary_loss, CHAMPION_LOSS)
        tolerance = canary.tolerance
        now = CanaryEvidence(
            known.failed + Bets.of(fails[treated].astype(float), canary.max_error_ratio),
            known.slow + Arms.of(slow.astype(float), treated, phase.weight, tolerance=tolerance),
            known.losses,
        )
        self.found = replace(self.found, canary={**self.found.canary, epoch: now})
        answered = ~fails
        arms = Arms.of(loss[answered], treated[answered], phase.weight, tolerance=tolerance)
        self.waiting.append((self.n_looks, epoch, arms))

    def _labels(self) -> None:
        ripe = self.n_looks - self.delay
        for _, epoch, arms in [one for one in self.waiting if one[0] <= ripe]:
            known = self.found.canary[epoch]
            grown = replace(known, losses=known.losses + arms)
            self.found = replace(self.found, canary={**self.found.canary, epoch: grown})
        for _, d in [one for one in self.paired if one[0] <= ripe]:
            shadow = self.found.shadow
            assert shadow is not None
            higher, lower = Bets.of((1 + d) / 2, shadow.higher.p), Bets.of((1 - d) / 2, shadow.lower.p)
            grown = replace(shadow, higher=shadow.higher + higher, lower=shadow.lower + lower)
            self.found = replace(self.found, shadow=grown)
        self.waiting = [one for one in self.waiting if one[0] > ripe]
        self.paired = [one for one in self.paired if one[0] > ripe]


@dataclass(frozen=True)
class Outcome:
    """How one rollout ended, and how many rows of clients the challenger answered."""

    ending: str
    n_rows: int
    allowed: int
    """What the steps that began were given together."""


def roll_out(kind: Kind, settings: RetrainingSettings, *, seed: int, n_rows: int, delay: int) -> Outcome:
    """Roll one challenger out, until it is the champion or taken back."""
    traffic = Traffic(kind, settings, np.random.default_rng(seed), n_rows, delay)
    now, facts = START, list[Fact]()
    state, epoch = State("p"), 1

    def tell(event: Event) -> None:
        nonlocal state, epoch
        state, actions = step(state, event, settings)
        for action in actions:
            match action:
                case Record(fact):
                    facts.append(fact)
                case SetCanary(decision, version, _, n):
                    epoch += 1
                    tell(CanarySet(now, decision, version, n, epoch, controller=1))
                case Promote(decision, version):
                    epoch += 1
                    tell(Promoted(now, decision, version, epoch, controller=1))
                case _:
                    pass

    for event in _up_to_the_gate(now):
        tell(event)
    while not isinstance(state.phase, Watching):
        now += timedelta(seconds=LOOK_S)
        decision = state.phase.decision
        tell(RolloutScored(now, decision, traffic.look(state.phase), controller=1))
        tell(Ticked(now, controller=1))
    touched = sum(one.n_rows for one in traffic.found.canary.values())
    allowed = sum(fact.max_rows for fact in facts if isinstance(fact, CanaryStepped))
    return Outcome(_ending(facts), touched, allowed)


def _up_to_the_gate(at: datetime) -> Iterator[Event]:
    yield ControllerStarted(at, 1, "v1", 1, controller=1)
    decision = "p-retrain-1"
    yield RetrainDecided(at, decision, "labels", Evidence(), "v1", controller=1)
    yield RetrainSubmitted(at, decision, controller=1)
    yield RetrainSucceeded(at, decision, "v2", "d-1", controller=1)
    yield GateJudged(at, decision, "v2", "v1", "pass", 500, controller=1)


def _ending(facts: list[Fact]) -> str:
    for fact in reversed(facts):
        if isinstance(fact, Promoted):
            return "promoted"
        if isinstance(fact, ShadowJudged | CanaryJudged) and fact.verdict != "pass":
            return "taken back" if fact.verdict == "fail" else "inconclusive"
    raise AssertionError("a rollout must end")


def default_settings() -> RetrainingSettings:
    """Return a rollout by shadow and canary, as raypipe sets it but for deadlines of an hour."""
    hour = {"deadline_s": 3600}
    return RetrainingSettings.model_validate({"rollout": {"shadow": hour, "canary": hour}})


@dataclass(frozen=True)
class Row:
    """What became of many rollouts of one kind."""

    kind: Kind
    outcomes: tuple[Outcome, ...]

    def n(self, ending: str) -> int:
        return sum(one.ending == ending for one in self.outcomes)

    def line(self) -> str:
        n = len(self.outcomes)
        counted = self.n("promoted") if self.kind.is_bad else self.n("taken back")
        low, high = clopper_pearson(counted, n)
        rows = [one.n_rows for one in self.outcomes]
        most = max(one.allowed for one in self.outcomes)
        return (
            f"| {self.kind.name} | {self.n('promoted')} | {self.n('taken back')} | {self.n('inconclusive')} "
            f"| {counted} of {n}: {low:.1%} to {high:.1%} | {np.median(rows):.0f} | {max(rows)} | {most} |\n"
        )


HEAD = (
    "| challenger | promoted | taken back for harm | inconclusive | wrong, exact 95% interval "
    "| rows it answered, median | at most | allowed |\n|---|---|---|---|---|---|---|---|\n"
)


def rollouts(n: int, *, n_rows: int = 500, delay: int = 5, kinds: tuple[Kind, ...] = KINDS) -> Iterator[Row]:
    """Yield what becomes of `n` rollouts of each kind of challenger."""
    settings = default_settings()
    for number, kind in enumerate(kinds):
        yield Row(
            kind,
            tuple(
                roll_out(kind, settings, seed=1_000_000 * number + i, n_rows=n_rows, delay=delay)
                for i in range(n)
            ),
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rollouts", type=int, default=200)
    parser.add_argument("--rows", type=int, default=500, help="rows between two looks")
    parser.add_argument("--delay", type=int, default=5, help="looks until a label comes")
    asked = parser.parse_args()
    sys.stdout.write(HEAD)
    for row in rollouts(asked.rollouts, n_rows=asked.rows, delay=asked.delay):
        sys.stdout.write(row.line())


if __name__ == "__main__":
    main()
