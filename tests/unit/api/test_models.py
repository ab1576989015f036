"""Model versions are pinned and removed: what stays and why, and what is left of one that went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from raypipe.api.models import PipelineModels
from raypipe.api.pipeline import Pipeline
from raypipe.config.load import parse_config
from raypipe.config.settings import Config
from raypipe.control.events import ControllerStarted, Evidence, RetrainDecided, RetrainSucceeded
from raypipe.control.ledger import record
from raypipe.core.errors import RegistryError, StaleEpoch, UnknownVersion
from raypipe.registry.manifest import ManifestDraft
from raypipe.registry.retention import folders_of
from raypipe.registry.store import Registry
from raypipe.serving.pointer import Pointer, write_pointer
from raypipe.serving.releases import CHAMPION, Releases
from raypipe.testing import FakeClock
from raypipe.testing.serving import register_tiny_version

CONFIG = {
    "name": "tiny",
    "data": {"sources": [{"name": "files", "format": "csv", "path": "rows/*.csv"}], "label": "outcome"},
}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return parse_config({**CONFIG, "home": str(tmp_path / "home")}, tmp_path)


@pytest.fixture
def models(config: Config, clock: FakeClock) -> PipelineModels:
    """Return the models of a pipeline with v1 to v4, a day between each; v2 gave way to v3, the champion."""
    registry = Registry(config.root.registry_url, clock)
    config.root.prepare()
    for number in range(1, 5):
        register_tiny_version(registry, config.folder)
        clock.advance(86_400)
        if number in (2, 3):
            before = registry.alias("tiny", CHAMPION)
            Releases(registry, config.folder).release(f"v{number}", expected=before, reason="")
    return PipelineModels(config, registry, clock)


def keeping(models: PipelineModels, **retention: float) -> PipelineModels:
    """Return the same under other settings of `registry.retention`."""
    settings = models.config.model_dump()
    settings["registry"] = {"retention": retention}
    return replace(models, config=Config.model_validate(settings))


def there(models: PipelineModels) -> list[str]:
    return sorted(path.name for path in models.config.folder.models.iterdir())


def test_a_removed_version_is_gone_and_stays_in_the_log(models: PipelineModels) -> None:
    found = models.remove("v1", reason="asked to")
    assert (found.removed, found.n_files > 3, found.n_bytes > 100) == (("v1",), True, True)
    assert there(models) == ["v2", "v3", "v4"]
    v1 = models.versions()[-1]
    assert (v1.version, v1.removed_reason, v1.removed_at is not None) == ("v1", "asked to", True)
    entry = models.registry.history("tiny", 1)[0]
    assert (entry.kind, entry.subject, entry.detail) == ("model_removed", "v1", {"reason": "asked to"})
    said = r"must be one of its models \(v4, v3, v2\)\. Got 'v1', which was removed on .* UTC: asked to\."
    for refused in (
        lambda: models.registry.model_version("tiny", "v1"),
        lambda: models.registry.set_alias("tiny", "mine", "v1"),
        lambda: Releases(models.registry, models.config.folder).release("v1", expected="v3", reason=""),
        lambda: models.remove("v1"),
        lambda: models.pin("v1"),
    ):
        with pytest.raises(UnknownVersion, match=said):
            refused()


def test_a_number_is_not_given_again(models: PipelineModels) -> None:
    models.remove("v4")
    assert register_tiny_version(models.registry, models.config.folder).version == "v5"


def waiting(models: PipelineModels) -> None:
    now = models.clock.now()
    for fact in (
        ControllerStarted(now, 1),
        RetrainDecided(now, "tiny-retrain-1", "hand", Evidence(), "v3"),
        RetrainSucceeded(now, "tiny-retrain-1", "v1", "d-0"),
    ):
        record(models.registry, "tiny", fact)


@pytest.mark.parametrize(
    ("version", "arrange", "why"),
    [
        ("v3", lambda models: None, "it is the champion"),
        ("v2", lambda models: None, "a rollback would go back to it"),
        ("v1", lambda models: models.registry.set_alias("tiny", "canary", "v1"), "it is the canary"),
        ("v1", lambda models: models.pin("v1", "for the audit"), r"it is pinned \(for the audit\)"),
        ("v1", lambda models: models.pin("v1"), "it is pinned"),
        (
            "v4",
            lambda models: write_pointer(models.config.folder.pointer, Pointer("v4", "", 99)),
            "is being served",
        ),
        ("v1", waiting, "its gate is not over"),
    ],
)
def test_what_is_needed_is_not_removed(
    models: PipelineModels, version: str, arrange: Callable[[PipelineModels], None], why: str
) -> None:
    arrange(models)
    with pytest.raises(RegistryError, match=f"{version} of tiny must not be removed: .*{why}"):
        models.remove(version, no_way_back=version != "v2")
    kept = {one.id for one in keeping(models, keep_days=0.001).collect_garbage().kept}
    assert version in kept
    assert version in there(models)


def test_an_unpinned_version_can_go(models: PipelineModels) -> None:
    models.pin("v1", "for now")
    models.unpin("v1")
    assert models.remove("v1").removed == ("v1",)
    with pytest.raises(RegistryError, match=r"must be pinned to be unpinned\. Got 'v4', which is not"):
        models.unpin("v4")


def test_gc_keeps_what_either_rule_keeps(models: PipelineModels) -> None:
    assert keeping(models).collect_garbage().removed == ()
    assert keeping(models, keep_last=3, keep_days=3.5).collect_garbage(dry_run=True).removed == ("v1",)
    assert keeping(models, keep_last=1, keep_days=30).collect_garbage().removed == ()
    dry = keeping(models, keep_last=1).collect_garbage(dry_run=True)
    assert (dry.removed, dry.is_dry, there(models)) == (("v1",), True, ["v1", "v2", "v3", "v4"])
    found = keeping(models, keep_last=1).collect_garbage()
    assert (found.removed, found.n_bytes, there(models)) == (("v1",), dry.n_bytes, ["v2", "v3", "v4"])
    assert {one.id: one.why for one in found.kept} == {
        "v4": "it is the newest",
        "v3": "it is the champion",
        "v2": "a rollback would go back to it",
    }


def test_a_rollback_passes_over_what_was_removed(models: PipelineModels) -> None:
    said: list[str] = []
    releases = Releases(models.registry, models.config.folder, lambda step: said.append(step.message))
    releases.release("v1", expected="v3", reason="")
    models.remove("v3", reason="broken", no_way_back=True)
    first = releases.rollback(expected="v1", reason="")
    again = releases.rollback(expected="v1", reason="")
    assert (first.pointer.version, first.is_new, again.is_new) == ("v2", True, False)
    assert said[1].startswith("back to v2, as v3 was removed on ")
    assert said[1].endswith("UTC: broken")


def test_a_rollback_to_nothing_that_is_left_says_so(models: PipelineModels) -> None:
    models.remove("v2", reason="too old", no_way_back=True)
    with pytest.raises(
        UnknownVersion, match=r"no other champion to roll back to: v2 was removed on .*: too old\."
    ):
        Releases(models.registry, models.config.folder).rollback(expected="v3", reason="")


def test_a_write_in_between_is_looked_at_before_anything_goes(
    models: PipelineModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process makes v1 the challenger after this one has found that nobody needs it."""
    needs = PipelineModels.needs

    def late(self: PipelineModels, *, way_back: bool = True) -> dict[str, str]:
        found = needs(self, way_back=way_back)
        if "challenger" not in self.registry.aliases("tiny"):
            self.registry.set_alias("tiny", "challenger", "v1")
        return found

    monkeypatch.setattr(PipelineModels, "needs", late)
    with pytest.raises(RegistryError, match="v1 of tiny must not be removed: it is the challenger"):
        models.remove("v1")
    assert "v1" in there(models)


def test_a_writer_that_never_rests_is_told(models: PipelineModels, monkeypatch: pytest.MonkeyPatch) -> None:
    needs = PipelineModels.needs

    def busy(self: PipelineModels, *, way_back: bool = True) -> dict[str, str]:
        self.registry.append("tiny", "noted", "x", None)
        return needs(self, way_back=way_back)

    monkeypatch.setattr(PipelineModels, "needs", busy)
    with pytest.raises(StaleEpoch, match="another writer has moved on"):
        models.remove("v1")
    assert "v1" in there(models)


def test_the_registry_itself_refuses_what_is_named_or_pinned(models: PipelineModels) -> None:
    models.pin("v1", "mine")
    last = models.registry.history("tiny", 1)[0].seq
    for version, why in (("v3", "it is the champion"), ("v1", r"it is pinned \(mine\)")):
        with pytest.raises(RegistryError, match=why):
            models.registry.remove_models("tiny", ["v4", version], reason="", as_of=last)
    assert all(one.removed_at is None for one in models.versions()), "all or none"


def test_the_folder_of_the_run_goes_with_its_last_version(models: PipelineModels) -> None:
    """All tiny versions are of the run run-0."""
    run = models.config.folder.runs / "run-0"
    (run / "candidates" / "linear").mkdir(parents=True)
    models.remove("v1")
    assert run.exists()
    going = ["v2", "v3", "v4"]
    places = folders_of(models.config.folder, going, models.versions())
    assert [place.name for place in places] == [*going, "run-0"]


def test_data_that_only_removed_models_name_can_go(models: PipelineModels, config: Config) -> None:
    data = Pipeline.of(config, clock=models.clock).data
    staged = config.folder.staging / "other"
    staged.mkdir(parents=True)
    draft = ManifestDraft("tiny", "d-9", "run-9", {}, "tiny", "json", {}, {}, {})
    models.registry.register("tiny", staged, config.folder.models, draft)
    assert data._pins() == {"d-0": "v1 was trained on it", "d-9": "v5 was trained on it"}
    models.remove("v5")
    models.remove("v1")
    assert data._pins() == {"d-0": "v2 was trained on it"}
