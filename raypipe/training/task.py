"""What is to be learned: the kind of task, its classes, and the metric that judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar, get_args

from raypipe.core.errors import ConfigError, LabelError
from raypipe.core.ids import Json

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from raypipe.training.config import TrainingSettings

TaskKind = Literal["classification", "regression"]
MetricName = Literal["auc", "accuracy", "log_loss", "mae", "rmse", "r2"]
ClassValue: TypeAlias = "str | int | float | bool"

T = TypeVar("T")

MAX_CLASSES = 1_000
MAX_INTEGER_CLASSES = 20
"""An integer label with more distinct values is taken for an amount."""
_METRICS: Mapping[TaskKind, tuple[MetricName, ...]] = {
    "classification": ("auc", "accuracy", "log_loss"),
    "regression": ("mae", "rmse", "r2"),
}


@dataclass(frozen=True)
class Task:
    """What is to be learned from the features, and by what it is judged."""

    kind: TaskKind
    label: str
    classes: tuple[ClassValue, ...]
    """The values of the label, sorted; empty for regression."""
    metric: MetricName

    @property
    def n_classes(self) -> int:
        """The number of classes; 0 for regression."""
        return len(self.classes)

    @property
    def metrics(self) -> tuple[MetricName, ...]:
        """The metrics worth showing, the one that judges first; auc of many classes only if it judges."""
        shown = (name for name in _METRICS[self.kind] if name != "auc" or self.n_classes == 2)
        return (self.metric, *(name for name in shown if name != self.metric))

    def encode(self, column: pa.ChunkedArray) -> NDArray[np.int64] | NDArray[np.float64]:
        """Return class codes (int64, positions in `classes`) or values (float64), one a row.

        Raises LabelError for a missing value and for a class that the task does not know.
        """
        return _codes(self, column) if self.kind == "classification" else _values(self.label, column)

    def to_json(self) -> Json:
        return {
            "kind": self.kind,
            "label": self.label,
            "classes": list(self.classes),
            "metric": self.metric,
        }

    @staticmethod
    def from_json(value: Json) -> Task:
        if not isinstance(value, Mapping):
            raise ValueError(f"a task is an object. Got {value!r}")
        classes = value["classes"]
        if not isinstance(classes, list):
            raise ValueError(f"the classes of a task are a list. Got {classes!r}")
        return Task(
            kind=_one_of(get_args(TaskKind), value["kind"]),
            label=str(value["label"]),
            classes=tuple(classes),
            metric=_one_of(get_args(MetricName), value["metric"]),
        )


def infer_task(settings: TrainingSettings, label: str, column: pa.ChunkedArray) -> Task:
    """Return the task that a label column poses; missing values (null, NaN) are passed over.

    By `task: auto`, text and booleans are classes, so are integers of at most 20 distinct values and
    whole floats of at most 2; other numbers are amounts. Whole float classes become integers. Pass all
    labelled rows, so that a class which only newer rows have is known too.

    Raises LabelError where nothing can be learned, ConfigError where the settings do not fit the label.
    """
    values = _distinct(label, column)
    kind = settings.task if settings.task != "auto" else _kind(values)
    if kind == "regression":
        _check_numbers(label, values)
        classes: tuple[ClassValue, ...] = ()
    else:
        classes = _classes(label, values)
    return Task(kind, label, classes, _metric(settings, kind, len(classes)))


def _distinct(label: str, column: pa.ChunkedArray) -> pa.Array:
    """Return the distinct values that are not missing, sorted; at least two."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = pc.unique(_plain(label, column)).drop_null()
    if pa.types.is_floating(values.type):
        values = values.filter(pc.is_finite(values))
    if len(values) == 0:
        raise LabelError(
            f"the label {label!r} has no value in any row; name a column with values in `data.label`."
        )
    if len(values) == 1:
        raise LabelError(
            f"the label {label!r} is {values[0].as_py()!r} in every row, so there is nothing to learn; "
            "bring rows with other values, or name another column in `data.label`."
        )
    return values.take(pc.array_sort_indices(values))


def _plain(label: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text as string, decimals as float64, and every other label of a usable type as it is."""
    import pyarrow as pa

    type_ = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    types = pa.types
    if types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_):
        return column.cast(pa.large_string())
    if types.is_decimal(type_) or types.is_float16(type_):
        return column.cast(pa.float64())
    if types.is_boolean(type_) or types.is_integer(type_) or types.is_floating(type_):
        return column.cast(type_)
    if types.is_null(type_):
        return column.cast(pa.float64())
    raise LabelError(
        f"the label {label!r} has the type {type_}; a label must be text, a boolean or a number: "
        "compute one with `data.label: {name: ..., expression: ...}`."
    )


def _kind(values: pa.Array) -> TaskKind:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_integer(values.type):
        return "classification" if len(values) <= MAX_INTEGER_CLASSES else "regression"
    if pa.types.is_floating(values.type):
        whole = pc.all(pc.equal(values, pc.floor(values))).as_py()
        return "classification" if whole and len(values) <= 2 else "regression"
    return "classification"


def _check_numbers(label: str, values: pa.Array) -> None:
    import pyarrow as pa

    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        raise ConfigError(
            f"training.task regression needs a label of numbers. Got {label!r} of the type "
            f"{'bool' if pa.types.is_boolean(values.type) else 'text'}; set it to classification or auto."
        )


def _classes(label: str, values: pa.Array) -> tuple[ClassValue, ...]:
    if len(values) > MAX_CLASSES:
        raise LabelError(
            f"the label {label!r} has {len(values):,} distinct values, and a classification may have at most "
            f"{MAX_CLASSES:,}; set `training.task: regression`, or compute a coarser label."
        )
    return tuple(
        int(value) if isinstance(value, float) and value.is_integer() else value
        for value in values.to_pylist()
    )


def _metric(settings: TrainingSettings, kind: TaskKind, n_classes: int) -> MetricName:
    if settings.metric == "auto":
        return "mae" if kind == "regression" else "auc" if n_classes == 2 else "log_loss"
    if settings.metric not in _METRICS[kind]:
        raise ConfigError(
            f"training.metric must be one of {', '.join(_METRICS[kind])} for a {kind} task. "
            f"Got {settings.metric}."
        )
    return settings.metric


def _codes(task: Task, column: pa.ChunkedArray) -> NDArray[np.int64]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = _plain(task.label, column)
    codes = pc.index_in(plain, value_set=_value_set(task, plain.type))
    if codes.null_count:
        value = plain.filter(pc.is_null(codes))[0].as_py()
        raise LabelError(
            f"the label {task.label!r} is {value!r} in {codes.null_count:,} rows, which is none of the "
            f"{task.n_classes} classes of the task; leave these rows out, or train a new task on them."
        )
    return np.ascontiguousarray(codes.cast(pa.int64()).to_numpy())


def _value_set(task: Task, type_: pa.DataType) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(task.classes).cast(type_)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise LabelError(
            f"the label {task.label!r} has the type {type_}, but the task's classes are such as "
            f"{task.classes[0]!r}; bring rows whose label has the type that was trained on."
        ) from error


def _values(label: str, column: pa.ChunkedArray) -> NDArray[np.float64]:
    import numpy as np
    import pyarrow as pa

    plain = _plain(label, column)
    if not (pa.types.is_integer(plain.type) or pa.types.is_floating(plain.type)):
        raise LabelError(f"the label {label!r} has the type {plain.type}, but the task needs numbers.")
    values = np.array(plain.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    n_missing = int(np.count_nonzero(~np.isfinite(values)))
    if n_missing:
        raise LabelError(f"the label {label!r} is missing or infinite in {n_missing:,} rows; leave them out.")
    return values


def _one_of(allowed: tuple[T, ...], value: Json) -> T:
    for choice in allowed:
        if choice == value:
            return choice
    raise ValueError(f"one of {', '.join(map(str, allowed))} is needed. Got {value!r}")
