"""What a million rows of 20 columns cost a peer: run by the Python of an environment that has it.

    PYTHON benchmarks/monitoring/cost_peers.py evidently|nannyml DATA.npz

`DATA.npz` holds, for a reference and for live rows, numbers (n_rows, 15) with NaN where missing, places of
texts (n_rows, 5), and for live rows the probability of a class, and the class. Prints JSON: CPU seconds by
task, and the most memory beside the data, in MB.
"""

import json
import os
import resource
import sys
import time

os.environ |= {"DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1", "MPLBACKEND": "Agg"}

import numpy as np
import pandas as pd

WORDS = np.array([f"value {i}" for i in range(20)])


def frame(arrays, part):
    """Return the rows of a part as a table."""
    numbers, texts = arrays[f"{part}_numbers"], arrays[f"{part}_texts"]
    columns = {f"x{i}": numbers[:, i] for i in range(numbers.shape[1])}
    columns |= {f"c{i}": WORDS[texts[:, i]] for i in range(texts.shape[1])}
    return pd.DataFrame(columns)


def evidently(reference, live, _):
    """Yield what Evidently is asked for, each to be called."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    yield "drift of 20 columns", lambda: Report([DataDriftPreset()]).run(live, reference)


def nannyml(reference, live, arrays):
    """Yield what NannyML is asked for, each to be called."""
    import nannyml

    def drift():
        names = list(reference.columns)
        found = nannyml.UnivariateDriftCalculator(
            column_names=names,
            treat_as_categorical=[name for name in names if name.startswith("c")],
            chunk_size=10_000,
        )
        found.fit(reference)
        return found.calculate(live)

    def estimate():
        parts = {}
        for part in ("reference", "live"):
            chance = arrays[f"{part}_chance"]
            parts[part] = pd.DataFrame(
                {"p": chance, "y": (chance > 0.5).astype(int), "truth": arrays[f"{part}_truth"]}
            )
        found = nannyml.CBPE(
            y_pred_proba="p",
            y_pred="y",
            y_true="truth",
            problem_type="classification_binary",
            metrics=["accuracy"],
            chunk_size=10_000,
        )
        found.fit(parts["reference"])
        return found.estimate(parts["live"].drop(columns=["truth"]))

    yield "drift of 20 columns", drift
    yield "estimated accuracy", estimate


def main():
    """Do each task once, in this process."""
    asked = {"evidently": evidently, "nannyml": nannyml}[sys.argv[1]]
    with np.load(sys.argv[2]) as data:
        arrays = {name: data[name] for name in data.files}
    reference, live = frame(arrays, "reference"), frame(arrays, "live")
    found = {}
    for task, do in asked(reference, live, arrays):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.process_time()
        do()
        more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        found[task] = [time.process_time() - started, more / 1024]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
