"""What several who ask at once share.

Belongs here: keeping an answer for a moment within this process.  Does not belong here: looking.
"""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lately(Generic[T]):
    """The last answer, for a moment: of several that ask at once, one looks.

    Parameters
    ----------
    seconds : float
        For so long.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._lock = threading.Lock()
        self._kept: tuple[float, T] | None = None

    def get(self, look: Callable[[], T]) -> T:
        """The answer, looked for anew if the last one is too old."""
        with self._lock:
            if self._kept is None or time.monotonic() > self._kept[0] + self.seconds:
                found = look()
                self._kept = (time.monotonic(), found)
            return self._kept[1]
