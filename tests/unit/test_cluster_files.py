"""The files in cluster/ name what exists: versions, modules, options and metrics of this repository."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.main import get_command

from raypipe.cli.main import app
from raypipe.control.metrics import METRICS
from raypipe.serving.metrics import METRICS as SERVING_METRICS

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"
MANIFESTS = ("rayjob.yaml", "rayservice.yaml")


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((CLUSTER / name).read_text()))


def ray_cluster(name: str) -> dict[str, Any]:
    spec = documents(name)[0]["spec"]
    return dict(spec.get("rayClusterSpec") or spec["rayClusterConfig"])


def containers(cluster: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        yield pod, pod["containers"][0]


def options_of(command: str) -> set[str]:
    parameters = get_command(app).commands[command].params  # type: ignore[attr-defined]
    return {option for parameter in parameters for option in parameter.opts}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_are_of_our_ray_and_ask_for_a_token(name: str) -> None:
    assert documents(name)[0]["apiVersion"] == "ray.io/v1"
    cluster = ray_cluster(name)
    assert cluster["rayVersion"] == version("ray")
    assert cluster["authOptions"] == {"mode": "token"}


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_mount_has_its_volume_and_limits_are_requests(name: str) -> None:
    for pod, container in containers(ray_cluster(name)):
        volumes = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        assert container["resources"]["limits"] == container["resources"]["requests"]


@pytest.mark.parametrize("name", MANIFESTS)
def test_pods_with_the_home_run_beside_each_other(name: str) -> None:
    template = ray_cluster(name)["headGroupSpec"]["template"]
    [term] = template["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    claims = [one["metadata"]["name"] for one in documents("rayjob.yaml")[1:]]
    assert {"name": "home", "persistentVolumeClaim": {"claimName": claims[0]}} in template["spec"]["volumes"]


def test_the_job_runs_a_command_that_exists() -> None:
    job = documents("rayjob.yaml")[0]
    assert (job["kind"], job["spec"]["submissionMode"]) == ("RayJob", "HTTPMode")
    words = shlex.split(job["spec"]["entrypoint"])
    assert words[:2] == ["raypipe", "run"]
    assert {word for word in words if word.startswith("--")} <= options_of("run")


def test_the_service_names_an_application_that_exists() -> None:
    service = documents("rayservice.yaml")[0]
    assert service["kind"] == "RayService"
    [application] = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
    module, _, name = application["import_path"].partition(":")
    assert find_spec(module) is not None
    source = Path(str(find_spec(module).origin)).read_text()  # type: ignore[union-attr]
    assert f"def {name}(" in source
    assert application["route_prefix"] == f"/{application['name']}"
    assert set(application["args"]) == {"config"}


def test_the_launcher_file_is_what_ray_up_takes() -> None:
    schema = json.loads((ray_folder() / "autoscaler" / "ray-schema.json").read_text())
    launcher = documents("launcher.yaml")[0]
    jsonschema.validate(launcher, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**launcher, "unknown": 1}, schema)
    assert any(f"ray[data,serve,tune]=={version('ray')}" in command for command in launcher["setup_commands"])


def test_prometheus_reads_the_file_that_ray_writes() -> None:
    ours = documents("prometheus.yml")[0]
    rays = yaml.safe_load((metrics_folder() / "export" / "prometheus" / "prometheus.yml").read_text())
    assert files_of(ours) == files_of(rays)


def test_the_dashboard_asks_for_every_metric_and_for_no_other() -> None:
    dashboard = json.loads((CLUSTER / "grafana-dashboard.json").read_text())
    asked = {name for text in expressions(dashboard) for name in re.findall(r"ray_raypipe_\w+", text)}
    assert asked == {metric.scraped_name for metric in (*METRICS, *SERVING_METRICS)}


def test_the_dashboard_groups_by_tags_that_exist() -> None:
    tags = {metric.scraped_name: set(metric.tags) for metric in (*METRICS, *SERVING_METRICS)}
    dashboard = json.loads((CLUSTER / "grafana-dashboard.json").read_text())
    for text in expressions(dashboard):
        [name] = re.findall(r"ray_raypipe_\w+", text)
        grouped = re.search(r"by \(([^)]*)\)", text)
        assert not grouped or set(grouped[1].split(", ")) <= tags[name]


def test_grafana_shows_the_dashboard_beside_rays_own() -> None:
    """As Ray writes its own: a fixed uid, the source of data as a variable, panels that stand alone."""
    ours = json.loads((CLUSTER / "grafana-dashboard.json").read_text())
    base = metrics_folder() / "dashboards" / "serve_grafana_dashboard_base.json"
    rays = json.loads(base.read_text())
    assert ours["uid"] == "raypipe" != rays["uid"]
    assert f"rayVersion:{version('ray')}" in ours["tags"]
    assert isinstance(ours["rayMeta"], list) and set(map(type, ours["rayMeta"])) == {str}
    data, *_ = rays["templating"]["list"]
    assert (data["name"], data["type"], data["query"]) == ("datasource", "datasource", "prometheus")
    [own] = [one for one in ours["templating"]["list"] if one["type"] == "datasource"]
    assert (own["name"], own["query"]) == (data["name"], data["query"])
    for panel in ours["panels"]:
        assert {one["datasource"]["uid"] for one in panel["targets"]} == {"${datasource}"}
        assert panel["fieldConfig"]["defaults"]["unit"]


def test_panels_do_not_overlap() -> None:
    panels = json.loads((CLUSTER / "grafana-dashboard.json").read_text())["panels"]
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_the_image_is_of_our_ray_and_copies_what_exists() -> None:
    lines = (CLUSTER / "Dockerfile").read_text().splitlines()
    assert f"FROM rayproject/ray:{version('ray')}-py311" in lines
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[2:-1]]
    assert copied and all((ROOT / name).exists() for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {project["readme"], *project["license-files"]} <= set(copied)
    assert f"raypipe:{project['version']} ." in "\n".join(lines)


def expressions(dashboard: Mapping[str, Any]) -> Iterator[str]:
    panels: Sequence[Mapping[str, Any]] = dashboard["panels"]
    yield from (target["expr"] for panel in panels for target in panel["targets"])
    yield from (one["query"] for one in dashboard["templating"]["list"] if one["type"] == "query")


def files_of(prometheus: Mapping[str, Any]) -> list[str]:
    jobs: Sequence[Mapping[str, Any]] = prometheus["scrape_configs"]
    return [file for job in jobs for found in job["file_sd_configs"] for file in found["files"]]


def ray_folder() -> Path:
    return Path(str(import_module("ray").__file__)).parent


def metrics_folder() -> Path:
    return ray_folder() / "dashboard" / "modules" / "metrics"
