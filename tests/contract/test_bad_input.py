"""Bad input gets one sentence that says what to do, an exit code, and no stack trace; nothing is lost."""

from __future__ import annotations

import errno
import resource
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from raypipe.api.pipeline import Pipeline
from raypipe.cli.main import main
from raypipe.config.load import load_config
from raypipe.core.errors import StorageError
from raypipe.core.home import Home
from raypipe.serving.pointer import Pointer, read_pointer, write_pointer
from raypipe.testing import FailingDisk

CONFIG = """
name: credit
home: home
data:
  sources: [{{name: files, format: {format}, path: "rows/*"}}]
  label: group
{more}
"""
GOOD = "age,group\n" + "".join(f"{20 + n % 50},{'AB'[n % 2]}\n" for n in range(200))
TYPE_CHANGE = "age,group\n" + "30,A\n" * 70_000 + "thirty,B\n"


@dataclass(frozen=True)
class Case:
    """Files, config and the words that the sentence must have."""

    files: dict[str, str]
    words: tuple[str, ...]
    more: str = ""
    code: int = 1


def labelled(*labels: str) -> str:
    return "age,group\n" + "".join(f"{20 + n},{label}\n" for n, label in enumerate(labels))


CASES = {
    "no file": Case({}, ("rows/*", "no file")),
    "an empty file": Case({"a.csv": ""}, ("a.csv", "empty")),
    "only a header": Case({"a.csv": "age,group\n"}, ("no row",)),
    "no label column": Case({"a.csv": "age,grup\n1,A\n"}, ("'group'", "grup")),
    "a constant label": Case({"a.csv": labelled(*"A" * 50)}, ("'A' in every row", "nothing to learn")),
    "a label without values": Case({"a.csv": labelled(*[""] * 50)}, ("label",)),
    "columns without values": Case(
        {"a.csv": "age,group\n" + ",A\n,B\n" * 50}, ("age", "no value in the training rows")
    ),
    "another schema": Case({"a.csv": GOOD, "b.csv": "years,group\n1,A\n"}, ("b.csv", "a.csv", "years")),
    "a type that changes half-way": Case({"a.csv": TYPE_CHANGE}, ("a.csv", "age")),
    "too few rows": Case({"a.csv": labelled("A", "B")}, ("rows",)),
    "a typo in the config": Case({"a.csv": GOOD}, ("trainig", "'training'"), "trainig: {}", 2),
    "a wrong value": Case(
        {"a.csv": GOOD}, ("serving.port", "<= 65535", "70000"), "serving: {port: 70000}", 2
    ),
    "a rule for no column": Case(
        {"a.csv": GOOD}, ("agee", "age"), "  contract: {columns: {agee: {min: 1}}}", 2
    ),
    "a dropped column that is none": Case({"a.csv": GOOD}, ("agee", "age"), "  drop: [agee]", 2),
    "SQL that is none": Case({"a.csv": GOOD}, ("where", "age >"), "  where: 'age >'", 2),
}


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    def run_case(case: Case, format: str = "csv") -> str:
        write(tmp_path, case, format)
        monkeypatch.setattr(sys, "argv", ["raypipe", "run", str(tmp_path / "credit.yaml")])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == case.code
        return capsys.readouterr().err

    return run_case


def write(folder: Path, case: Case, format: str = "csv") -> Path:
    (folder / "rows").mkdir(exist_ok=True)
    for name, text in case.files.items():
        (folder / "rows" / name).write_text(text)
    config = folder / "credit.yaml"
    config.write_text(CONFIG.format(format=format, more=case.more))
    return config


def sentence(err: str) -> str:
    """Return what raypipe said, which must be one line and no stack trace."""
    said = [line for line in err.splitlines() if line.startswith("raypipe: ")]
    assert len(said) == 1, err
    assert "Traceback" not in err and "unexpected" not in said[0], err
    return said[0].removeprefix("raypipe: ")


@pytest.mark.parametrize("name", CASES)
def test_bad_input_gets_one_sentence(name: str, run: Callable[..., str]) -> None:
    case = CASES[name]
    said = sentence(run(case))
    assert all(word in said for word in case.words), said


def test_a_damaged_parquet_file_is_named(run: Callable[..., str]) -> None:
    said = sentence(run(Case({"a.parquet": "this is no parquet"}, ()), "parquet"))
    assert "a.parquet" in said


def test_what_served_before_goes_on(run: Callable[..., str], tmp_path: Path) -> None:
    case = CASES["a constant label"]
    folder = load_config(write(tmp_path, case)).folder
    serving = Pointer("v1", "0" * 64, 7)
    write_pointer(folder.pointer, serving)
    run(case)
    assert read_pointer(folder.pointer) == serving


def test_a_port_in_use_is_told_before_anything_is_read(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = write(tmp_path, Case({"a.csv": GOOD}, (), f"serving: {{port: {port}}}"))
        with pytest.raises(Exception, match=rf"serving\.port.*{port}.*in use") as caught:
            Pipeline.of(load_config(config)).up()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "home" / "credit").exists()


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "permission denied"), (errno.EROFS, "read-only")],
)
def test_a_home_that_cannot_be_written_is_told(tmp_path: Path, number: int, words: str) -> None:
    with pytest.raises(StorageError, match=words):
        Home(tmp_path / "home").prepare(FailingDisk(number))


def test_a_home_below_a_file_is_told(run: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    said = sentence(run(Case({"a.csv": GOOD}, ())))
    assert "home" in said and "cannot be written" in said


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond `n_bytes`, as a full disk would not."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_rows_that_do_not_fit_on_the_disk_are_told_and_leave_no_version(tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    rows.mkdir()
    n_rows = 100_000
    pl.DataFrame(
        {"x": [float(n) ** 1.5 for n in range(n_rows)], "group": ["A", "B"] * (n_rows // 2)}
    ).write_parquet(rows / "a.parquet")
    config = tmp_path / "credit.yaml"
    config.write_text(CONFIG.format(format="parquet", more=""))
    pipeline = Pipeline.of(load_config(config))
    pipeline.config.root.prepare()
    with files_of_at_most(200_000), pytest.raises(StorageError, match="cannot be written"):
        pipeline.run()
    assert pipeline.registry.data_versions("credit") == ()
