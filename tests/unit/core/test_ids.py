"""Equal content has an equal id, however it is spelled."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.ids import Json, canonical_json, content_id, sha256_bytes, sha256_file

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(value=st.dictionaries(st.text(), JSON, max_size=5), seed=st.integers())
def test_the_order_of_keys_does_not_count(value: dict[str, Json], seed: int) -> None:
    items = list(value.items())
    random.Random(seed).shuffle(items)
    assert content_id("d", dict(items)) == content_id("d", value)


@given(value=JSON)
def test_canonical_json_says_all(value: Json) -> None:
    assert json.loads(canonical_json(value)) == value


def test_known_values() -> None:
    assert canonical_json({"b": [1, None, True], "a": "é"}) == '{"a":"é","b":[1,null,true]}'.encode()
    assert content_id("d", {}) == "d-44136fa355b3"


def test_nan_has_no_id() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        content_id("d", float("nan"))


@given(data=st.binary(max_size=200))
def test_a_file_has_the_digest_of_its_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("sha") / "a"
    path.write_bytes(data)
    assert sha256_file(path) == sha256_bytes(data)
