"""Reading the next part of a group while the last is worked on."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetch(n: int, read: Callable[[int], T]) -> Iterator[T]:
    """``read(0)``, ``read(1)``, …, ``read(n − 1)``, each begun when the one before it is handed out.

    All reading is done by one thread.  It gains time when the caller works in compiled code
    that lets other threads run.  What is handed out may be overwritten by the read after the
    next, so two buffers in turn are enough.

    Parameters
    ----------
    n : int
    read : callable
        Takes the number of the part.

    Yields
    ------
    T
    """
    with ThreadPoolExecutor(1) as reader:
        coming = [reader.submit(read, k) for k in range(min(n, 1))]
        for k in range(n):
            part = coming.pop().result()
            if k + 1 < n:
                coming.append(reader.submit(read, k + 1))
            yield part
