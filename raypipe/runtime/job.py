"""A retrain's Ray job: `python -m raypipe.runtime.job FOLDER DECISION`, started by the controller.

FOLDER is the pipeline's folder in the home; its `config.json` says the rest. What comes of it is left in the
home for the controller, so that the job's own fate does not matter. A job that is run again for the same
decision finds the version that it registered.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

from raypipe.config.settings import Config
from raypipe.control.ledger import action_of
from raypipe.control.outcome import Retrained, write_progress, write_result
from raypipe.core.background import in_background
from raypipe.core.clock import SystemClock
from raypipe.core.errors import RaypipeError
from raypipe.core.progress import Progress, Step
from raypipe.pipeline import Outcome
from raypipe.policy.config import RetrainAction
from raypipe.registry.store import Registry
from raypipe.registry.values import ModelVersion
from raypipe.retraining import RetrainingLoop
from raypipe.runtime.proof import prove
from raypipe.runtime.resources import plan
from raypipe.runtime.session import session
from raypipe.training.kept import held_s, training_s
from raypipe.training.prepared import Prepared
from raypipe.training.trials import Trials


def main() -> None:
    """Carry out one decision; the exit code is 1 where it made no version."""
    in_background()
    folder, decision = Path(sys.argv[1]), sys.argv[2]
    config = Config.model_validate_json((folder / "config.json").read_bytes())
    try:
        loop = _loop(config, decision)
        result = carry_out(loop, decision, action_of(loop.registry, config.name, decision))
    except Exception as error:
        unexpected = f"unexpected {type(error).__name__}: {error}; the job's log in the dashboard has more"
        write_result(config.folder, decision, Retrained(error=unexpected))
        raise
    write_result(config.folder, decision, result)
    sys.exit(0 if result.version is not None else 1)


def carry_out(loop: RetrainingLoop, decision: str, action: RetrainAction = "retrain") -> Retrained:
    """Retrain, register and compare; whatever a person can mend is told in the result.

    A rollback trains and registers nothing: it compares the version that was the champion before.
    """
    started = time.process_time()
    try:
        if action == "rollback":
            version, prepared = loop.earlier()
            made = _found(loop, version, prepared, time.process_time() - started)
        else:
            outcome, prepared = loop.retrain(decision, action)
            version = outcome.version
            made = _made(loop, outcome, prepared, time.process_time() - started)
    except RaypipeError as error:
        return Retrained(error=str(error))
    found = _compared(loop, version, prepared, made)
    return _judged_once(found) if action == "rollback" else found


def _compared(loop: RetrainingLoop, version: ModelVersion, prepared: Prepared, made: Retrained) -> Retrained:
    try:
        compared = loop.compare(version, prepared)
        if compared.challenger_error:
            return replace(made, comparison=compared)
        proof = prove(loop.config.root.root, loop.config.name, version.version)
    except RaypipeError as error:
        return replace(made, error=str(error))
    return replace(made, comparison=replace(compared, row_ms=proof.row_ms, n_bytes=proof.n_bytes))


def _judged_once(found: Retrained) -> Retrained:
    """Let the first look decide: neither model's data version holds its rows, which could judge again."""
    compared = found.comparison
    return found if compared is None else replace(found, comparison=replace(compared, scale=None))


def _loop(config: Config, decision: str) -> RetrainingLoop:
    clock = SystemClock()
    registry, say = Registry(config.root.registry_url, clock), _teller(config, decision)
    return RetrainingLoop(config, registry, clock, lambda: _compute(config), say)


def _found(loop: RetrainingLoop, version: ModelVersion, prepared: Prepared, cpu_s: float) -> Retrained:
    return Retrained(
        version=version.version,
        data_version=version.data_version,
        champion_data_version=_known_to_champion(loop, prepared),
        family=version.family,
        cost_cpu_s=round(cpu_s, 3),
    )


def _made(loop: RetrainingLoop, outcome: Outcome, prepared: Prepared, driver_cpu_s: float) -> Retrained:
    best = outcome.leaderboard.best
    return Retrained(
        version=outcome.version.version,
        data_version=outcome.data.id,
        champion_data_version=_known_to_champion(loop, prepared),
        family=best.family,
        params={name: value for name, value in best.params.items() if _is_plain(value)},
        cost_cpu_s=round(driver_cpu_s + training_s(loop.config.folder.runs / outcome.run), 3),
        note=prepared.note,
        cost_gpu_s=gpu_s(loop.config.training.resources.gpus, loop.config.folder.runs / outcome.run),
    )


def gpu_s(gpus_per_trial: float, run: Path) -> float | None:
    """Return GPUs times the seconds that the trials of a run held them; None where they have none."""
    return round(gpus_per_trial * held_s(run), 3) if gpus_per_trial else None


def _known_to_champion(loop: RetrainingLoop, prepared: Prepared) -> str | None:
    """Return the data version that the champion was trained on."""
    champion = prepared.champion
    return None if champion is None else loop.registry.model_version(loop.config.name, champion).data_version


def _is_plain(value: object) -> TypeGuard[str | int | float | bool | None]:
    return value is None or isinstance(value, str | int | float | bool)


@contextmanager
def _compute(config: Config) -> Iterator[Trials]:
    with session(config.cluster, config.root) as connection:
        yield plan(connection.n_cpus, config.serving, config.training.resources)


def _teller(config: Config, decision: str) -> Progress:
    """Return what writes progress to the job's log, which the dashboard shows, and to the home."""

    def say(step: Step) -> None:
        sys.stdout.write(f"{step.stage}: {step.message}\n")
        sys.stdout.flush()
        write_progress(config.folder, decision, step)

    return say


if __name__ == "__main__":
    main()
