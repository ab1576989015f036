"""What the endpoint answers, typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from raypipe.api.client.parts import Part
from raypipe.core.errors import ServingError
from raypipe.core.ids import Json
from raypipe.serving.request import FieldError

Value: TypeAlias = bool | int | float | str
"""A class or a number."""


@dataclass(frozen=True)
class Prediction:
    """What is answered to one row: a value, or `errors`, all that is wrong with the row.

    `id` is what its label is sent for, `version` the model version that answered. `probabilities` are by
    class as text, and absent for a regression.
    """

    id: str
    value: Value | None
    probabilities: Mapping[str, float] | None
    version: str
    errors: tuple[FieldError, ...] = ()

    @property
    def error(self) -> str | None:
        """All that is wrong with the row as one text; None where it is answered."""
        return "; ".join(one.message.rstrip(".") for one in self.errors) + "." if self.errors else None

    def to_json(self) -> dict[str, Json]:
        """Return the answer as the endpoint spells it."""
        if self.errors:
            fields: list[Json] = [{"column": one.column, "message": one.message} for one in self.errors]
            first = self.errors[0]
            return {
                "id": self.id,
                "error": {"column": first.column, "message": first.message, "fields": fields},
            }
        named = {} if self.probabilities is None else {"probabilities": self.probabilities}
        return {"id": self.id, "prediction": self.value, **named}


@dataclass(frozen=True)
class RefusedLabel:
    """A label that was not kept: its place among those given, its id, and why."""

    index: int
    id: str | None
    message: str


@dataclass(frozen=True)
class Feedback:
    """What became of labels; `n_empty` had none yet and were not sent."""

    n_accepted: int
    n_empty: int
    refused: tuple[RefusedLabel, ...]


def predictions_of(url: str, part: Part, answer: Json) -> list[Prediction]:
    """Read the answers to a part's rows; raises ServingError where they are none, or to other rows."""
    match answer:
        case {"version": str(version), "predictions": [*items]}:
            read = [_prediction(item, version) for item in items]
            if [one.id if one else None for one in read] == list(part.ids):
                return [one for one in read if one]
    raise ServingError(
        f"{url} must answer with a prediction for each of {len(part.ids)} ids. Got {str(answer)[:200]}."
    )


def feedback_of(url: str, part: Part, answer: Json, places: Sequence[int]) -> Feedback:
    """Read what became of a part's labels; `places` are those of all labels that were sent.

    Raises ServingError where it is not told.
    """
    match answer:
        case {"accepted": int(accepted), "errors": [*errors]}:
            refused = [_refused(error, part.first, places) for error in errors]
            if accepted + len(refused) == len(part.items):
                return Feedback(accepted, 0, tuple(refused))
    raise ServingError(f"{url} must tell what became of {len(part.items)} labels. Got {str(answer)[:200]}.")


def _prediction(item: Json, version: str) -> Prediction | None:
    match item:
        case {"id": str(id_), "error": {"fields": [*fields]}}:
            return Prediction(id_, None, None, version, tuple(_field(field) for field in fields))
        case {"id": str(id_), "prediction": bool() | int() | float() | str() as value}:
            return Prediction(id_, value, _probabilities(item), version)
        case _:
            return None


def _probabilities(item: Json) -> Mapping[str, float] | None:
    match item:
        case {"probabilities": Mapping() as given}:
            return {name: float(one) for name, one in given.items() if isinstance(one, int | float)}
        case _:
            return None


def _field(value: Json) -> FieldError:
    match value:
        case {"column": str(column), "message": str(message)}:
            return FieldError(column, message)
        case {"message": str(message)}:
            return FieldError(None, message)
        case other:
            return FieldError(None, str(other))


def _refused(error: Json, first: int, places: Sequence[int]) -> RefusedLabel:
    match error:
        case {"index": int(index), "message": str(message), **rest}:
            id_ = rest.get("id")
            return RefusedLabel(places[first + index], id_ if isinstance(id_, str) else None, message)
        case other:
            raise ServingError(f"a refused label must have an index and a message. Got {str(other)[:200]}.")
