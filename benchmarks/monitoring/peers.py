"""The detectors of river on given streams: run by the Python of an environment that has river and numpy.

    PYTHON benchmarks/monitoring/peers.py STREAMS.npz

Prints JSON: for each array of the file, shape (n_streams, n_values), and each detector with its defaults, the
value at which it first says drift in each stream, counted from 1; null where it never does.
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


def main():
    """Run all detectors on all streams."""
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
