"""A model file that was made elsewhere becomes a version that answers as it did there, or is refused."""

from __future__ import annotations

import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xgboost
import yaml
from pyarrow import csv
from safetensors.numpy import save_file
from typer.testing import CliRunner

from raypipe.api.pipeline import Pipeline, load
from raypipe.cli.main import app
from raypipe.core.errors import ArtifactError, ConfigError, UnknownVersion
from raypipe.training.leaderboard import Leaderboard

N_ROWS = 300
CONFIG = """
name: shop
home: home
data:
  sources: [{name: files, format: csv, path: rows.csv}]
  label: bought
"""
SCHEMA = """
features:
  - amount
  - {column: size, fill: -1}
  - {column: colour, values: [red, blue]}
classes: [nay, yea]
"""


def rows() -> pa.Table:
    random = np.random.default_rng(0)
    amount, noise = random.normal(size=(2, N_ROWS))
    colour = np.array(["blue", "green", "red"])[random.integers(0, 3, N_ROWS)]
    size = [None if i % 10 == 0 else i % 7 for i in range(N_ROWS)]
    bought = np.where(amount + (colour == "red") + noise > 0, "yea", "nay")
    return pa.table({"amount": amount, "size": size, "colour": colour, "bought": bought})


def features() -> np.ndarray:
    """Return the features as whoever trained elsewhere made them."""
    table = rows()
    colour = np.array(table["colour"].to_pylist())
    size = [-1 if value is None else value for value in table["size"].to_pylist()]
    return np.column_stack([table["amount"].to_numpy(), size, colour == "red", colour == "blue"]).astype("f4")


def labels() -> np.ndarray:
    return np.array(rows()["bought"].to_pylist()) == "yea"


def trained(**params: object) -> xgboost.Booster:
    settings = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1, **params}
    return xgboost.train(settings, xgboost.DMatrix(features(), labels()), num_boost_round=5)


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shop")
    csv.write_csv(rows(), place / "rows.csv")
    (place / "raypipe.yaml").write_text(CONFIG)
    (place / "schema.yaml").write_text(SCHEMA)
    load(place / "raypipe.yaml").ingest()
    trained().save_model(place / "model.ubj")
    return place


@pytest.fixture
def place(ingested: Path, tmp_path: Path) -> Path:
    return shutil.copytree(ingested, tmp_path / "shop")


@pytest.fixture
def pipeline(place: Path) -> Pipeline:
    return load(place / "raypipe.yaml")


@pytest.mark.parametrize("name", ["model.ubj", "model.json"])
def test_an_xgboost_file_answers_as_it_did_elsewhere(pipeline: Pipeline, place: Path, name: str) -> None:
    booster = trained()
    booster.save_model(place / name)
    made = pipeline.models.import_file(place / name, place / "schema.yaml")
    assert (made.version, made.family, made.format) == ("v1", "xgboost", "xgboost-ubj")
    answers = pipeline.predict([{**row, "bought": None} for row in rows().drop(["bought"]).to_pylist()])
    given = np.array([answer["probabilities"]["yea"] for answer in answers])
    assert given.tolist() == pytest.approx(booster.inplace_predict(features()).tolist(), abs=0)


def test_it_is_judged_and_not_promoted_and_its_card_says_where_it_is_from(
    pipeline: Pipeline, place: Path
) -> None:
    made = pipeline.models.import_file(place / "model.ubj", place / "schema.yaml")
    board = Leaderboard.from_json(made.metrics)
    assert {entry.family for entry in board.entries} == {"xgboost", "baseline"}
    assert board.best.family == "xgboost" and board.best.beats_baseline and board.n_test_rows == 60
    assert pipeline.registry.aliases("shop") == {"challenger": "v1"}
    card = (pipeline.config.folder.model("v1") / "CARD.md").read_text()
    assert "- Imported from model.ubj (SHA-256 " in card and "Trained on the training rows" not in card
    assert pipeline.promote("v1") is None
    assert pipeline.registry.alias("shop", "champion") == "v1"


def test_classes_in_the_models_own_order(pipeline: Pipeline, place: Path) -> None:
    """A logistic model elsewhere had `yea` first."""
    file = place / "model.safetensors"
    save_file({"coefficients": np.array([[-2.0, 0, -2, 0]]), "intercept": np.zeros(1)}, file)
    (place / "schema.yaml").write_text(SCHEMA.replace("[nay, yea]", "[yea, nay]"))
    made = pipeline.models.import_file(file, place / "schema.yaml")
    (answer,) = pipeline.predict([{"amount": 1.0, "size": 1, "colour": "red"}])
    assert answer["prediction"] == "yea"
    assert answer["probabilities"]["yea"] == pytest.approx(1 / (1 + np.exp(-4)))
    assert Leaderboard.from_json(made.metrics).best.test.value > 0.7


def as_text(change: Callable[[dict], object]) -> str:
    document = yaml.safe_load(SCHEMA)
    change(document)
    return yaml.safe_dump(document)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (as_text(lambda d: d["features"].append("prize")), "must name columns of the data. Got 'prize'"),
        (as_text(lambda d: d["features"].append("bought")), "must name columns of the data. Got 'bought'"),
        (as_text(lambda d: d["features"].append("colour")), "'colour' must be a number, or have `values`"),
        (as_text(lambda d: d.pop("classes")), "classes must be those of the label 'bought'"),
        (
            as_text(lambda d: d["features"].__setitem__(1, "size")),
            "'size' must say what a missing value counts as: .* 30 rows lack it",
        ),
        (as_text(lambda d: d.pop("features")), "features: Field required"),
        (as_text(lambda d: d.update(target="x")), "target: Extra inputs are not permitted"),
    ],
)
def test_a_schema_that_does_not_fit_is_refused(
    pipeline: Pipeline, place: Path, schema: str, said: str
) -> None:
    (place / "schema.yaml").write_text(schema)
    with pytest.raises(ConfigError, match=said):
        pipeline.models.import_file(place / "model.ubj", place / "schema.yaml")
    assert pipeline.models.versions() == ()


class Canary:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self._path), "w")


def test_a_file_that_is_no_such_model_is_refused_and_never_run(pipeline: Pipeline, place: Path) -> None:
    def refused(name: str, error: type[Exception], said: str) -> None:
        with pytest.raises(error, match=said):
            pipeline.models.import_file(place / name, place / "schema.yaml")

    canary = place / "sang"
    for name in ("p.ubj", "p.json", "p.safetensors"):
        (place / name).write_bytes(pickle.dumps(Canary(canary)))
        refused(name, ArtifactError, rf"{re.escape(name)} is a Python pickle")
        (place / name).write_bytes(pickle.dumps(Canary(canary), 0))
        refused(name, ArtifactError, rf"{re.escape(name)} is no (XGBoost|linear) model")
        (place / name).write_bytes((place / "model.ubj").read_bytes()[:100])
        refused(name, ArtifactError, rf"{re.escape(name)} is no (XGBoost|linear) model")
    assert not canary.exists()
    refused(
        "model.pkl", ConfigError, r"FILE must end in one of \.ubj, .*Got 'model\.pkl': a pickle can run code"
    )
    refused("none.ubj", ConfigError, "FILE must be a file")
    trained(objective="reg:squarederror").save_model(place / "number.ubj")
    refused("number.ubj", ArtifactError, "must have an objective binary:logistic.*Got reg:squarederror for 0")
    xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(features()[:, :2], labels())).save_model(
        place / "narrow.ubj"
    )
    refused("narrow.ubj", ArtifactError, r"must take the 4 features of the schema \(amount, size, colour=red")
    save_file({"weights": np.zeros((1, 4))}, place / "other.safetensors")
    refused("other.safetensors", ArtifactError, "must hold the arrays coefficients and intercept")
    assert pipeline.models.versions() == ()


def test_the_command_says_what_became_of_it(place: Path) -> None:
    command = ["models", "import", str(place / "model.ubj"), "--schema", str(place / "schema.yaml")]
    done = CliRunner().invoke(app, [*command, str(place / "raypipe.yaml")])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].startswith("v1: xgboost, kept as xgboost-ubj, judged on d-")
    assert lines[1].startswith("test auc 0.") and lines[1].endswith("on 60 rows")
    assert "these rows may have been among it" in lines[2]


def test_without_data_there_is_nothing_to_judge_by(tmp_path: Path, place: Path) -> None:
    (tmp_path / "raypipe.yaml").write_text(CONFIG)
    with pytest.raises(UnknownVersion, match="`raypipe ingest` makes one"):
        load(tmp_path / "raypipe.yaml").models.import_file(place / "model.ubj", place / "schema.yaml")


CLASSES = np.array(["nay", "yea"])


def fitted() -> Pipeline:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    forest = RandomForestClassifier(n_estimators=5, max_depth=4, random_state=0)
    return make_pipeline(StandardScaler(), forest).fit(features(), CLASSES[labels().astype(int)])


def answered(pipeline: Pipeline) -> np.ndarray:
    asked = rows().drop(["bought"]).to_pylist()
    return np.array([one["probabilities"]["yea"] for one in pipeline.predict(asked)])


def test_a_pipeline_of_scikit_learn_answers_as_it_did_elsewhere(pipeline: Pipeline, place: Path) -> None:
    import skops.io

    model = fitted()
    skops.io.dump(model, place / "model.skops")
    made = pipeline.models.import_file(place / "model.skops", place / "schema.yaml")
    assert (made.family, made.format) == ("sklearn", "sklearn-skops")
    assert np.array_equal(answered(pipeline), model.predict_proba(features())[:, 1])


NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self, n_inputs, n_outputs, width):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(n_inputs, width), torch.nn.ReLU(), torch.nn.Linear(width, n_outputs)
        )

    def forward(self, x):
        return self.layers(100 * x)
"""


def test_a_network_answers_as_it_did_elsewhere(pipeline: Pipeline, place: Path) -> None:
    import torch
    from safetensors.torch import save_file as save_weights

    from raypipe.core.imports import loaded

    (place / "shop_nets.py").write_text(NET)
    network = loaded("shop_nets:Net", str(place))(4, 2, width=3)
    save_weights(network.state_dict(), place / "model.safetensors")
    schema = place / "schema.yaml"
    schema.write_text(f"{SCHEMA}\nnetwork: shop_nets:Net\nparams: {{width: 3}}\n")
    made = pipeline.models.import_file(place / "model.safetensors", schema)
    assert (made.family, made.format) == ("network", "network-safetensors")
    with torch.inference_mode():
        expected = network(torch.tensor(features())).double().softmax(dim=1)[:, 1].numpy()
    assert answered(pipeline) == pytest.approx(expected, abs=1e-6)
    schema.write_text(f"{SCHEMA}\nnetwork: shop_nets:Net\nparams: {{width: 4}}\n")
    with pytest.raises(ArtifactError, match=r"holds no weights of shop_nets:Net: .*size mismatch"):
        pipeline.models.import_file(place / "model.safetensors", schema)


def graph(place: Path, *, external: bool = False, domain: str = "") -> np.ndarray:
    """Write a logistic model as a graph, and return how it answers."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, types = onnx.helper, onnx.TensorProto
    weights = np.array([[1.0], [0.1], [1.0], [0.0]], np.float32)
    made = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("MatMul", ["x", "w"], ["s"], domain=domain),
                helper.make_node("Sigmoid", ["s"], ["probability"]),
                helper.make_node("Round", ["probability"], ["label"]),
            ],
            "shop",
            [helper.make_tensor_value_info("x", types.FLOAT, ["n", 4])],
            [helper.make_tensor_value_info(name, types.FLOAT, ["n", 1]) for name in ("probability", "label")],
            [onnx.numpy_helper.from_array(weights, "w")],
        ),
        opset_imports=[helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])],
        ir_version=10,
    )
    save = {"save_as_external_data": True, "location": "numbers", "size_threshold": 0} if external else {}
    onnx.save(made, place / "model.onnx", **save)
    return 1 / (1 + np.exp(-(features().astype(np.float64) @ weights.astype(np.float64))[:, 0]))


def test_a_graph_answers_as_it_did_elsewhere(pipeline: Pipeline, place: Path) -> None:
    expected = graph(place)
    made = pipeline.models.import_file(place / "model.onnx", place / "schema.yaml")
    assert (made.family, made.format) == ("onnx", "onnx")
    assert answered(pipeline) == pytest.approx(expected, abs=1e-6)


def test_files_that_reach_further_than_numbers_are_refused(pipeline: Pipeline, place: Path) -> None:
    import skops.io

    def refused(name: str, error: type[Exception], said: str) -> None:
        with pytest.raises(error, match=said):
            pipeline.models.import_file(place / name, place / "schema.yaml")

    graph(place, external=True)
    refused("model.onnx", ArtifactError, "numbers lie in another file")
    graph(place, domain="com.elsewhere")
    refused("model.onnx", ArtifactError, "needs the operator MatMul of com.elsewhere, and only ONNX's own")
    (place / "model.onnx").write_bytes(b"no graph")
    refused("model.onnx", ArtifactError, "must be ONNX, as its name says|is no ONNX model")
    (place / "model.skops").write_bytes(skops.io.dumps([shutil.rmtree]))
    refused("model.skops", ArtifactError, "types that are not loaded, .*: shutil.rmtree")
    skops.io.dump(fitted()[0], place / "scaler.skops")
    refused("scaler.skops", ArtifactError, "must hold a fitted object with predict_proba. Got StandardScaler")
    refused("model.pt", ConfigError, "torch.save writes pickles; write the `state_dict`")
    refused("model.keras", ConfigError, "export it as ONNX")
    (place / "schema.yaml").write_text(f"{SCHEMA}\nnetwork: mine:Net\n")
    refused("model.ubj", ConfigError, "network is for a file of safetensors")
    assert pipeline.models.versions() == ()
