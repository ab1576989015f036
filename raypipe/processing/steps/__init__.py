"""Fitted steps: what is done to each column, as plain data.

A step makes one or more features of one column, or of several together. It knows nothing of tables or rows:
`raypipe.processing.table` and `raypipe.processing.rows` carry it out, with the same bits.
"""

from raypipe.processing.steps.category import FittedCategory, FittedOrdinal
from raypipe.processing.steps.cross import FittedCross
from raypipe.processing.steps.custom import FittedFunction, FittedTransformer
from raypipe.processing.steps.date import FittedDate
from raypipe.processing.steps.hashed import FittedHash, FittedText
from raypipe.processing.steps.lookup import Float32Matrix
from raypipe.processing.steps.number import FittedBins, FittedNumber
from raypipe.processing.steps.step import FittedStep, step_from_json, step_to_json
from raypipe.processing.steps.target import FittedTarget

__all__ = [
    "FittedBins",
    "FittedCategory",
    "FittedCross",
    "FittedDate",
    "FittedFunction",
    "FittedHash",
    "FittedNumber",
    "FittedOrdinal",
    "FittedStep",
    "FittedTarget",
    "FittedText",
    "FittedTransformer",
    "Float32Matrix",
    "step_from_json",
    "step_to_json",
]
