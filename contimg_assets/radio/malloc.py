"""How a stage's process handles its memory, and its threads while they have nothing to do.

Belongs here: what concerns the whole process.  What each computation needs is its own business.
"""

import ctypes
import os
import platform

#: ``mallopt``'s parameters (malloc.h).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_memory() -> None:
    """Keep what is freed for what is asked for next, until the process ends.

    Stages allocate and free the same arrays over and over (an integration's, or grids).  The C
    library would map each anew, and the kernel would clear every page of it: a fifth of a
    full-size image's time.  Where the C library is not GNU's, nothing changes.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def idle_quietly() -> None:
    """Let threads of compiled loops sleep while they wait for the next loop; before numba starts any.

    GNU's OpenMP has them turn in a circle for milliseconds, as if nobody else wanted the core: a third of
    a conversion's CPU time, and in its way the thread that writes.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
