"""Ray Data's actors write the very files that one process writes."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from raypipe.core.home import Home
from raypipe.serving.batch.job import ScoreJob
from raypipe.serving.batch.places import Place, settings_of
from raypipe.serving.batch.run import here, list_pieces, score
from raypipe.testing.serving import TINY_TASK, trained_tiny_model, write_tiny_version

pytestmark = pytest.mark.usefixtures("local_ray")


def test_scores_over_ray_data_are_those_of_one_process(tmp_path: Path) -> None:
    from raypipe.serving.batch.on_ray import over_ray

    (tmp_path / "rows").mkdir()
    for number in range(3):
        colours = ["red", None, "blue"] * 40
        table = pa.table({"size": range(number, number + 120), "colour": colours, "member": [True] * 120})
        parquet.write_table(table, tmp_path / "rows" / f"{number}.parquet")
    folder = Home(tmp_path).pipeline("tiny")
    pointer = write_tiny_version(folder, "v1", 1, model=trained_tiny_model("xgboost", TINY_TASK))
    job = ScoreJob(folder, pointer, settings_of(Place(str(tmp_path / "rows"))), {}, ("size",))
    outputs = {name: tmp_path / name for name in ("here", "ray")}
    for compute, output in zip((here, over_ray), outputs.values(), strict=True):
        done = score(job, list_pieces(job, output), output, compute)
        assert (done.n_scored, done.n_rejected) == (240, 120)
    found = [
        {path.relative_to(output): path.read_bytes() for path in output.rglob("*") if path.is_file()}
        for output in outputs.values()
    ]
    assert found[0] == found[1]
    again = score(job, list_pieces(job, outputs["ray"]), outputs["ray"], over_ray)
    assert (again.n_before, again.n_scored) == (3, 240)
