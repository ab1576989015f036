"""The whole loop as a person runs it: init, up, ask, label, promote, roll back, down."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
import pytest
from deltalake import DeltaTable

from raypipe.api.replay.plan import ReplaySettings
from raypipe.api.replay.play import Replay
from raypipe.data.committer import read_predictions
from raypipe.data.fragments import read_rows
from raypipe.data.replay import part
from raypipe.runtime.state import Cluster, read_cluster
from raypipe.serving import client

Within = Callable[[float, Callable[[], bool]], bool]
ROW = {
    "salary": 90_000.0,
    "commission": None,
    "age": 35,
    "elevel": "e2",
    "car": "make-3",
    "zipcode": "zip-1",
    "hvalue": 300_000.0,
    "hyears": 10,
    "loan": 100_000.0,
}


def test_up_prints_a_curl_and_its_answer(project: Any) -> None:
    answer = json.loads(project.up["answer"])
    assert answer["version"] == "v1"
    assert answer["predictions"][0]["prediction"] in ("A", "B")
    assert f"{project.up['url']}/predict" in project.up["curl"]


def test_the_best_family_beats_the_baseline(project: Any) -> None:
    board = {entry["family"]: entry for entry in project.up["leaderboard"]["entries"]}
    winner = board[project.up["leaderboard"]["winner"]]
    assert board["baseline"]["test"][0] == 0.5
    assert winner["over_baseline"][1] > 0, "the interval of the gain lies above zero"


def test_the_dashboard_asks_for_the_token_that_was_named(project: Any) -> None:
    token = Path(project.up["token_file"]).read_text().strip()
    url = f"{project.up['dashboard_url']}/api/version"
    with pytest.raises(OSError, match="401"):
        urlopen(url, timeout=10)
    with urlopen(Request(url, headers={"authorization": f"Bearer {token}"}), timeout=10) as reply:
        assert reply.status == 200


def test_what_was_answered_and_labelled_comes_into_the_tables(project: Any, within: Within) -> None:
    answers = project.command("predict", stdin=json.dumps([ROW, {**ROW, "age": "old"}]))
    assert "prediction" in answers[0]
    assert answers[1]["error"]["column"] == "age"
    label = {"id": answers[0]["id"], "label": "A"}
    told = project.command("feedback", stdin=json.dumps([label]))
    assert told == {"accepted": 1, "rejected": 0, "empty": 0, "errors": []}
    folder = project.pipeline.config.folder

    def committed(table: Path, id_column: str) -> list[str]:
        if not DeltaTable.is_deltatable(str(table)):
            return []
        ids: list[str] = DeltaTable(str(table)).to_pyarrow_table(columns=[id_column])[id_column].to_pylist()
        return ids

    assert within(20, lambda: committed(folder.predictions, "id").count(answers[0]["id"]) == 1)
    assert within(20, lambda: committed(folder.labels, "prediction_id").count(answers[0]["id"]) == 1)
    assert answers[1]["id"] not in committed(folder.predictions, "id"), "an error is no prediction"


def test_offline_and_online_answers_are_equal(project: Any) -> None:
    online = project.command("predict", stdin=json.dumps([ROW]))
    offline = project.command("predict", "--offline", stdin=json.dumps([ROW]))
    from_python = project.pipeline.predict([ROW])
    assert online[0]["probabilities"] == offline[0]["probabilities"] == from_python[0]["probabilities"]


def test_recorded_rows_are_replayed_as_traffic_and_scored(project: Any, within: Within) -> None:
    pipeline, told = project.pipeline, list[str]()
    folder, (data, *_) = pipeline.config.folder, pipeline.registry.data_versions(pipeline.config.name)
    parted = part(read_rows(folder, data), "applied_at", 0.97)
    settings = ReplaySettings(rows_per_s=200, rows_per_request=20, label_delay_s=0.2)
    result = Replay(pipeline, parted.history, parted.played, settings, told.append).run()
    n_rows = parted.played.num_rows
    assert (result.n_failed, result.n_rows_refused, result.n_labels_refused) == (0, 0, 0), told
    assert (result.n_rows, result.versions, result.decisions) == (n_rows, {"v1": n_rows}, ())
    whole = result.scores.whole
    assert whole.loop.value == pytest.approx(whole.frozen.value, abs=1e-6), "nothing was retrained"
    assert whole.loop.value > whole.constant.value == 0.5
    moments = {row["applied_at"].isoformat() for row in parted.played.to_pylist()}

    def event_times() -> set[str]:
        inputs = read_predictions(folder)["inputs"].to_pylist()
        return {str(json.loads(text).get("applied_at")) for text in inputs}

    assert within(20, lambda: event_times() >= moments), "captured rows keep their event time"


def test_the_same_again_learns_nothing_and_goes_on_serving(project: Any) -> None:
    before = project.command("status")["endpoint"]
    again = project.command("up")
    assert (again["is_new"], again["version"], again["serving"]) == (False, "v1", "v1")
    assert project.command("status")["endpoint"]["replica"] == before["replica"]


def test_a_second_version_waits_serves_and_goes_back(project: Any) -> None:
    text = project.config.read_text()
    project.config.write_text(
        text.replace("families: [linear, xgboost, torch]", "families: [linear]\n  seed: 1")
    )
    second = project.command("up")
    assert (second["version"], second["serving"]) == ("v2", "v1"), "a champion is not replaced by itself"
    promoted = project.command("promote", "v2")
    assert (promoted["version"], promoted["over"], promoted["url"]) == ("v2", "http", project.up["url"])
    assert project.command("status")["endpoint"]["version"] == "v2"
    assert project.command("predict", stdin=json.dumps([ROW]))[0]["prediction"] in ("A", "B")
    done, imported = imports("rollback", str(project.config), "--json")
    assert (done["version"], done["over"]) == ("v1", "http")
    assert "ray" not in imported, "the way back must not wait for it"
    assert project.command("status")["endpoint"]["version"] == "v1"
    assert "no other champion" in project.command("rollback", code=1)
    moved = [entry for entry in project.command("history") if entry["kind"] == "alias_moved"]
    reasons = [entry["detail"]["reason"] for entry in moved if entry["subject"] == "champion"]
    assert reasons[:2] == ["rolled back", "promoted by hand"]


def test_no_request_fails_while_versions_come_and_go(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark, small; what it measures is for its own output."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    releases = importlib.import_module("benchmarks.releases")
    found = releases.measure(str(project.config), "v2", 1)
    assert (found.n_sent > 100, found.n_failed) == (True, 0)
    assert len(releases.lines(found)) == 6
    assert project.command("status")["endpoint"]["version"] == "v1"


def test_only_the_homes_token_moves_versions(project: Any) -> None:
    token = project.pipeline.config.root.operator_token
    assert token.stat().st_mode & 0o777 == 0o600
    body = {"version": "v2"}
    assert client.ask(project.up["url"], "POST", "promote", body).status == 401
    assert client.ask(project.up["url"], "POST", "promote", body, token="x" * 64).status == 403
    assert project.command("status")["champion"] == "v1"


def test_a_damaged_version_is_refused_and_the_old_one_stays(project: Any) -> None:
    staged = project.pipeline.config.folder.model("v2") / "transform.json"
    staged.write_text(staged.read_text() + " ")
    assert "refused" in project.command("promote", "v2", code=1)
    status = project.command("status")
    assert (status["champion"], status["endpoint"]["version"]) == ("v1", "v1")


def test_down_ends_what_up_started_and_nothing_else(project: Any, within: Within) -> None:
    cluster = read_cluster(project.pipeline.config.root)
    assert isinstance(cluster, Cluster)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert project.command("down") == {"ended": True}
        assert within(10, lambda: not any(alive(p.pid, p.created_at_s) for p in cluster.processes))
        assert other.poll() is None
        assert project.command("down") == {"ended": False}
        assert project.command("status")["endpoint"] is None
    finally:
        other.kill()
        other.wait()


def imports(*arguments: str) -> tuple[Any, set[str]]:
    """Run a command, and return its JSON and the packages that it imported."""
    program = "from raypipe.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    names = {line.split("|")[-1].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "raypipe" in names
    return json.loads(done.stdout), names


def alive(pid: int, created_at_s: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - created_at_s) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
