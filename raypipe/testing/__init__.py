"""Public fakes and contract suites, for raypipe's tests and for its users' own."""

from raypipe.testing.fakes import FailingDisk, FakeClock

__all__ = ["FailingDisk", "FakeClock"]
