"""An event loop that lives as long as its process, in a thread of its own.

Serve's handles hear of new replicas only on a loop that lives on.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

Made = TypeVar("Made")


class LivingLoop:
    """Runs coroutines of any threads; the thread starts with the first, and ends with the process."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._starting = threading.Lock()

    def begin(self, coroutine: Coroutine[Any, Any, Made]) -> Future[Made]:
        """Begin to run a coroutine, and return what will hold its result."""
        with self._starting:
            if not self._thread.is_alive():
                self._thread.start()
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
