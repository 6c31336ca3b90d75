"""SIGINT and SIGTERM, obeyed once: what raises, what is noted, and the tidying up that neither breaks off.

Belongs here: signals of this process.  Does not belong here: what becomes of a
group whose work was interrupted (``station/leases.py``), or ending a stage
(``resources/stage_runner.py``).

Dagster sets handlers of its own around every step, which raise the same for both
signals and do not say which one came.  So the signals are noted apart from the
handlers, by the kernel's number as Python's C code writes it to a pipe.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

#: What a person's Ctrl-C, and a service manager, send.
SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: Exit code of a process that a signal ended: this and its number, as shells have it.
_SIGNALLED = 128


class Interrupted(KeyboardInterrupt):
    """This process was asked to end.

    Parameters
    ----------
    number : signal.Signals
        By which signal.
    told : str
        What that means for the work in hand, if there is anything to say.
    """

    def __init__(self, number: signal.Signals, told: str = "") -> None:
        super().__init__(f"interrupted by {number.name}" + (f": {told}" if told else ""))
        self.number = number

    @property
    def exit_code(self) -> int:
        """130 for SIGINT, 143 for SIGTERM."""
        return _SIGNALLED + self.number


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Both signals go to a handler for the length of the block; nothing outside of the main thread."""
    if not _on_main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            # None: a handler that was not set by Python, which cannot be set again.
            signal.signal(number, signal.SIG_DFL if earlier is None else earlier)


@contextmanager
def raising() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise :class:`Interrupted` for the length of the block."""

    def handler(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(signal.Signals(number))

    with _handling(handler):
        yield


@contextmanager
def tidying() -> Iterator[None]:
    """Let no further signal break off the block: it tidies up after the first, and is short."""
    with _handling(lambda _number, _frame: None):
        yield


class _Noted:
    """The pipe to which signals of this process are written, made when it is first wanted."""

    read_end: int | None = None
    last: signal.Signals | None = None
    pid: int | None = None


def note_signals() -> None:
    """Note from now on which of the signals come; those that came before are forgotten.

    Nothing outside of the main thread, where no handler can raise either.
    """
    if not _on_main_thread():
        return
    if _Noted.read_end is None or _Noted.pid != os.getpid():
        _Noted.read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        _Noted.pid = os.getpid()
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    noted()
    _Noted.last = None


def noted() -> signal.Signals | None:
    """The last of the signals that came since :func:`note_signals`; None if none did."""
    while _Noted.read_end is not None:
        try:
            numbers = os.read(_Noted.read_end, 64)
        except BlockingIOError:
            break
        for number in numbers:
            if number in SIGNALS:
                _Noted.last = signal.Signals(number)
    return _Noted.last
