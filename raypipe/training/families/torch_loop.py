"""The training loop of networks, whatever their layers: AdamW on mini-batches under a one-cycle schedule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

from raypipe.training.family import Parameter, Params, Real, Whole
from raypipe.training.models import (
    PREDICTED_ROWS,
    Float32Matrix,
    Float64Array,
    check_width,
    is_mapped,
)
from raypipe.training.race import TrainingSet
from raypipe.training.task import Task

if TYPE_CHECKING:
    import torch

MAX_INPUT = 10.0
"""Standardised inputs are cut here, so that one wild value does not swamp the row."""
LOOP_PARAMETERS: tuple[Parameter, ...] = (
    Whole("n_epochs", 12, 9, 36, log=True),
    Real("learning_rate", 0.003, 3e-4, 2e-2, log=True),
    Real("weight_decay", 0.01, 1e-4, 1.0, log=True),
)
"""What of the loop itself is searched."""
_MAX_ROWS_AT_ONCE = 16_384
_ROWS_TOGETHER = 16
"""Fewer rows, or a rest of fewer, are multiplied by other kernels, whose last bits differ."""


class Outputs(Protocol):
    """What a network takes and answers; regression has no classes, and its target is standardised."""

    @property
    def n_features(self) -> int: ...

    @property
    def n_classes(self) -> int: ...

    @property
    def target_mean(self) -> float: ...

    @property
    def target_scale(self) -> float: ...


def answers(
    network: torch.nn.Module,
    outputs: Outputs,
    scale: tuple[torch.Tensor, torch.Tensor],
    x: Float32Matrix,
    limit: float = MAX_INPUT,
) -> Float64Array:
    """Return what a network says of rows, each as it would be said of in any other batch.

    Inputs are scaled, and cut beyond `limit` deviations.
    """
    import torch

    check_width(x, outputs.n_features)
    padded = _in_whole_blocks(x)
    network.eval()
    with torch.inference_mode():
        parts = [
            _answers(network, outputs, scale, torch.tensor(padded[start : start + _MAX_ROWS_AT_ONCE]), limit)
            for start in range(0, max(len(padded), 1), _MAX_ROWS_AT_ONCE)
        ]
        return torch.cat(parts)[: len(x)].numpy()


def _answers(
    network: torch.nn.Module,
    outputs: Outputs,
    scale: tuple[torch.Tensor, torch.Tensor],
    x: torch.Tensor,
    limit: float,
) -> torch.Tensor:
    made: torch.Tensor = network(standardised(x.to(scale[0].device), *scale, limit)).double().cpu()
    if outputs.n_classes:
        return made.softmax(dim=1)
    return made[:, 0] * outputs.target_scale + outputs.target_mean


def _in_whole_blocks(features: Float32Matrix) -> Float32Matrix:
    """Return rows with zeros behind them, so that each row is computed as it is in any other batch."""
    n_missing = -len(features) % _ROWS_TOGETHER
    return np.pad(features, ((0, n_missing), (0, 0))) if n_missing else features


def standardised(
    features: torch.Tensor, mean: torch.Tensor, factor: torch.Tensor, limit: float = MAX_INPUT
) -> torch.Tensor:
    """Return `(features - mean) * factor`, cut to so many standard deviations."""
    return ((features - mean) * factor).clamp_(-limit, limit)


def input_scale(features: Float32Matrix, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean of each feature, and the reciprocal of its deviation, shape (n_features,)."""
    import torch

    mean, deviation = _moments(features)
    factor = 1.0 / np.where(deviation > 0, deviation, 1.0)
    both = torch.tensor(mean.astype(np.float32)), torch.tensor(factor.astype(np.float32))
    return both[0].to(device), both[1].to(device)


def _moments(features: Float32Matrix) -> tuple[Float64Array, Float64Array]:
    """Return mean and standard deviation of each feature; of rows in a file block by block."""
    if not is_mapped(features):
        return features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    parts = [features[start : start + PREDICTED_ROWS] for start in range(0, len(features), PREDICTED_ROWS)]
    mean = sum(part.sum(axis=0, dtype=np.float64) for part in parts) / len(features)
    squares = sum(((part - mean) ** 2).sum(axis=0) for part in parts) / len(features)
    return np.asarray(mean), np.sqrt(squares)


def target_scale(data: TrainingSet) -> tuple[float, float]:
    """Return the mean of the targets and their deviation; 0 and 1 for classes."""
    if data.task.kind == "classification":
        return 0.0, 1.0
    return float(np.mean(data.y_train)), float(np.std(data.y_train)) or 1.0


def trained(
    network: torch.nn.Module,
    outputs: Outputs,
    scale: tuple[torch.Tensor, torch.Tensor],
    data: TrainingSet,
    params: Params,
    n_rungs: int,
) -> Iterator[int]:
    """Train a network, on the device where `scale` lies, and yield each rung that it has reached."""
    device = scale[0].device
    target = _target(outputs, data).to(device)
    epochs = Epochs(network, _rows(data, *scale), target, params)
    for rung in range(1, n_rungs + 1):
        epochs.run_until(-(-int(params["n_epochs"]) * rung // n_rungs), loss_of(data.task))
        yield rung


def gently(params: Params) -> Params:
    """Return the parameters for training a network on: a third of the epochs, at a third of the rate.

    At the full rate a network forgets first what it knew.
    """
    n_epochs, rate = int(params["n_epochs"]), float(params["learning_rate"])
    return {**params, "n_epochs": max(1, n_epochs // 3), "learning_rate": rate / 3}


def _target(outputs: Outputs, data: TrainingSet) -> torch.Tensor:
    import torch

    if data.task.kind == "classification":
        return torch.tensor(data.y_train)
    scaled = (data.y_train - outputs.target_mean) / outputs.target_scale
    return torch.tensor(scaled.astype(np.float32)[:, None])


class _MappedRows:
    """Rows in a file, of which those of a batch are read and standardised at a time."""

    def __init__(self, features: Float32Matrix, mean: torch.Tensor, factor: torch.Tensor) -> None:
        self._features, self._mean, self._factor = features, mean, factor
        self.device = mean.device

    def __len__(self) -> int:
        return len(self._features)

    def __getitem__(self, rows: torch.Tensor) -> torch.Tensor:
        import torch

        read = torch.from_numpy(np.asarray(self._features[rows.cpu().numpy()]))
        return standardised(read.to(self.device), self._mean, self._factor)


def _rows(data: TrainingSet, mean: torch.Tensor, factor: torch.Tensor) -> torch.Tensor | _MappedRows:
    import torch

    if is_mapped(data.x_train):
        return _MappedRows(data.x_train, mean, factor)
    return standardised(torch.tensor(data.x_train).to(mean.device), mean, factor)


class Epochs:
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
            if len(rows) == 1 and start:
                continue  # a row alone has no deviation, which batch norms divide by
            self._optimizer.zero_grad()
            loss(self._network(self._features[rows]), self._target[rows]).backward()
            self._optimizer.step()
            self._schedule.step()


def batch_size_for(n_rows: int) -> int:
    """Return the power of two next below a 50th of the rows, between 32 and 1,024."""
    return min(1024, max(32, 1 << max(n_rows // 50, 1).bit_length() - 1))


def loss_of(task: Task) -> torch.nn.Module:
    from torch import nn

    if task.kind == "classification":
        return nn.CrossEntropyLoss()
    return nn.L1Loss() if task.metric == "mae" else nn.MSELoss()
