"""Playing rows as requests, and telling what the endpoint and the controller make of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

import pyarrow as pa

from raypipe.api.news import News
from raypipe.api.pipeline import Pipeline
from raypipe.api.replay.answers import LiveAnswers
from raypipe.api.replay.plan import ReplaySettings, time_column
from raypipe.api.replay.result import PlayedDecision, ReplayResult
from raypipe.api.replay.scores import score
from raypipe.api.status import endpoint_spec
from raypipe.api.traffic import Pace, Traffic, post_to
from raypipe.control.events import (
    Fact,
    GateContinued,
    GateJudged,
    Promoted,
    PromotionFailed,
    Rejected,
    RetrainDecided,
    RetrainFailed,
    RetrainLost,
)
from raypipe.control.ledger import read_facts
from raypipe.control.people import read_state
from raypipe.control.receipts import receipts
from raypipe.control.traffic import read_window
from raypipe.core.ids import Json
from raypipe.data.replay import requests
from raypipe.processing.fit import candidate_columns
from raypipe.serving.predictor import Predictor, load_predictor
from raypipe.serving.releases import CHAMPION
from raypipe.training.families.baseline import ConstantModel

LOOK_S = 0.25
TELL_S = 5.0


class Replay:
    """Plays rows against a pipeline that is up, and tells what the endpoint and the controller make of them.

    `played` are rows with the columns of the pipeline's data version, in order of event time; `history` gives
    the constant that they are compared with.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        history: pa.Table,
        played: pa.Table,
        settings: ReplaySettings,
        say: Callable[[str], None],
    ) -> None:
        self._config = pipeline.config
        self._registry = pipeline.registry
        self._played = played
        self._settings = settings
        self._say = say
        self._time = time_column(pipeline.config)
        self._first = self._registry.aliases(self._config.name)[CHAMPION]
        self._frozen = self._load(self._first)
        task = self._frozen.task
        self._constant = ConstantModel.of(task, task.encode(history[task.label]))
        self._live = LiveAnswers(task, played.num_rows)
        self._news = News(self._config, self._registry)
        self._traffic = Traffic(post_to(endpoint_spec(self._config)), settings.label_delay_s)
        self._n_sent = 0
        self._row_of: dict[str, int] = {}
        self._pace = Pace(settings.rows_per_s)
        self._look_at = self._tell_at = 0.0

    def run(self) -> ReplayResult:
        """Play all rows, wait for their labels and the retrain that is under way, and score the answers."""
        labels: list[Json] = self._played[self._frozen.task.label].to_pylist()
        columns, n_rows = self._columns(), self._settings.rows_per_request
        self._pace = Pace(self._settings.rows_per_s)
        with self._traffic as traffic:
            for rows in requests(self._played, columns, n_rows):
                self._watch()
                self._pace.wait(len(rows))
                first, self._n_sent = self._n_sent, self._n_sent + len(rows)
                traffic.send(rows, labels[first : self._n_sent], partial(self._live.take, first))
            played_s = self._pace.elapsed_s
            traffic.settle(self._settings.settle_s)
        self._await_verdict()
        return self._result(played_s)

    def _load(self, version: str) -> Predictor:
        registered = self._registry.model_version(self._config.name, version)
        return load_predictor(self._config.folder.model(version), registered.manifest_sha256)

    def _columns(self) -> list[str]:
        """Return what a request brings: all that may become a feature, and the event time."""
        data = self._registry.data_versions(self._config.name)[0]
        names = candidate_columns(data.columns, self._config.data, self._config.processing)
        return list(dict.fromkeys((self._time, *names)))

    def _watch(self) -> None:
        """Tell what is new, and now and then how it goes."""
        elapsed = self._pace.elapsed_s
        if elapsed >= self._look_at:
            self._look_at = elapsed + LOOK_S
            self._news.tell(self._tell, self._note)
        if elapsed >= self._tell_at:
            self._tell_at = elapsed + TELL_S
            self._tell(self._how_it_goes())

    def _note(self, fact: Fact) -> None:
        """Remember where a retrain was decided, and slow down until it has its verdict."""
        match fact:
            case RetrainDecided(decision=decision):
                self._row_of[decision] = min(self._n_sent, self._played.num_rows - 1)
                self._pace.per_s = self._settings.retraining_rows_per_s
            case Promoted() | PromotionFailed() | Rejected() | RetrainFailed() | RetrainLost():
                self._pace.per_s = self._settings.rows_per_s
            case GateContinued():  # What judges now are rows that must be played first.
                self._pace.per_s = self._settings.rows_per_s
            case GateJudged() if fact.verdict != "pass":
                self._pace.per_s = self._settings.rows_per_s

    def _how_it_goes(self) -> str:
        traffic, n_rows = self._traffic, self._played.num_rows
        row = min(self._n_sent, n_rows - 1)
        sent = f"{traffic.n_requests:,} requests sent, {traffic.n_failed} failed"
        return f"{self._event_time(row):%Y-%m-%d %H:%M}, row {row:,} of {n_rows:,}; {self._quality()}; {sent}"

    def _quality(self) -> str:
        window = read_window(self._config.folder)
        if window is None or window.quality is None or window.quality.value is None:
            return f"{window.version if window else self._first}: too few labels yet"
        found = window.quality
        ends = "" if found.low is None else f" [{found.low:.4g}, {found.high:.4g}]"
        drifted = f", drifted: {', '.join(window.drifted)}" if window.drifted else ""
        return f"{window.version}: live {found.metric} {found.value:.4g}{ends} on {found.n_labels}{drifted}"

    def _event_time(self, row: int) -> datetime:
        moment: datetime = self._played[self._time][row].as_py()
        return moment

    def _tell(self, line: str) -> None:
        self._say(f"{self._pace.elapsed_s:6.1f} s  {line}")

    def _await_verdict(self) -> None:
        """See the retrain that is under way to its end."""
        under_way = self._decision_under_way()
        deadline = time.monotonic() + self._settings.settle_s
        while under_way and self._decision_under_way() == under_way and time.monotonic() < deadline:
            time.sleep(LOOK_S)
            self._watch()
        self._look_at = self._tell_at = 0.0
        self._watch()

    def _decision_under_way(self) -> str | None:
        return read_state(self._registry, self._config.name).decision

    def _result(self, played_s: float) -> ReplayResult:
        return ReplayResult(
            n_rows=self._n_sent,
            n_requests=self._traffic.n_requests,
            n_failed=self._traffic.n_failed,
            n_rows_refused=self._live.n_refused,
            n_labels_refused=self._traffic.labels.n_refused,
            played_s=round(played_s, 1),
            first_champion=self._first,
            versions=self._live.rows_by_version,
            decisions=tuple(self._decisions()),
            scores=score(
                self._played,
                self._time,
                self._live,
                self._frozen,
                self._constant,
                seed=self._config.training.seed,
                block_rows=self._settings.block_rows,
            ),
        )

    def _decisions(self) -> Sequence[PlayedDecision]:
        facts = [fact for _, fact in read_facts(self._registry, self._config.name)]
        found = receipts(facts, self._config.name)
        return [
            PlayedDecision(one, self._row_of[one.decision], self._event_time(self._row_of[one.decision]))
            for one in found
            if one.decision in self._row_of
        ]
