from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from raypipe.data.schema import Column
from raypipe.data.versions import BrokenRule, DataVersion, Fragment

counts = st.integers(0, 10**12)
columns = st.builds(
    Column, st.text(min_size=1), st.sampled_from(["number", "category", "timestamp"]), st.booleans()
)
times = st.datetimes(min_value=datetime(1990, 1, 1), timezones=st.just(UTC))
texts = st.lists(st.text(), max_size=2).map(tuple)
rules = st.lists(
    st.builds(BrokenRule, st.text(), st.text(), st.sampled_from(["drop", "stop"]), counts), max_size=2
).map(tuple)
fragments = st.builds(
    Fragment,
    columns=st.lists(columns, max_size=2).map(tuple),
    broken=rules,
    since=st.none() | times,
    until=st.none() | times,
    ingested_at=times,
    after=st.none() | st.integers(),
    position=st.none() | st.integers() | st.text() | st.dictionaries(st.text(), st.integers(), max_size=2),
    **dict.fromkeys(("untyped", "widened", "unread", "files", "quarantine", "pieces"), texts),
)
versions = st.builds(
    DataVersion,
    id=st.text(),
    parent=st.none() | st.text(),
    table_version=counts,
    columns=st.lists(columns, max_size=3).map(tuple),
    n_rows=counts,
    broken=rules,
    n_unlabelled=counts,
    fragments=st.lists(fragments, max_size=2).map(tuple),
    created_at=times,
    n_read=counts,
    n_known=counts,
    chains=st.dictionaries(st.text(), st.text(), max_size=2),
)


@given(versions)
def test_a_version_survives_json(version: DataVersion) -> None:
    assert DataVersion.from_json(json.loads(json.dumps(version.to_json()))) == version


def test_importing_versions_imports_nothing_heavy() -> None:
    code = (
        "import sys, raypipe.data.versions; "
        "heavy = {'polars', 'pyarrow', 'deltalake', 'numpy', 'ray', 'pydantic'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
