"""A multilayer perceptron by PyTorch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.core.errors import ArtifactError
from raypipe.core.files import storage_errors, write_json
from raypipe.training.families.torch_loop import answers, input_scale, target_scale, trained
from raypipe.training.family import Parameter, Params, Real, Terms, Whole
from raypipe.training.models import (
    PREDICTED_ROWS,
    Float32Matrix,
    Float64Array,
    Model,
    check_width,
    is_mapped,
)
from raypipe.training.models import Float32Matrix, Float64Array, Model
from raypipe.training.race import TrainingSet
from raypipe.training.task import Task

if TYPE_CHECKING:
    import torch

_WEIGHTS = "model.safetensors"
_ARCHITECTURE = "architecture.json"


@dataclass(frozen=True)
class Architecture:
    """All that the weights do not say; regression has no classes, and its target is standardised."""

    n_features: int
    n_classes: int
    width: int
    n_layers: int
    dropout_ratio: float
    target_mean: float = 0.0
    target_scale: float = 1.0

    @property
    def n_outputs(self) -> int:
        return self.n_classes or 1


class TorchMlpModel:
    """Layers behind a fixed standardisation of the inputs."""

    format = "torch-mlp-safetensors"

    def __init__(
        self, architecture: Architecture, network: torch.nn.Module, mean: torch.Tensor, factor: torch.Tensor
    ) -> None:
        self._architecture = architecture
        self._network = network
        self._mean = mean
        self._factor = factor

    @property
    def architecture(self) -> Architecture:
        return self._architecture

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the weights under `network.`, and the `mean` and `factor` of the inputs."""
        weights = {f"network.{name}": tensor for name, tensor in self._network.state_dict().items()}
        return {**weights, "mean": self._mean, "factor": self._factor}

    def predict(self, features: Float32Matrix) -> Float64Array:
        return answers(self._network, self._architecture, (self._mean, self._factor), features)

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_file

        with storage_errors(folder):
            save_file(self.tensors(), folder / _WEIGHTS)
        write_json(folder / _ARCHITECTURE, asdict(self._architecture))

    @staticmethod
    def load(folder: Path) -> TorchMlpModel:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            architecture = Architecture(**json.loads((folder / _ARCHITECTURE).read_text()))
            tensors = load_file(folder / _WEIGHTS)
            mean, factor = tensors.pop("mean"), tensors.pop("factor")
            network = layers(architecture)
            network.load_state_dict({name.removeprefix("network."): t for name, t in tensors.items()})
        except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
            first_line = str(error).strip().splitlines()[0]
            raise ArtifactError(f"{folder} holds no network that raypipe saved: {first_line}.") from error
        return TorchMlpModel(architecture, network, mean, factor)


def layers(architecture: Architecture) -> torch.nn.Sequential:
    """Return linear, layer norm, ReLU and dropout, `n_layers` times, and a linear output."""
    from torch import nn

    stack: list[nn.Module] = []
    n_inputs = architecture.n_features
    for _ in range(architecture.n_layers):
        stack += [nn.Linear(n_inputs, architecture.width), nn.LayerNorm(architecture.width), nn.ReLU()]
        stack += [nn.Dropout(architecture.dropout_ratio)]
        n_inputs = architecture.width
    return nn.Sequential(*stack, nn.Linear(n_inputs, architecture.n_outputs))


class TorchMlpFamily:
    """AdamW on mini-batches under a one-cycle schedule; a rung is a share of the epochs."""

    name = "torch"
    in_parts = True

    def space(self, _: Task, /) -> tuple[Parameter, ...]:
        return (
            Whole("n_epochs", 12, 9, 36, log=True),
            Real("learning_rate", 0.003, 3e-4, 2e-2, log=True),
            Whole("width", 128, 32, 256, log=True),
            Whole("n_layers", 2, 1, 4),
            Real("dropout_ratio", 0.2, 0.0, 0.5),
            Real("weight_decay", 0.01, 1e-4, 1.0, log=True),
        )

    def train(self, params: Params, data: TrainingSet, terms: Terms, /) -> Iterator[tuple[int, Model]]:
        import torch

        torch.set_num_threads(terms.n_threads)
        torch.manual_seed(terms.seed)
        device = torch.device("cuda" if terms.gpu else "cpu")
        scale = input_scale(data.x_train, device)
        architecture = _architecture(params, data)
        network = layers(architecture).to(device)
        model = TorchMlpModel(architecture, network, *scale)
        for rung in trained(network, architecture, scale, data, params, terms.n_rungs):
            yield rung, model


def _input_scale(features: Float32Matrix) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    mean, deviation = _moments(features)
    factor = 1.0 / np.where(deviation > 0, deviation, 1.0)
    return torch.tensor(mean.astype(np.float32)), torch.tensor(factor.astype(np.float32))


def _moments(features: Float32Matrix) -> tuple[Float64Array, Float64Array]:
    """Return mean and standard deviation of each feature; of rows in a file block by block."""
    if not is_mapped(features):
        return features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    parts = [features[start : start + PREDICTED_ROWS] for start in range(0, len(features), PREDICTED_ROWS)]
    mean = sum(part.sum(axis=0, dtype=np.float64) for part in parts) / len(features)
    squares = sum(((part - mean) ** 2).sum(axis=0) for part in parts) / len(features)
    return np.asarray(mean), np.sqrt(squares)


def _architecture(params: Params, data: TrainingSet) -> Architecture:
    mean, scale = target_scale(data)
    return Architecture(
        n_features=data.x_train.shape[1],
        n_classes=data.task.n_classes,
        width=int(params["width"]),
        n_layers=int(params["n_layers"]),
        dropout_ratio=float(params["dropout_ratio"]),
        target_mean=mean,
        target_scale=scale,
    )


def _target(architecture: Architecture, data: TrainingSet) -> torch.Tensor:
    import torch

    if data.task.kind == "classification":
        return torch.tensor(data.y_train)
    scaled = (data.y_train - architecture.target_mean) / architecture.target_scale
    return torch.tensor(scaled.astype(np.float32)[:, None])


class _MappedRows:
    """Rows in a file, of which those of a batch are read and standardised at a time."""

    def __init__(
        self, features: Float32Matrix, mean: torch.Tensor, factor: torch.Tensor, device: torch.device
    ) -> None:
        self._features, self._mean, self._factor = features, mean, factor
        self.device = device

    def __len__(self) -> int:
        return len(self._features)

    def __getitem__(self, rows: torch.Tensor) -> torch.Tensor:
        import torch

        read = torch.from_numpy(np.asarray(self._features[rows.cpu().numpy()]))
        return standardised(read, self._mean, self._factor).to(self.device)


def _rows(
    data: TrainingSet, mean: torch.Tensor, factor: torch.Tensor, device: torch.device
) -> torch.Tensor | _MappedRows:
    import torch

    if is_mapped(data.x_train):
        return _MappedRows(data.x_train, mean, factor, device)
    return standardised(torch.tensor(data.x_train), mean, factor).to(device)


class _Epochs:
    """A training that can be run on."""

    def __init__(
        self,
        network: torch.nn.Module,
        features: torch.Tensor | _MappedRows,
        target: torch.Tensor,
        params: Params,
    ) -> None:
        from torch import optim

        self._network = network
        self._features = features
        self._target = target
        self._batch_size = batch_size_for(len(features))
        self._n_done = 0
        peak, decay = float(params["learning_rate"]), float(params["weight_decay"])
        self._optimizer = optim.AdamW(network.parameters(), lr=peak, weight_decay=decay, fused=True)
        n_steps = int(params["n_epochs"]) * -(-len(features) // self._batch_size)
        self._schedule = optim.lr_scheduler.OneCycleLR(self._optimizer, max_lr=peak, total_steps=n_steps)

    def run_until(self, n_epochs: int, loss: torch.nn.Module) -> None:
        self._network.train()
        for _ in range(self._n_done, n_epochs):
            self._run_one(loss)
        self._n_done = n_epochs

    def _run_one(self, loss: torch.nn.Module) -> None:
        import torch

        order = torch.randperm(len(self._features), device=self._features.device)
        for start in range(0, len(order), self._batch_size):
            rows = order[start : start + self._batch_size]
            self._optimizer.zero_grad()
            loss(self._network(self._features[rows]), self._target[rows]).backward()
            self._optimizer.step()
            self._schedule.step()


def batch_size_for(n_rows: int) -> int:
    """Return the power of two next below a 50th of the rows, between 32 and 1,024."""
    return min(1024, max(32, 1 << max(n_rows // 50, 1).bit_length() - 1))


def _loss(task: Task) -> torch.nn.Module:
    from torch import nn

    if task.kind == "classification":
        return nn.CrossEntropyLoss()
    return nn.L1Loss() if task.metric == "mae" else nn.MSELoss()
