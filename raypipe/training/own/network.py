"""A torch module of the user's own, trained by the house's loop and kept as safetensors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raypipe.core.errors import ArtifactError, ConfigError, TrainingError
from raypipe.core.files import storage_errors
from raypipe.core.imports import loaded, modules_digest
from raypipe.training.families.torch_loop import (
    LOOP_PARAMETERS,
    answers,
    gently,
    input_scale,
    target_scale,
    trained,
)
from raypipe.training.family import Parameter, Params, Terms
from raypipe.training.models import Float32Matrix, Float64Array, Model
from raypipe.training.own.description import OwnDescription
from raypipe.training.race import TrainingSet
from raypipe.training.task import Task

if TYPE_CHECKING:
    import torch

    from raypipe.training.own.config import OwnModel

_WEIGHTS = "model.safetensors"
_PREFIX = "network."


@dataclass(frozen=True)
class NetworkModel:
    """A network behind a fixed standardisation of its inputs; `told.params` are those of its class."""

    told: OwnDescription
    network: torch.nn.Module
    mean: torch.Tensor
    factor: torch.Tensor

    format = "network-safetensors"

    @property
    def scale(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The mean of each input, and the reciprocal of its deviation."""
        return self.mean, self.factor

    def on(self, device: torch.device) -> NetworkModel:
        """Return the model on a device."""
        mean, factor = (one.to(device) for one in self.scale)
        return replace(self, network=self.network.to(device), mean=mean, factor=factor)

    def predict(self, features: Float32Matrix) -> Float64Array:
        limit = math.inf if self.told.max_input is None else self.told.max_input
        return answers(self.network, self.told, (self.mean, self.factor), features, limit)

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_file

        weights = {f"{_PREFIX}{name}": one.contiguous() for name, one in self.network.state_dict().items()}
        self.told.write(folder)
        try:
            with storage_errors(folder):
                save_file({**weights, "mean": self.mean, "factor": self.factor}, folder / _WEIGHTS)
        except RuntimeError as error:  # such as weights that two layers share
            raise TrainingError(
                f"{self.told.path} has weights that safetensors does not keep: {_first_line(error)}"
            ) from error

    @staticmethod
    def load(folder: Path) -> NetworkModel:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        told = OwnDescription.read(folder)
        kind = told.code()
        try:
            tensors = load_file(folder / _WEIGHTS)
            mean, factor = tensors.pop("mean"), tensors.pop("factor")
            network = made(kind, told.n_features, told.n_classes or 1, dict(told.params))
            network.load_state_dict({name.removeprefix(_PREFIX): one for name, one in tensors.items()})
        except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
            raise ArtifactError(
                f"{folder} holds no weights for {told.path} as it is now: {_first_line(error)}."
            ) from error
        return NetworkModel(told, network, mean, factor)


@dataclass(frozen=True)
class NetworkFamily:
    """A module's class by import path; a rung is a share of the epochs."""

    name: str
    settings: OwnModel
    code_folder: str | None = None

    in_parts = True

    def space(self, _: Task, /) -> tuple[Parameter, ...]:
        """Return what the config searches, and of the loop whatever the config does not say."""
        said = {*self.settings.params, *self.settings.search}
        return (*self.settings.space(), *(one for one in LOOP_PARAMETERS if one.name not in said))

    def train(self, params: Params, data: TrainingSet, terms: Terms, /) -> Iterator[tuple[int, Model]]:
        import torch

        torch.set_num_threads(terms.n_threads)
        torch.manual_seed(terms.seed)
        device = torch.device("cuda" if terms.gpu else "cpu")
        own, loop = self._parted(params)
        told = self._description(own, data)
        network = made(loaded(told.path, self.code_folder), told.n_features, told.n_classes or 1, own)
        scale = input_scale(data.x_train, device)
        model = NetworkModel(told, network.to(device), *scale)
        for rung in trained(network, told, scale, data, loop, terms.n_rungs):
            yield rung, model

    def cannot_continue(self) -> str | None:
        return None

    def train_on(
        self, model: Model, params: Params, data: TrainingSet, terms: Terms, /
    ) -> Iterator[tuple[int, Model]]:
        """Train the network on, with the standardisation that it has."""
        import torch

        assert isinstance(model, NetworkModel)
        torch.set_num_threads(terms.n_threads)
        torch.manual_seed(terms.seed)
        found = model.on(torch.device("cuda" if terms.gpu else "cpu"))
        _, loop = self._parted(params)
        for rung in trained(found.network, found.told, found.scale, data, gently(loop), terms.n_rungs):
            yield rung, found

    def check(self, task: Task) -> None:
        """Raise ConfigError where the path names no network that answers for a task."""
        import torch

        where = f"training.models.{self.name}.network"
        try:
            found = loaded(self.settings.path, self.code_folder)
        except ArtifactError as error:
            raise ConfigError(f"{where}: {error}") from error
        if not (isinstance(found, type) and issubclass(found, torch.nn.Module)):
            raise ConfigError(
                f"{where} must name a class of torch.nn.Module. Got {self.settings.path}, which is "
                f"{found.__name__ if isinstance(found, type) else type(found).__name__}."
            )
        own, _ = self._parted({one.name: one.default for one in self.space(task)})
        n_outputs = task.n_classes or 1
        try:
            network = made(found, 3, n_outputs, own).eval()
            shape = tuple(network(torch.zeros((4, 3))).shape)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"{where}: {self.settings.path} must take (n_inputs, n_outputs) and its parameters, and then "
                f"rows of n_inputs numbers. Got {type(error).__name__}: {_first_line(error)}."
            ) from error
        if shape != (4, n_outputs):
            raise ConfigError(
                f"{where}: {self.settings.path} must answer 4 rows in the shape {(4, n_outputs)}, without a "
                f"softmax. Got {shape}."
            )

    def _parted(self, params: Params) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the parameters of the class, and those of the loop."""
        of_loop = {one.name for one in LOOP_PARAMETERS}
        every: dict[str, Any] = {**self.settings.params, **params}
        own = {name: value for name, value in every.items() if name not in of_loop}
        return own, {name: value for name, value in every.items() if name in of_loop}

    def _description(self, own: dict[str, Any], data: TrainingSet) -> OwnDescription:
        mean, deviation = target_scale(data)
        return OwnDescription(
            path=self.settings.path,
            code_sha256=modules_digest(self.settings.path, self.code_folder),
            code_folder=self.code_folder,
            n_features=data.x_train.shape[1],
            n_classes=data.task.n_classes,
            params=own,
            target_mean=mean,
            target_scale=deviation,
        )


def made(kind: Any, n_inputs: int, n_outputs: int, params: dict[str, Any]) -> torch.nn.Module:
    """Return a fresh network of a class."""
    network: torch.nn.Module = kind(n_inputs, n_outputs, **params)
    return network


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
