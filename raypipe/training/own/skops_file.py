"""Fitted scikit-learn objects as skops keeps them: an archive of JSON and arrays, and no pickle.

Only types are loaded that skops knows to be harmless, those of a fixed list of scikit-learn's own, and those
of the module that the config names for this model. Types are read, and refused, before anything is made of
them.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

from raypipe.core.errors import ArtifactError

NAME = "model.skops"
ALLOWED = frozenset(
    {
        "sklearn._loss.loss.AbsoluteError",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn._loss.loss.HalfGammaLoss",
        "sklearn._loss.loss.HalfMultinomialLoss",
        "sklearn._loss.loss.HalfPoissonLoss",
        "sklearn._loss.loss.HalfSquaredError",
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn._loss.loss.HuberLoss",
        "sklearn._loss.loss.PinballLoss",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.CompoundKernel",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.DotProduct",
        "sklearn.gaussian_process.kernels.Matern",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.gaussian_process.kernels.RationalQuadratic",
        "sklearn.gaussian_process.kernels.Sum",
        "sklearn.gaussian_process.kernels.WhiteKernel",
        "sklearn.metrics._dist_metrics.EuclideanDistance",
        "sklearn.metrics._dist_metrics.EuclideanDistance32",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.metrics._dist_metrics.ManhattanDistance",
        "sklearn.metrics._dist_metrics.ManhattanDistance64",
        "sklearn.metrics._dist_metrics.MinkowskiDistance",
        "sklearn.metrics._dist_metrics.MinkowskiDistance64",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
    }
)
"""Classes without code of the file's own: numbers in them are used, nothing in them is called."""
_N_NAMED = 5


def kept_bytes(fitted: object) -> bytes:
    """Return a fitted object as skops keeps it; raises TypeError where it cannot."""
    import skops.io

    try:
        data: bytes = skops.io.dumps(fitted)
    except Exception as error:
        raise TypeError(f"skops cannot keep it ({type(error).__name__}: {error})") from error
    return data


def refused_types(data: bytes, own_module: str | None) -> list[str]:
    """Return the types in a file that may not be loaded, by their full names, in order."""
    import skops.io

    found: list[str] = skops.io.get_untrusted_types(data=data)
    return sorted(name for name in found if name not in ALLOWED and name.rpartition(".")[0] != own_module)


def read(path: Path, own_module: str | None = None) -> Any:
    """Load an object; raises ArtifactError for what is no such file, and for types that are not allowed."""
    import skops.io

    try:
        data = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_members(path, archive.namelist())
        refused = refused_types(data, own_module)
        if not refused:
            trusted = skops.io.get_untrusted_types(data=data)
            return skops.io.loads(data, trusted=trusted)
    except ArtifactError:
        raise
    except Exception as error:  # whatever damaged bytes make skops, numpy or a constructor raise
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ArtifactError(f"{path} is no file of skops: {first_line}.") from error
    named = ", ".join(refused[:_N_NAMED]) + (", ..." if len(refused) > _N_NAMED else "")
    raise ArtifactError(
        f"{path} has types that are not loaded, as they might run code: {named}. Nothing of it was loaded."
    )


def _check_members(path: Path, names: list[str]) -> None:
    others = [name for name in names if name != "schema.json" and not name.endswith((".npy", ".npz"))]
    if others or "schema.json" not in names:
        raise ArtifactError(
            f"{path} must hold schema.json and arrays alone, as skops writes them. Got "
            f"{', '.join(sorted(others)[:_N_NAMED]) or 'no schema.json'}: nothing of it was loaded."
        )
