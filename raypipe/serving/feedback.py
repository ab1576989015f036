"""What feedback may hold: labels by prediction id, each of the label's own type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from raypipe.serving.request import MAX_ID_CHARACTERS, RefusedRequest, TooLarge, decode_form
from raypipe.training.task import ClassValue, Task


@dataclass(frozen=True)
class Label:
    """What turned out to be true of a prediction."""

    id: str
    label: ClassValue


@dataclass(frozen=True)
class RejectedLabel:
    """A label that was not accepted."""

    id: str | None
    message: str


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    labels: list[msgspec.Raw]


class _Item(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    label: bool | int | float | str


_BODY = msgspec.json.Decoder(_Body)
_ITEM = msgspec.json.Decoder(_Item)


def parse_feedback(body: bytes, task: Task, max_labels: int) -> Sequence[Label | RejectedLabel]:
    """Return the labels of a request, or what is wrong with each; raises RefusedRequest for the whole."""
    labels = decode_form(_BODY, body, '{"labels": [{"id": "...", "label": ...}, ...]}').labels
    if not labels:
        raise RefusedRequest("labels must have one label or more. Got none.")
    if len(labels) > max_labels:
        raise TooLarge(
            f"a request may have at most {max_labels:,} labels (serving.max_rows). Got {len(labels):,}."
        )
    return [_label(raw, task) for raw in labels]


def _label(raw: msgspec.Raw, task: Task) -> Label | RejectedLabel:
    try:
        item = _ITEM.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return RejectedLabel(None, f"a label must be an object with an id (text) and a label: {error}.")
    if not 0 < len(item.id) <= MAX_ID_CHARACTERS:
        return RejectedLabel(
            item.id[:MAX_ID_CHARACTERS],
            f"an id must have 1 to {MAX_ID_CHARACTERS} characters. Got {len(item.id)}.",
        )
    value = _amount(item.label) if task.kind == "regression" else _class(item.label, task)
    return RejectedLabel(item.id, _rule(task, item.label)) if value is None else Label(item.id, value)


def _amount(label: ClassValue) -> float | None:
    if isinstance(label, bool | str):
        return None
    try:
        value = float(label)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def _class(label: ClassValue, task: Task) -> ClassValue | None:
    """Return the task's own spelling of a class; `1` and `1.0` are one class, `true` and `1` are two."""
    for known in task.classes:
        if known == label and isinstance(known, bool) == isinstance(label, bool):
            return known
    return None


def _rule(task: Task, label: ClassValue) -> str:
    got = repr(label) if len(repr(label)) <= 60 else f"{repr(label)[:60]}…"
    if task.kind == "regression":
        return f"{task.label} must be a finite number. Got {got}."
    classes = ", ".join(map(repr, task.classes[:10])) + (", …" if task.n_classes > 10 else "")
    return f"{task.label} must be one of the classes that the model knows ({classes}). Got {got}."
