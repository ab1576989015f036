from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.serving.feedback import Label, RejectedLabel, parse_feedback
from raypipe.serving.request import RefusedRequest, TooLarge
from raypipe.training.task import Task

TEXT = Task("classification", "outcome", ("bad", "good"), "auc")
CODES = Task("classification", "code", (0, 1), "auc")
FLAGS = Task("classification", "flag", (False, True), "auc")
AMOUNT = Task("regression", "amount", (), "mae")


def one(task: Task, label: str) -> object:
    [item] = parse_feedback(b'{"labels": [{"id": "a", "label": ' + label.encode() + b"}]}", task, 10)
    return item.label if isinstance(item, Label) else item.message


@pytest.mark.parametrize(
    ("task", "label", "expected"),
    [
        (TEXT, '"good"', "good"),
        (CODES, "1", 1),
        (CODES, "1.0", 1),
        (FLAGS, "true", True),
        (AMOUNT, "3", 3.0),
        (AMOUNT, "-2.5e3", -2500.0),
    ],
)
def test_a_label_of_the_labels_own_type_is_accepted(task: Task, label: str, expected: object) -> None:
    found = one(task, label)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("task", "label", "rule"),
    [
        (
            TEXT,
            '"ugly"',
            "outcome must be one of the classes that the model knows ('bad', 'good'). Got 'ugly'.",
        ),
        (TEXT, "1", "outcome must be one of the classes"),
        (CODES, '"1"', "code must be one of the classes that the model knows (0, 1). Got '1'."),
        (CODES, "true", "code must be one of the classes"),
        (FLAGS, "1", "flag must be one of the classes that the model knows (False, True). Got 1."),
        (AMOUNT, '"3"', "amount must be a finite number. Got '3'."),
        (AMOUNT, "true", "amount must be a finite number. Got True."),
        (AMOUNT, "1e999", "a label must be an object with an id (text) and a label: Number out of range"),
        (AMOUNT, "9" * 400, "amount must be a finite number. Got 999"),
        (AMOUNT, "null", "a label must be an object with an id (text) and a label"),
    ],
)
def test_a_label_of_another_type_is_rejected(task: Task, label: str, rule: str) -> None:
    assert str(one(task, label)).startswith(rule)


def test_each_label_is_judged_by_itself() -> None:
    items = [{"id": "a", "label": "good"}, {"id": "", "label": "good"}, {"id": "x" * 201, "label": "good"}, 5]
    good, empty, long, wrong = parse_feedback(json.dumps({"labels": items}).encode(), TEXT, 10)
    assert good == Label("a", "good")
    assert empty == RejectedLabel("", "an id must have 1 to 200 characters. Got 0.")
    assert isinstance(long, RejectedLabel)
    assert len(long.id or "") == 200
    assert isinstance(wrong, RejectedLabel)
    assert wrong.id is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"labels": 5}', b'{"labels": [], "x": 1}', b"{" * 100_000]
)
def test_bodies_that_are_refused(body: bytes) -> None:
    with pytest.raises(RefusedRequest, match=r"the body"):
        parse_feedback(body, TEXT, 10)


def test_too_many_labels_are_refused() -> None:
    with pytest.raises(TooLarge, match="at most 2 labels"):
        parse_feedback(b'{"labels": [1, 2, 3]}', TEXT, 2)


@given(
    st.binary(max_size=100)
    | st.lists(st.dictionaries(st.text(), st.text() | st.floats())).map(
        lambda labels: json.dumps({"labels": labels}).encode()
    )
)
def test_whatever_comes_is_read_or_refused(body: bytes) -> None:
    try:
        items = parse_feedback(body, CODES, 10)
    except RefusedRequest as error:
        assert str(error)
        return
    assert all(isinstance(item, Label | RejectedLabel) for item in items)
