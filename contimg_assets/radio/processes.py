"""A process that ends when the one that started it does, or at once.

Belongs here: how a stage, and a program that a stage starts, are bound to the
life of their parent, and how long the end of a process takes.  Does not belong
here: starting and waiting for stages (``resources/stage_runner.py``).
"""

import atexit
import ctypes
import gc
import os
import signal
from collections.abc import Sequence

#: Variable in which the process that starts a stage gives its own number.
PARENT_VARIABLE = "CONTIMG_STAGE_PARENT"
#: ``prctl``'s option (linux/prctl.h).
_SET_PDEATHSIG = 1
#: The process to whose life this one is bound.
_parent: int | None = None


def bound_to() -> int | None:
    """Number of the process with which this one dies; None if it dies with none."""
    return _parent


def die_with_parent() -> None:
    """Let the kernel kill this process as soon as its parent is gone.

    The parent gives its number in the environment; without one (a stage that a
    person starts) nothing changes.  "Gone" is the *thread* that started this
    process: it must be one that waits for it.

    Raises
    ------
    OSError
        If the kernel refuses.
    """
    parent = os.environ.pop(PARENT_VARIABLE, None)
    if parent is not None:
        bind(int(parent), int(parent))


def bind(parent: int, owner: int | None) -> None:
    """Let the kernel kill this process as soon as the thread that started it is gone.

    Parameters
    ----------
    parent : int
        The process that started this one.
    owner : int or None
        The one to whose life both are bound: the parent, or one that the parent dies with.

    Raises
    ------
    OSError
        If the kernel refuses.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_PDEATHSIG): {os.strerror(number)}")
    # It may have died before that: then nobody would ever tell.
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    global _parent
    _parent = owner


def bound(command: Sequence[str]) -> list[str]:
    """A command whose process dies with the one that starts it.

    ``setpriv`` is of util-linux, which every Debian has.  A function between fork and
    exec would do the same, but may hang in a process that has threads.
    """
    return ["setpriv", "--pdeathsig", "KILL", "--", *command]


def end_at_once() -> None:
    """Let this process's interpreter not look for garbage when it ends.

    Among the objects that Dagster's modules make, that takes a second: of a command that was
    interrupted too.  What is not garbage is removed as ever.
    """
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
