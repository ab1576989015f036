"""The detectors of river on given streams: run by the Python of an environment that has river and numpy.

    PYTHON benchmarks/monitoring/peers.py STREAMS.npz
    PYTHON benchmarks/monitoring/peers.py POOL.npz N_STREAMS N_ROWS

Prints JSON. The first: for each array of the file, shape (n_streams, n_values), and each detector with its
defaults, the value at which it first says drift in each stream, counted from 1, and the first one after the
change; null where it never does. The second, of columns of equally many rows: for each detector, on how many
streams, of rows drawn with replacement, it says drift of any column.
"""

import json
import sys

import numpy as np
from river import drift

DETECTORS = {
    "ADWIN": drift.ADWIN,
    "Page-Hinkley": drift.PageHinkley,
}
OF_ERRORS = {"DDM": drift.binary.DDM, "HDDM-A": drift.binary.HDDMA}


def first_alarms(make, stream, after):
    """Return where a detector first alarms, and where it first does after `after` values."""
    detector, first = make(), None
    for i, value in enumerate(stream, 1):
        detector.update(value)
        if detector.drift_detected:
            first = first or i
            if i > after:
                return first, i
    return first, None


def n_alarmed(path, n_streams, n_rows):
    """Return for each detector on how many streams without drift any column's alarms."""
    with np.load(path) as arrays:
        pool = [arrays[name] for name in sorted(arrays.files)]
    found = dict.fromkeys(DETECTORS, 0)
    for nth in range(n_streams):
        rows = np.random.default_rng(nth).integers(len(pool[0]), size=n_rows)
        for name, make in DETECTORS.items():
            found[name] += any(first_alarms(make, of[rows].tolist(), 0)[0] for of in pool)
    return found


def main():
    """Run all detectors on all streams."""
    if len(sys.argv) == 4:
        json.dump(n_alarmed(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])), sys.stdout)
        return
    found = {}
    with np.load(sys.argv[1]) as arrays:
        after = int(arrays["after"])
        for name in set(arrays.files) - {"after"}:
            known = DETECTORS | (OF_ERRORS if name.startswith("errors") else {})
            for detector, make in known.items():
                alarms = [first_alarms(make, one.tolist(), after) for one in arrays[name]]
                found.setdefault(name, {})[detector] = alarms
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
