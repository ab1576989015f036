"""A trained model, as the rest of raypipe sees it: it predicts, and it is kept as data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from raypipe.core.errors import ArtifactError
from raypipe.training.disguise import Allowed, refuse_code

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Float32Matrix: TypeAlias = "NDArray[np.float32]"
"""Features, shape (n_rows, n_features), C-contiguous."""
Float64Array: TypeAlias = "NDArray[np.float64]"


class Model(Protocol):
    """A trained model of any family."""

    @property
    def format(self) -> str:
        """The format of its files, as `load_model` takes it."""
        ...

    def predict(self, features: Float32Matrix) -> Float64Array:
        """Return float64: probabilities of shape (n_rows, n_classes), or values of shape (n_rows,)."""
        ...

    def save(self, folder: Path) -> None:
        """Write its files, which are data and no code, into an existing folder."""
        ...


MODEL_FOLDER = "model"
"""Where in the folder of a version its model is."""
PREDICTED_ROWS = 131_072
"""Rows that a model is given at once where there are more; no family's answer to a row depends on others."""


def predicted(model: Model, features: Float32Matrix) -> Float64Array:
    """Return what `Model.predict` does, of many rows block by block, so that no copy of all is made."""
    import numpy as np

    if len(features) <= PREDICTED_ROWS:
        return model.predict(features)
    starts = range(0, len(features), PREDICTED_ROWS)
    return np.concatenate([model.predict(features[start : start + PREDICTED_ROWS]) for start in starts])


def is_mapped(features: Float32Matrix) -> bool:
    """Whether features lie in a file: then families read them part by part."""
    import numpy as np

    return isinstance(features, np.memmap)


def check_width(features: Float32Matrix, n_features: int) -> None:
    """Raise ValueError where the rows have not as many features as the model was trained on."""
    if features.ndim != 2 or features.shape[1] != n_features:
        raise ValueError(f"the model takes rows of {n_features} features. Got the shape {features.shape}.")


_ALLOWED = {
    "sklearn-skops": Allowed(files=frozenset({"model.skops"})),
    "pickle-signed": Allowed(files=frozenset({"model.pickle"})),
    "own-saver": Allowed(archives_in="saved"),
}
"""What a format has that looks like code: its loader checks it by itself, before it is loaded."""


def load_model(folder: Path, format: str) -> Model:
    """Load what `Model.save` wrote; no code from the folder runs, and only the format's library is imported.

    A model of the user's own has code, which is found by its import path, and not in the folder; a pickle is
    loaded only where this home signed it.

    Raises ArtifactError for an unknown format, for files that are not what the format says, and first for
    pickles and archives, whatever their names say.
    """
    refuse_code(folder, allowed=_ALLOWED.get(format))
    match format:
        case "constant-json":
            from raypipe.training.families.baseline import ConstantModel

            return ConstantModel.load(folder)
        case "linear-safetensors":
            from raypipe.training.families.linear import LinearModel

            return LinearModel.load(folder)
        case "xgboost-ubj":
            from raypipe.training.families.xgboost_trees import XgboostModel

            return XgboostModel.load(folder)
        case "torch-mlp-safetensors":
            from raypipe.training.families.torch_mlp import TorchMlpModel

            return TorchMlpModel.load(folder)
        case "onnx":
            from raypipe.training.own.onnx_model import OnnxModel

            return OnnxModel.load(folder)
        case "network-safetensors":
            from raypipe.training.own.network import NetworkModel

            return NetworkModel.load(folder)
        case "function-path":
            from raypipe.training.own.function import FunctionModel

            return FunctionModel.load(folder)
        case "sklearn-skops" | "own-saver" | "pickle-signed":
            from raypipe.training.own.estimator import load_estimator

            return load_estimator(folder, format)
        case _:
            raise ArtifactError(
                f"the model in {folder} has the format {format!r}, which is unknown here; upgrade raypipe."
            )
