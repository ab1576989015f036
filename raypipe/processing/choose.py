"""What is to be done to a column: the first rule that matches it, over what holds for all of its kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from pydantic import ValidationError

from raypipe.core.errors import ConfigError
from raypipe.core.settings import Settings
from raypipe.data.names import suggest
from raypipe.data.schema import Column
from raypipe.processing.column_settings import (
    CategoricalStep,
    CategoryKeys,
    DateKeys,
    DateStep,
    KindStep,
    NumberKeys,
    NumericStep,
)
from raypipe.processing.config import ColumnSteps, ProcessingSettings

_KINDS: Mapping[type[Settings], tuple[str, type[Settings]]] = {
    NumericStep: ("number", NumberKeys),
    CategoricalStep: ("category", CategoryKeys),
    DateStep: ("date", DateKeys),
}
_FILLS = frozenset({"impute", "value", "indicator"})
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "max_categories": ("onehot",),
    "min_count": ("onehot", "ordinal"),
    "frequency": ("onehot",),
    "order": ("ordinal",),
    "n_features": ("hash", "text"),
    "ngrams": ("text",),
    "smoothing": ("target",),
    "impute": ("onehot", "ordinal", "hash"),
    "value": ("onehot", "ordinal", "hash"),
    "indicator": ("onehot", "ordinal", "hash", "text"),
}
"""The encodings that heed a key."""


def chosen(column: Column, processing: ProcessingSettings) -> KindStep:
    """Return what the config says of a column; raises ConfigError for a rule of another kind."""
    place, rule = _rule(column, processing)
    default = _default(column, rule, processing)
    if rule is None:
        return default
    where = f"processing.columns[{place}]"
    said = {key: getattr(rule, key) for key in rule.model_fields_set - {"match"}}
    said = {key: value for key, value in said.items() if value is not None}
    return overlaid(default, said, where, f"matches {column.name!r}")


def overlaid(default: KindStep, said: Mapping[str, object], where: str, whose: str) -> KindStep:
    """Return settings of a kind with some of them said otherwise; raises ConfigError."""
    kind, keys = _KINDS[type(default)]
    allowed = set(keys.model_fields) | (_FILLS if not isinstance(default, DateStep) else frozenset())
    for key in sorted(set(said) - allowed):
        raise ConfigError(f"{where} sets {key} and {whose}, which is a {kind}: {key} is not for a {kind}.")
    if isinstance(default, CategoricalStep) and "value" in said:
        said = {**said, "value": _text(said["value"])}
    try:
        made = type(default).model_validate({**default.model_dump(), **said})
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"{where}.{first['loc'][0]} does not suit a {kind} ({whose}): {first['msg']}."
        ) from None
    if isinstance(made, CategoricalStep):
        _check_heeded(made, said, where)
    return made


def check_rules(columns: Iterable[str], processing: ProcessingSettings) -> None:
    """Raise ConfigError for a rule that matches no column."""
    known = list(columns)
    for place, rule in enumerate(processing.columns):
        for pattern in rule.match:
            if not any(fnmatchcase(name, pattern) for name in known):
                raise ConfigError(
                    f"processing.columns[{place}].match must match columns of the data. "
                    f"Got {pattern!r}: {suggest(pattern, known)}"
                )


def heeded(settings: CategoricalStep) -> tuple[str, ...]:
    """Return the keys that only some encodings heed, of those this one."""
    return tuple(key for key, encodings in _NEEDS.items() if settings.encode in encodings)


def _default(column: Column, rule: ColumnSteps | None, processing: ProcessingSettings) -> KindStep:
    if column.kind == "timestamp":
        return processing.date
    if column.kind in ("category", "boolean") or column.name in processing.as_category:
        return processing.categorical
    if column.kind == "integer" and rule is not None and rule.encode is not None:
        return processing.categorical
    return processing.numeric


def _rule(column: Column, processing: ProcessingSettings) -> tuple[int, ColumnSteps | None]:
    for place, rule in enumerate(processing.columns):
        if any(fnmatchcase(column.name, pattern) for pattern in rule.match):
            return place, rule
    return 0, None


def _check_heeded(made: CategoricalStep, said: Mapping[str, object], where: str) -> None:
    for key in sorted(said):
        needed = _NEEDS.get(key)
        if needed and made.encode not in needed:
            raise ConfigError(f"{where}.{key} must be for encode {' or '.join(needed)}. Got {made.encode}.")


def _text(value: object) -> str:
    """Return what fills a category as text: YAML reads a code as a number."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
