"""A config is read, or one sentence says what is wrong in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.config.load import load_config, parse_config, to_yaml
from raypipe.config.yaml_text import Plain, parse_yaml
from raypipe.core.errors import ConfigError

MINIMAL: dict[str, Plain] = {
    "name": "credit",
    "data": {"sources": [{"name": "files", "format": "csv", "path": "rows/*.csv"}], "label": "group"},
}
TEXT = """
name: credit
home: ${CREDIT_HOME:-home}
data:
  sources:
    - {name: files, format: csv, path: "${CREDIT_DATA}/*.csv"}
  label: group
"""


def refusal(**changes: Plain) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config({**MINIMAL, **changes}, Path("/etc/credit"))
    return str(caught.value)


def test_relative_paths_start_at_the_folder_of_the_config() -> None:
    config = parse_config({**MINIMAL, "home": "../home"}, Path("/etc/credit"))
    assert config.data.sources[0].path == "/etc/credit/rows/*.csv"
    assert config.home == "/etc/home"


def test_urls_and_absolute_paths_stay() -> None:
    data: Plain = {
        "sources": [{"name": "s", "format": "parquet", "path": "s3://b/k/*.parquet"}],
        "label": "y",
    }
    config = parse_config({**MINIMAL, "home": "/srv/raypipe", "data": data}, Path("/etc"))
    assert (config.data.sources[0].path, config.home) == ("s3://b/k/*.parquet", "/srv/raypipe")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"trainig": {}}, "trainig is no known key; did you mean 'training'."),
        (
            {"training": {"budget": {"trails": 3}}},
            "training.budget.trails is no known key; did you mean 'trials'.",
        ),
        ({"training": {"budget": {"trials": 0}}}, "training.budget.trials must be >= 1. Got 0."),
        ({"serving": {"port": 70_000}}, "serving.port must be <= 65535. Got 70000."),
        ({"name": "My model"}, "name must match ^[a-z][a-z0-9_-]{0,39}$. Got 'My model'."),
        (
            {"training": {"families": ["forest"]}},
            "training.families[0] must be 'linear', 'xgboost' or 'torch'. Got 'forest'.",
        ),
        (
            {"training": {"resources": {"cpus": "all"}}},
            "training.resources.cpus must be a valid number or be 'auto'. Got 'all'.",
        ),
        (
            {"serving": {"replicas": {"min": 3, "max": 1}}},
            "serving.replicas: min must be <= max. Got min 3 and max 1.",
        ),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_rule(changes: dict[str, Plain], sentence: str) -> None:
    assert refusal(**changes) == sentence


@pytest.mark.parametrize(
    ("column", "why"),
    [
        ("age", "as live rows could not teach it: a column that is no feature is listed in data.drop"),
        ("at", "which is the event time or the label"),
        ("group", "which is the event time or the label"),
        ("order", "by which processing.deduplicate compares rows"),
    ],
)
def test_what_is_redacted_is_needed_by_nothing(column: str, why: str) -> None:
    sources: Plain = [{"name": "files", "format": "csv", "path": "rows/*.csv"}]
    data: Plain = {"sources": sources, "label": "group", "time": "at", "drop": ["order", "mail"]}
    processing: Plain = {"deduplicate": {"by": ["order"]}}
    changes: dict[str, Plain] = {"data": data, "processing": processing}
    told = refusal(**changes, serving={"capture": {"redact": {column: "hash"}}})
    assert told == f"serving.capture.redact must not name {column!r}, {why}."
    parse_config({**MINIMAL, **changes, "serving": {"capture": {"redact": {"mail": "hash"}}}}, Path("/etc"))


def test_a_label_may_be_a_name_or_an_expression_and_nothing_else() -> None:
    source: Plain = {"name": "s", "format": "csv", "path": "x.csv"}
    assert "data.label must be a valid string or be a mapping" in refusal(
        data={"sources": [source], "label": 3}
    )
    assert "data.label.expression is missing" in refusal(
        data={"sources": [source], "label": {"name": "late"}}
    )


SQL: dict[str, Plain] = {"name": "s", "format": "sql", "url": "sqlite:///rows.db", "table": "t"}
HTTP: dict[str, Plain] = {"name": "s", "format": "http", "url": "https://api/rows"}
CSV: dict[str, Plain] = {"name": "s", "format": "csv", "path": "rows.csv"}


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (
            {**CSV, "format": "cvs"},
            ".format must be 'parquet', 'csv', 'jsonl', 'text', 'sql', 'delta', 'http', 'kafka'. Got 'cvs'.",
        ),
        ({"name": "s", "path": "x"}, ".format is missing; it must be given."),
        ({**CSV, "query": "x"}, ".query is no known key; known here: name, kind, join, path, format."),
        ({**CSV, "path": ""}, ".path must have at least 1 character(s). Got ''."),
        ({**SQL, "curser": "id"}, ".curser is no known key; did you mean 'cursor'."),
        ({**SQL, "query": "x"}, ": a sql source must have either `table` or `query`."),
        ({**SQL, "lag": 5}, ": lag holds back by the cursor, so it needs one. Got lag 5."),
        ({**SQL, "url": "rows.db"}, ".url must match ^[a-z][a-z0-9_]*(\\+[a-z0-9_]+)?://. Got 'rows.db'."),
        ({**HTTP, "url": "https://me:pw@api"}, ".url must match ^https?://"),
        ({**HTTP, "pagination": {"by": "pages"}}, ".pagination.by must be 'page', 'link', 'cursor'. Got"),
        ({**HTTP, "pagination": {"by": "page", "frist": 0}}, ".pagination.frist is no known key; did you"),
        (
            {**HTTP, "pagination": {"by": "cursor", "parameter": "c"}},
            ".pagination: a cursor must have either `path` or `field`.",
        ),
        (
            {"name": "s", "format": "delta", "path": "x", "follow": True, "version": 1},
            ": follow reads every version as it comes; leave out `version`.",
        ),
        ({**CSV, "join": {}}, ".join: a join must have `by`, `as_of` or both. Got neither."),
        (
            {**CSV, "join": {"by": 3}},
            ".join.by must be a valid tuple or be a mapping of keys to values. Got 3.",
        ),
        ({**CSV, "join": {"as_of": {"tiem": "t"}}}, ".join.as_of.tiem is no known key; did you mean 'time'."),
        (
            {**CSV, "join": {"as_of": {"time": "t", "row_time_zone": "Mars"}}},
            ".join.as_of.row_time_zone: it must name a time zone such as Europe/Zurich. Got 'Mars'.",
        ),
        (
            {**CSV, "join": {"as_of": {"time": "t", "tolerance_s": 5, "available_after_s": 6}}},
            ".join.as_of: tolerance_s must be >= available_after_s, or nothing ever matches. Got 5 and 6.",
        ),
    ],
)
def test_a_source_is_refused_by_the_rules_of_its_format(source: dict[str, Plain], sentence: str) -> None:
    assert f"data.sources[0]{sentence}" in refusal(data={"sources": [source], "label": "y"})


def test_what_is_joined_needs_something_to_join_to() -> None:
    assert refusal(data={"sources": [{**CSV, "join": {"by": ["k"]}}], "label": "y"}) == (
        "data.sources: one source at least must be without `join`, for the others to join to."
    )


@pytest.mark.parametrize(
    ("source", "key", "resolved"),
    [
        ({"name": "s", "format": "delta", "path": "table"}, "path", "/etc/credit/table"),
        ({"name": "s", "format": "text", "path": "s3://b/*.txt"}, "path", "s3://b/*.txt"),
        (SQL, "url", "sqlite:////etc/credit/rows.db"),
        (
            {**SQL, "url": "sqlite+pysqlite:///../r.db?timeout=5"},
            "url",
            "sqlite+pysqlite:////etc/r.db?timeout=5",
        ),
        ({**SQL, "url": "sqlite:////srv/rows.db"}, "url", "sqlite:////srv/rows.db"),
        ({**SQL, "url": "postgresql://h/base"}, "url", "postgresql://h/base"),
        (HTTP, "url", "https://api/rows"),
    ],
)
def test_each_format_resolves_its_own_paths(source: dict[str, Plain], key: str, resolved: str) -> None:
    config = parse_config({**MINIMAL, "data": {"sources": [source], "label": "y"}}, Path("/etc/credit"))
    assert getattr(config.data.sources[0], key) == resolved


def test_a_config_of_any_source_is_read_back_from_its_yaml() -> None:
    sources: Plain = [
        {**HTTP, "pagination": {"by": "cursor", "parameter": "after", "field": "id"}, "headers": {"a": "b"}},
        {**SQL, "name": "orders", "cursor": "id"},
        {**CSV, "name": "planes", "join": {"by": {"tail": "tailnum"}, "prefix": ""}},
    ]
    config = parse_config({**MINIMAL, "data": {"sources": sources, "label": "y"}}, Path("/etc"))
    assert parse_config(parse_yaml(to_yaml(config), {}), Path("/etc")) == config


def test_what_a_model_keeps_of_its_config_has_no_secrets() -> None:
    sources: Plain = [
        {**HTTP, "url": "https://api/x?token=s3cret", "headers": {"Authorization": "s3cret"}},
        {**HTTP, "name": "h", "parameters": {"api_key": "s3cret", "page_size": 5}},
        {**SQL, "name": "db", "url": "postgresql://me:s3cret@h/base"},
        {**CSV, "name": "c", "path": "s3://KEY:s3cret@b/x.csv"},
        {
            "name": "k",
            "format": "kafka",
            "servers": "h:9092",
            "topic": "t",
            "options": {"sasl.password": "s3cret", "security.protocol": "SASL_SSL"},
        },
    ]
    config = parse_config(
        {
            **MINIMAL,
            "data": {"sources": sources, "label": "y"},
            "retraining": {"alerts": {"webhook": "https://h/s3cret"}},
        },
        Path("/etc"),
    )
    assert "s3cret" in config.model_dump_json()
    shown = config.without_secrets().model_dump_json()
    assert "s3cret" not in shown
    assert all(part in shown for part in ("me:***@h/base", '"page_size":5', "SASL_SSL", "s3://KEY:***@b"))


def test_an_unrelated_unknown_key_lists_the_known_ones() -> None:
    sentence = refusal(serving={"zzzzzz": 1})
    assert sentence.startswith("serving.zzzzzz is no known key; known here: host, port")


def test_a_file_is_read_with_environment_variables(tmp_path: Path) -> None:
    file = tmp_path / "credit.yaml"
    file.write_text(TEXT)
    config = load_config(file, {"CREDIT_DATA": "/srv/credit"})
    assert config.data.sources[0].path == "/srv/credit/*.csv"
    assert config.home == str(tmp_path / "home")


def test_an_unset_variable_is_named_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "credit.yaml"
    file.write_text(TEXT)
    with pytest.raises(ConfigError, match=r"credit\.yaml: the environment variable CREDIT_DATA is not set"):
        load_config(file, {})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: [1, 2", "no valid YAML"),
        (b"a: &x 1\nb: *x\n", "line 2: YAML aliases"),
        (b"a: 1\na: 2\n", "line 2: the key 'a' stands twice"),
        (b"1: 2\n", "keys must be text"),
        (b"- 1\n", "a config is a mapping"),
        (b"\xff\xfe", "must be UTF-8"),
        (b"", "a config is a mapping"),
        (b"a: 1\n" + b"#" * 1_000_001, "must be <= 1,000,000 bytes"),
    ],
)
def test_what_is_no_config_gets_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; `raypipe init DIR`"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="this is a folder"):
        load_config(tmp_path)


def test_variables_stand_inside_texts_only() -> None:
    assert parse_yaml("a: [1, '${X}-${Y:-z}']", {"X": "q"}) == {"a": [1, "q-z"]}
