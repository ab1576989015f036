"""What may be said of a column, by kind: for all columns of a kind, or for some of them."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from raypipe.core.settings import Settings
from raypipe.processing.elementary import NumberTransform

DatePart = Literal["year", "month", "day", "weekday", "hour", "minute"]
Scale = Literal["standard", "robust", "minmax", "none"]
Encoding = Literal["onehot", "ordinal", "hash", "target", "text"]
Order: TypeAlias = Literal["frequency", "lexical"] | Annotated[tuple[str, ...], Field(min_length=1)]

_Quantile = Annotated[float, Field(ge=0, le=1)]
_WordCount = Annotated[int, Field(ge=1, le=5)]


def _increasing(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] >= pair[1]:
        raise ValueError(f"the first quantile must be below the second. Got {list(pair)}")
    return pair


def _not_decreasing(pair: tuple[int, int]) -> tuple[int, int]:
    if pair[0] > pair[1]:
        raise ValueError(f"the first number must not be above the second. Got {list(pair)}")
    return pair


Clip = Annotated[tuple[_Quantile, _Quantile], AfterValidator(_increasing)]
NGrams = Annotated[tuple[_WordCount, _WordCount], AfterValidator(_not_decreasing)]
Power = Annotated[float, Field(gt=0, le=10)]
MaxCategories = Annotated[int, Field(ge=2, le=1000)]
MinCount = Annotated[int, Field(ge=1)]
NFeatures = Annotated[int, Field(ge=2, le=65_536)]
Smoothing = Annotated[float, Field(gt=0)]


class BinSettings(Settings):
    """Ranges of a number as categories."""

    n: Annotated[int, Field(ge=2, le=256)] = 10
    """At most so many; fewer where quantiles coincide."""
    by: Literal["quantile", "width"] = "quantile"
    """About equally many training rows in each, or equal widths between the smallest and largest value."""
    encode: Literal["onehot", "ordinal"] = "onehot"


class NumericStep(Settings):
    """A number column: clip, fill what is missing, mark it, transform, scale; or cut into bins."""

    impute: Literal["median", "mean", "mode", "constant"] = "median"
    value: float = 0.0
    """What `impute: constant` fills in."""
    indicator: bool = True
    """Add a 0/1 feature that says the value was missing, where training rows had missing values."""
    clip: Clip | None = None
    """The quantiles of the training values beyond which a value becomes that quantile."""
    transform: NumberTransform = "none"
    """`log` is sign(x) * log(1 + |x|), `power` sign(x) * |x|**power; `yeo_johnson` fits its exponent."""
    power: Power = 0.5
    scale: Scale = "standard"
    """To mean 0 and deviation 1, to median 0 and quartiles 1 apart, or to [0, 1] on training rows."""
    bins: BinSettings | None = None
    """Ranges with a feature each, instead of the number; missing values have a range of their own."""


class CategoricalStep(Settings):
    """A text, integer-code or boolean column."""

    encode: Encoding = "onehot"
    """`onehot`: a 0/1 feature per frequent value, for rare, for missing. `ordinal`: its place among the
    training values. `hash`: one of `n_features` by a stable hash. `target`: the label's mean, out of fold
    on training rows. `text`: words and their neighbours by hash."""
    impute: Literal["none", "mode", "constant"] = "none"
    value: str = ""
    """What `impute: constant` fills in."""
    indicator: bool = True
    """Add a 0/1 feature for missing values, where training rows had any; `target` needs none."""
    max_categories: MaxCategories = 24
    """The most values with a feature of their own (`onehot`)."""
    min_count: MinCount = 10
    """A value seen in fewer training rows is rare, unless the column is boolean (`onehot`, `ordinal`)."""
    frequency: bool = False
    """Also add log(1 + the number of training rows with that value), 0 for unseen ones (`onehot`)."""
    order: Order = "frequency"
    """The order of `ordinal`: most frequent first, by text (integers by number), or as listed."""
    n_features: NFeatures = 64
    """How many features `hash` and `text` share among all values."""
    ngrams: NGrams = (1, 1)
    """The fewest and most neighbouring words that `text` takes together."""
    smoothing: Smoothing = 10.0
    """Rows of the overall mean that `target` mixes into each value's mean."""


class DateStep(Settings):
    """A date or timestamp column: calendar parts, and positions on the circle of the day, week and year."""

    parts: tuple[DatePart, ...] = ("month", "weekday", "hour")
    cycles: bool = True


KindStep: TypeAlias = NumericStep | CategoricalStep | DateStep


class NumberKeys(Settings):
    """What a rule may say of numbers alone."""

    clip: Clip | None = None
    transform: NumberTransform | None = None
    power: Power | None = None
    scale: Scale | None = None
    bins: BinSettings | None = None


class CategoryKeys(Settings):
    """What a rule may say of categories alone; `encode` makes a category of an integer column."""

    encode: Encoding | None = None
    max_categories: MaxCategories | None = None
    min_count: MinCount | None = None
    frequency: bool | None = None
    order: Order | None = None
    n_features: NFeatures | None = None
    ngrams: NGrams | None = None
    smoothing: Smoothing | None = None


class DateKeys(Settings):
    """What a rule may say of dates alone."""

    parts: tuple[DatePart, ...] | None = None
    cycles: bool | None = None
