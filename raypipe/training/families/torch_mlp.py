"""A multilayer perceptron by PyTorch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raypipe.core.errors import ArtifactError
from raypipe.core.files import storage_errors, write_json
from raypipe.training.families.torch_loop import answers, gently, input_scale, target_scale, trained
from raypipe.training.family import Parameter, Params, Real, Terms, Whole
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

    @property
    def network(self) -> torch.nn.Module:
        return self._network

    @property
    def scale(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The mean of each input, and the reciprocal of its deviation."""
        return self._mean, self._factor

    def on(self, device: torch.device) -> TorchMlpModel:
        """Return the model on a device."""
        mean, factor = (one.to(device) for one in self.scale)
        return TorchMlpModel(self._architecture, self._network.to(device), mean, factor)

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

    def cannot_continue(self) -> str | None:
        return None

    def train_on(
        self, model: Model, params: Params, data: TrainingSet, terms: Terms, /
    ) -> Iterator[tuple[int, Model]]:
        """Train the network on, with the standardisation that it has."""
        import torch

        assert isinstance(model, TorchMlpModel)
        torch.set_num_threads(terms.n_threads)
        torch.manual_seed(terms.seed)
        found = model.on(torch.device("cuda" if terms.gpu else "cpu"))
        network, scale = found.network, found.scale
        for rung in trained(network, found.architecture, scale, data, gently(params), terms.n_rungs):
            yield rung, found


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
