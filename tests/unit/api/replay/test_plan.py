"""The pipeline that a replay is played against, derived from a config."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.api.replay.plan import (
    MAX_PER_DAY,
    ReplaySettings,
    config_file,
    derive,
    free_name,
    history_file,
    time_column,
)
from raypipe.config.load import load_config, to_yaml
from raypipe.config.settings import Config
from raypipe.core.errors import ConfigError
from raypipe.data.replay import Parted
from raypipe.registry.manifest import ManifestDraft
from raypipe.registry.store import Registry
from raypipe.testing import FakeClock

SETTINGS = ReplaySettings(rows_per_s=100, trials=6, minutes=0.5)


def test_it_learns_from_the_written_rows_alone(config: Config, parted: Parted) -> None:
    made = derive(config, "flights-replay", parted, SETTINGS).config
    file = history_file(config, "flights-replay")
    assert [(one.format, one.path) for one in made.data.sources] == [("parquet", str(file))]
    assert made.data.where is None, "the rows were chosen when they were collected"
    assert made.data.label == "late", "and so their label was computed"
    assert made.data.drop == ("gate", "delay"), "what the label was computed from tells it"
    assert made.home == config.home and made.folder.root == file.parent.parent


def test_waits_shrink_with_the_time_and_counts_stay(config: Config, parted: Parted) -> None:
    plan = derive(config, "flights-replay", parted, SETTINGS)
    policy = plan.config.retraining
    assert plan.speed == pytest.approx(499 * 3600 / 5), "499 hours in 5 seconds"
    assert policy.cool_down_s == pytest.approx(86400 / plan.speed)
    assert (policy.mode, policy.triggers.schedule, policy.max_per_day) == ("auto", None, MAX_PER_DAY)
    assert policy.triggers.quality_bound == 0.8 and policy.triggers.new_labels is None
    assert policy.warm_up_labels == config.retraining.warm_up_labels
    assert policy.gate == config.retraining.gate
    assert policy.alerts.webhook is None, "nobody is called at night because of a replay"
    assert (plan.config.training.budget.trials, plan.config.training.budget.minutes) == (4, 0.5)


def test_what_was_set_is_told(config: Config, parted: Parted) -> None:
    changes = derive(config, "flights-replay", parted, SETTINGS).changes
    assert "retraining.mode: approve becomes auto" in changes
    assert "training.budget.minutes: 3.0 becomes 0.5" in changes
    assert "retraining.cool_down_s: 86400.0 becomes 0.240481" in changes
    assert not any(line.startswith(("name", "data", "training.budget.trials")) for line in changes)


def test_without_any_trigger_labels_ask_for_retrains(config: Config, parted: Parted) -> None:
    triggers = config.retraining.triggers.model_copy(update={"quality_bound": None})
    quiet = config.retraining.model_copy(update={"triggers": triggers})
    made = derive(config.model_copy(update={"retraining": quiet}), "flights-replay", parted, SETTINGS).config
    assert made.retraining.triggers.new_labels == 500 // 8


def test_the_derived_config_is_read_back_equal(config: Config, parted: Parted, tmp_path: Path) -> None:
    made = derive(config, "flights-replay", parted, SETTINGS).config
    file = tmp_path / config_file(made).name
    file.write_text(to_yaml(made))
    assert load_config(file, {}) == made


def test_each_replay_has_a_pipeline_of_its_own(config: Config, tmp_path: Path) -> None:
    config.root.prepare()
    registry = Registry(config.root.registry_url, FakeClock())
    for name in ("flights-replay", "flights-replay-2", "flights-replay-3"):
        assert free_name(config, registry) == name
        staged = tmp_path / name
        staged.mkdir()
        (staged / "model.txt").write_text("a model")
        draft = ManifestDraft(name, "d-1", "r-1", {}, "linear", "constant-json", {}, {}, {})
        registry.register(name, staged, config.root.pipeline(name).models, draft)
    long = config.model_copy(update={"name": "f" * 40})
    assert config.root.pipeline(free_name(long, registry)).name == "f" * 30 + "-replay"


def test_without_an_event_time_there_is_no_order(config: Config) -> None:
    data = config.data.model_copy(update={"time": None})
    with pytest.raises(ConfigError, match=r"data\.time must name a column"):
        time_column(config.model_copy(update={"data": data}))


@pytest.mark.parametrize(
    "wrong",
    [{"rows_per_s": 0}, {"rows_per_request": 0}, {"minutes": -1}, {"share": 1.0}, {"label_delay_s": -1}],
)
def test_wrong_settings_are_told(wrong: dict[str, float]) -> None:
    [(name, value)] = wrong.items()
    with pytest.raises(ConfigError, match=rf"{name} of a replay must be .*Got {value}"):
        ReplaySettings(**wrong)  # type: ignore[arg-type]
