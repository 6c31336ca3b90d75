"""How a stage's process handles its memory.

Belongs here: what concerns the whole process.  What each computation needs is its own business.
"""

import ctypes
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
