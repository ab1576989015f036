"""raypipe's own endpoint with that model: `raypipe up` in a folder of its own, with all that it does."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

import pyarrow.parquet as pq
import yaml

from benchmarks.faults.place import Place
from benchmarks.serving.model import trained, training_rows
from benchmarks.serving.servers import BY_NAME, Server
from raypipe.monitoring.reference import REFERENCE_NAME
from raypipe.registry.manifest import Manifest, ManifestDraft, verify
from raypipe.serving.golden import golden_rows, write_golden
from raypipe.serving.predictor import load_predictor
from raypipe.serving.releases import Releases
from raypipe.testing.serving import write_files
from raypipe.training.families.xgboost_trees import XgboostModel

NAME = "served"
_PLAIN = {"numeric": {"indicator": False, "scale": "none"}}
"""Numbers reach the trees as they are sent, as they do in the peers."""


@contextmanager
def endpoint(port: int, **serving: object) -> Iterator[tuple[Server, Place]]:
    """Bring the endpoint up and take all of it away at the end; `serving` is added to the config's part."""
    place = Place(Path(tempfile.mkdtemp(prefix="rp-serve-", dir="/tmp")))
    try:
        _write_config(place, port, serving)
        place.run("run")
        model = register_model(place)
        Releases(place.registry, place.config.folder).promote(
            model, expected=None, reason="the model of the benchmark"
        )
        place.run("up")
        yield Server("raypipe", f"{place.url}/predict", BY_NAME, f"capture and monitoring on, {model}"), place
    finally:
        place.run("down")
        shutil.rmtree(place.folder, ignore_errors=True)


def register_model(place: Place) -> str:
    """Register the trees beside what the run made, with all else that it has; return the version."""
    folder, registry = place.config.folder, place.registry
    before = registry.model_version(NAME, "v1")
    known = load_predictor(folder.model(before.version), before.manifest_sha256)
    rows = training_rows()
    predictor = replace(known, model=trained(rows))
    staged = folder.root / "staged"
    write_files(predictor, staged)
    shutil.copy(folder.model(before.version) / REFERENCE_NAME, staged / REFERENCE_NAME)
    write_golden(predictor, golden_rows(rows, predictor.transform.inputs), staged)
    draft = _draft(verify(folder.model(before.version), before.manifest_sha256))
    return registry.register(NAME, staged, folder.models, draft).version


def _draft(known: Manifest) -> ManifestDraft:
    said = {field.name: getattr(known, field.name) for field in fields(ManifestDraft)}
    return ManifestDraft(**{**said, "family": "xgboost", "format": XgboostModel.format})


def _write_config(place: Place, port: int, serving: dict[str, object]) -> None:
    (place.folder / "data").mkdir()
    pq.write_table(training_rows(), place.folder / "data" / "rows.parquet")
    document = {
        "name": NAME,
        "home": str(place.folder / "home"),
        "data": {
            "sources": [{"name": "rows", "format": "parquet", "path": str(place.folder / "data/*.parquet")}],
            "label": "label",
        },
        "processing": _PLAIN,
        "training": {"families": ["linear"], "budget": {"trials": 1, "minutes": 1}},
        "serving": {"port": port, **serving},
        "cluster": {"cpus": 2},
        "retraining": {"mode": "manual"},
    }
    place.config_file.write_text(yaml.safe_dump(document))
