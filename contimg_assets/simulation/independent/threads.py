"""How many threads a compiled loop is given."""

from collections.abc import Iterator
from contextlib import contextmanager

import numba

#: Inner steps of a few ns each below which other threads are not worth waking: some 20 ms.
_WORTH_WAKING = 4_000_000


@contextmanager
def threads_for(n_steps: int) -> Iterator[None]:
    """One thread for a small loop: where other programs run, waiting for a second takes longer than the loop.

    Parameters
    ----------
    n_steps : int
        Inner steps of the loops in the block.
    """
    before = numba.get_num_threads()
    numba.set_num_threads(before if n_steps > _WORTH_WAKING else 1)
    try:
        yield
    finally:
        numba.set_num_threads(before)
