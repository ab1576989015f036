from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from raypipe.core.errors import ArtifactError
from raypipe.training.models import check_width, load_model


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="'pickle', which is unknown here"):
        load_model(tmp_path, "pickle")


def test_rows_of_another_width_are_refused() -> None:
    check_width(np.zeros((0, 3), dtype=np.float32), 3)
    with pytest.raises(ValueError, match=r"rows of 3 features. Got the shape \(1, 2\)"):
        check_width(np.zeros((1, 2), dtype=np.float32), 3)


def test_light_modules_import_no_heavy_library() -> None:
    """Commands that only read must start fast."""
    code = (
        "import sys, raypipe.training.leaderboard, raypipe.training.models, raypipe.training.task, "
        "raypipe.training.race, raypipe.training.search\n"
        "heavy = {'torch', 'xgboost', 'sklearn', 'optuna', 'ray', 'pyarrow', 'numpy', 'pandas'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
