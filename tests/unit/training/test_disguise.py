"""What could run code is told by its first bytes, and data is not taken for it."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from raypipe.core.errors import ArtifactError
from raypipe.training.disguise import refuse_code


def archive() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("data.pkl", pickle.dumps([1]))
    return made.getvalue()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [[1], {"{": "{"}, "{{{{{{{{{{", np.zeros(3)])
def test_a_pickle_of_any_binary_protocol_is_told(tmp_path: Path, protocol: int, value: object) -> None:
    (tmp_path / "model.ubj").write_bytes(pickle.dumps(value, protocol))
    with pytest.raises(ArtifactError, match=r"model\.ubj is a Python pickle: what is loaded must be data"):
        refuse_code(tmp_path)


@pytest.mark.parametrize(
    ("data", "what"), [(archive(), "a zip archive"), (gzip.compress(b"{}", mtime=0), "by gzip")]
)
def test_an_archive_is_told(tmp_path: Path, data: bytes, what: str) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "model.safetensors").write_bytes(data)
    with pytest.raises(ArtifactError, match=what):
        refuse_code(tmp_path)


@pytest.mark.parametrize("n_bytes", [0x0280, 0x0380, 0x0480, 0x0580])
def test_safetensors_whose_length_begins_like_a_pickle_are_data(tmp_path: Path, n_bytes: int) -> None:
    empty = int.from_bytes(save({"a": np.zeros(1)}, {"note": ""})[:8], "little")
    data = save({"a": np.zeros(1)}, {"note": "x" * (n_bytes - empty)})
    assert data[:2] == bytes([0x80, n_bytes >> 8])
    (tmp_path / "model.safetensors").write_bytes(data)
    (tmp_path / "model.json").write_text(json.dumps({}))
    (tmp_path / "empty").write_bytes(b"")
    refuse_code(tmp_path)
