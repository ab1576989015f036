"""What goes on and on in a process of its own: the controller, and what measures a challenger; no Ray."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from raypipe.config.settings import Config
from raypipe.control.controller import Controller
from raypipe.control.gate_watch import GateWatch
from raypipe.control.rollout_watch import RolloutWatch
from raypipe.control.state import State
from raypipe.core.background import in_background
from raypipe.core.clock import SystemClock
from raypipe.core.errors import StaleEpoch
from raypipe.registry.store import Registry

_log = logging.getLogger("raypipe.control")


@dataclass(frozen=True)
class ControllerStatus:
    """How a controller is: its phase, its epoch, and what its last look failed with."""

    phase: str
    epoch: int
    n_ticks: int
    problem: str | None


class ControllerLoop:
    """Calls a controller's `tick` in a thread of its own, until another controller takes over."""

    def __init__(
        self, controller: Controller, interval_s: float, show: Callable[[State], None] | None = None
    ) -> None:
        self._controller = controller
        self._interval_s = interval_s
        self._show = show
        self._n_ticks = 0
        self._problem: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="raypipe-controller", daemon=True)

    def start(self) -> None:
        """Take over and begin to look."""
        self._thread.start()

    def status(self) -> ControllerStatus:
        """Return how it goes."""
        state = self._controller.state
        return ControllerStatus(type(state.phase).__name__, state.controller, self._n_ticks, self._problem)

    def stop(self) -> None:
        """End the thread after its tick."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        started = False
        while not self._stop.wait(self._interval_s):
            try:
                self._controller.tick() if started else self._controller.start()
                started = True
                if self._show is not None:
                    self._show(self._controller.state)
                self._problem = None
            except StaleEpoch as error:
                self._problem = str(error)
                _log.warning("%s", error)
                return
            except Exception as error:  # noqa: BLE001 - the loop outlives any one look; status() says why
                self._problem = f"{type(error).__name__}: {error}"
                _log.warning("the controller's look failed: %s", self._problem)
            self._n_ticks += 1


class MeasuringLoop:
    """Looks again and again, in a thread of its own, until its process is killed."""

    def __init__(self, watch: RolloutWatch | GateWatch, interval_s: float) -> None:
        self._watch = watch
        self._interval_s = interval_s
        threading.Thread(target=self._run, name="raypipe-measuring", daemon=True).start()

    def pid(self) -> int:
        """Return the process that measures."""
        return os.getpid()

    def _run(self) -> None:
        while True:
            try:
                self._watch.look()
            except Exception as error:  # noqa: BLE001 - the next look may succeed; nothing goes on without
                _log.warning("a challenger was not measured: %s: %s", type(error).__name__, error)
            time.sleep(self._interval_s)


class RolloutLoop(MeasuringLoop):
    """Measures one rollout, again and again, until it is killed."""

    def __init__(self, config_file: str, decision: str, version: str, champion: str) -> None:
        in_background()
        config = Config.model_validate_json(Path(config_file).read_bytes())
        clock = SystemClock()
        watch = RolloutWatch(
            config.folder,
            Registry(config.root.registry_url, clock),
            config.retraining.rollout,
            clock,
            decision=decision,
            version=version,
            champion=champion,
        )
        super().__init__(watch, config.retraining.tick_s)


class GateLoop(MeasuringLoop):
    """Scores challenger and champion on rows that are labelled now, again and again, until it is killed."""

    def __init__(self, config_file: str, decision: str, version: str, champion: str) -> None:
        in_background()
        config = Config.model_validate_json(Path(config_file).read_bytes())
        clock = SystemClock()
        registry = Registry(config.root.registry_url, clock)
        watch = GateWatch(config, registry, clock, decision=decision, version=version, champion=champion)
        super().__init__(watch, config.retraining.tick_s)
