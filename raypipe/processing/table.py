"""Fitted steps over an Arrow table, by polars expressions: training and batch prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from raypipe.core.errors import SchemaError
from raypipe.data.schema import Column, ColumnKind, kind_of
from raypipe.processing.calendar import DAYS_BEFORE, Position
from raypipe.processing.steps import (
    FLOAT32_MAX,
    FittedCategory,
    FittedDate,
    FittedNumber,
    FittedStep,
    Float32Matrix,
)
