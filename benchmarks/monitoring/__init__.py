"""What the signals of monitoring promise, measured: false alarms, rows to detection, cost."""
