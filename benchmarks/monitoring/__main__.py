"""The command: `python -m benchmarks.monitoring false-alarms --streams 1000`, and the others."""

from __future__ import annotations

import argparse
import sys

from benchmarks.monitoring import false_alarms


def main() -> None:
    """Run what was asked for, and print its table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.monitoring", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    false = commands.add_parser("false-alarms", help="streams without drift that ever alarm")
    false.add_argument("--streams", type=int, default=1_000)
    false.add_argument("--features", type=int, default=20)
    false.add_argument("--windows", type=int, default=100)
    false.add_argument("--window-rows", type=int, default=10_000)
    false.add_argument("--run-rows", type=int, default=1, help="rows in a row that are one and the same")
    asked = parser.parse_args()
    setting = false_alarms.Setting(
        asked.streams, asked.features, asked.windows, asked.window_rows, run_rows=asked.run_rows
    )
    sys.stdout.write(false_alarms.HEAD)
    for row in false_alarms.false_alarms(setting):
        sys.stdout.write(row.line())


if __name__ == "__main__":
    main()
