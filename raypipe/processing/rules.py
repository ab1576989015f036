"""What was chosen for a column, as config that chooses it again."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import yaml

from raypipe.core.ids import Json
from raypipe.data.schema import Column
from raypipe.processing.choose import heeded
from raypipe.processing.column_settings import CategoricalStep, CategoryKeys, DateStep, KindStep, NumericStep

if TYPE_CHECKING:
    from raypipe.processing.transform import FittedTransform

_LISTS = {"columns": {"match"}, "crosses": {"encode"}, "custom": {"function", "transformer"}}
"""By which of its keys a rule is told to belong where; crosses come without `match`."""
_PATTERN = re.compile(r"([*?\[])")


def rule_of(column: Column, settings: KindStep) -> dict[str, Json]:
    """Return the rule of `processing.columns` that says all of a column's settings which count."""
    said = settings.model_dump(mode="json")
    match settings:
        case NumericStep(bins=None):
            keys = ["impute", "value", "indicator", "clip", "transform", "power", "scale"]
        case NumericStep():
            keys = ["indicator", "clip", "bins"]
        case CategoricalStep():
            keys = ["encode", *heeded(settings)]
        case DateStep():
            keys = ["parts", "cycles"]
    left_out = {key for key in keys if said[key] is None}
    left_out |= {"value"} if said.get("impute") != "constant" else set()
    left_out |= {"power"} if said.get("transform") != "power" else set()
    return {"match": _literal(column.name), **{key: said[key] for key in keys if key not in left_out}}


def cross_rule(names: Iterable[str], settings: CategoricalStep) -> dict[str, Json]:
    """Return the entry of `processing.crosses` that says all of a cross's settings which count."""
    said = settings.model_dump(mode="json")
    keys = [key for key in heeded(settings) if key in CategoryKeys.model_fields]
    return {"columns": list(names), **{key: said[key] for key in ("encode", *keys)}}


def _literal(name: str) -> str:
    """Return the pattern that matches this name alone."""
    return _PATTERN.sub(r"[\1]", name)


def as_config(transform: FittedTransform) -> str:
    """Return the `processing` part of a config that chooses for each column what was chosen."""
    rules = [choice.rule for choice in transform.choices if choice.used]
    own = [choice.column for choice in transform.choices if choice.used and "match" in choice.rule]
    lines = ["processing:", f"  features: {_flow(own)}"]
    for key, marks in _LISTS.items():
        listed = [rule for rule in rules if marks & rule.keys() and ("match" in rule) == (key == "columns")]
        lines += [f"  {key}:"] * bool(listed) + [f"  - {_flow(dict(rule))}" for rule in listed]
    return "\n".join([*lines, *["  allow_code: true"] * bool(transform.executes)]) + "\n"


def _flow(value: Json) -> str:
    """Return a value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf)
    return text.strip()
