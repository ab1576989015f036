"""How a version answers the rows that judged it: what its live answers are compared with."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from raypipe.monitoring.graded import MAX_GRADED, Answered, Graded, graded
from raypipe.monitoring.joint import Sample
from raypipe.monitoring.life import alike_in_order
from raypipe.monitoring.reference import Reference
from raypipe.serving.predictor import Predictor

if TYPE_CHECKING:
    from raypipe.data.split import Split


def grade(predictor: Predictor, split: Split, reference: Reference, slices: Collection[str]) -> Graded:
    """Grade a version on the test rows of the split that it was trained by, at most 20,000 of them.

    `slices` are columns by whose values it is graded too; those that are no inputs are passed over.
    """
    test, task = split.test, predictor.task
    step = -(-test.num_rows // MAX_GRADED)
    rows = test.take(list(range(0, test.num_rows, step))) if step > 1 else test
    raw = predictor.model.predict(predictor.transform.transform_table(rows))
    sample = Sample.of(reference, split.train, seed=0)
    alike = alike_in_order(reference, split.train) if split.by == "time" else None
    answered = Answered(raw, task.encode(rows[task.label]))
    return graded(task, answered, rows, reference.only(slices), sample, alike)
