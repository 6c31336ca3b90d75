"""How often somebody may ask for what costs: writes in a minute, streams at once.

Belongs here: counting within this process.  Does not belong here: who somebody is (``principals.py``).
"""

import threading
import time
from collections import Counter, deque

from contimg_assets.web.problems import ProblemError

_MINUTE_S = 60.0


class WriteRate:
    """Writes of each user in the last minute.

    Parameters
    ----------
    per_minute : int
        So many at most.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._times: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def count(self, user: str) -> None:
        """Count a write.

        Raises
        ------
        ProblemError
            429 if it is one too many, with the time after which there is room again.
        """
        at = time.monotonic()
        with self._lock:
            times = self._times.setdefault(user, deque())
            while times and times[0] <= at - _MINUTE_S:
                times.popleft()
            if len(times) >= self.per_minute:
                wait = max(1, round(times[0] + _MINUTE_S - at))
                raise ProblemError(
                    429,
                    f"{user} has asked for {len(times)} writes within a minute, "
                    f"expected {self.per_minute} at most",
                    {"Retry-After": str(wait)},
                )
            times.append(at)


class Streams:
    """Streams that are open.

    Parameters
    ----------
    of_one : int
        So many of one user at most.
    in_all : int
        So many at most.
    """

    def __init__(self, of_one: int, in_all: int) -> None:
        self.of_one = of_one
        self.in_all = in_all
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, user: str) -> None:
        """Open one.

        Raises
        ------
        ProblemError
            429 if it is one too many.
        """
        with self._lock:
            own, all_open = self._open[user], self._open.total()
            if own >= self.of_one or all_open >= self.in_all:
                raise ProblemError(
                    429,
                    f"{own} streams of {user} are open and {all_open} in all, "
                    f"expected {self.of_one} and {self.in_all} at most",
                    {"Retry-After": "5"},
                )
            self._open[user] += 1

    def release(self, user: str) -> None:
        """Close one."""
        with self._lock:
            self._open[user] -= 1
