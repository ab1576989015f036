"""A batch has the endpoint's numbers to the bit, whatever the family, the format and a row's neighbours."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from raypipe.core.clock import SystemClock
from raypipe.core.home import Home
from raypipe.serving.batch.job import ScoreJob
from raypipe.serving.batch.places import Place, settings_of
from raypipe.serving.batch.run import list_pieces, score
from raypipe.serving.config import CaptureSettings, ServingSettings
from raypipe.serving.pointer import write_pointer
from raypipe.serving.replica import build_app
from raypipe.serving.spec import EndpointSpec
from raypipe.serving.tables import table_of
from raypipe.testing.serving import tiny_rows, tiny_transform, trained_tiny_model, write_tiny_version
from raypipe.training.task import Task

N = 333
TASKS = {
    "two classes": Task("classification", "outcome", ("bad", "good"), "auc"),
    "three classes": Task("classification", "outcome", (1, 2, 3), "log_loss"),
    "a number": Task("regression", "outcome", (), "mae"),
}


def rows() -> pa.Table:
    return table_of(tiny_rows(N), tiny_transform().inputs)


def written(table: pa.Table, folder: Path, format: str) -> Path:
    path = folder / f"rows.{format}"
    if format == "parquet":
        parquet.write_table(table, path, row_group_size=100)
    elif format == "csv":
        csv.write_csv(table, path)
    else:
        lines = (json.dumps({**row, "seen": row["seen"].isoformat()}) for row in table.to_pylist())
        path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("format", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("family", ["baseline", "linear", "xgboost", "torch"])
def test_a_batch_has_the_numbers_of_the_endpoint(
    tmp_path: Path, family: str, task: Task, format: str
) -> None:
    spec = EndpointSpec("tiny", tmp_path, ServingSettings(capture=CaptureSettings(enabled=False)))
    pointer = write_tiny_version(spec.folder, "v1", 1, model=trained_tiny_model(family, task), task=task)
    write_pointer(spec.folder.pointer, pointer)
    path = written(rows(), tmp_path, format)
    job = ScoreJob(Home(tmp_path).pipeline("tiny"), pointer, settings_of(Place(str(path))), {}, ("size",))
    done = score(job, list_pieces(job, tmp_path / "out"), tmp_path / "out")
    assert (done.n_scored, done.n_rejected) == (N, 0)
    scores = parquet.read_table(tmp_path / "out").to_pylist()

    endpoint = build_app(spec, "r", SystemClock()).endpoint
    sent = [{**row, "seen": row["seen"].isoformat()} for row in rows().to_pylist()]
    for start, end in ((0, 1), (1, 2), (2, 9), (9, 40), (40, N)):
        body = json.dumps({"rows": sent[start:end]}).encode()
        answers = json.loads(endpoint.predict(body).body)["predictions"]
        for answer, found, asked in zip(answers, scores[start:end], sent[start:end], strict=True):
            assert found["prediction"] == answer["prediction"]
            assert (found["version"], found["size"]) == ("v1", asked["size"])
            shares = {
                name.removeprefix("probability_"): value
                for name, value in found.items()
                if name.startswith("probability_")
            }
            assert shares == answer.get("probabilities", {})
