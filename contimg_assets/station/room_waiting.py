"""A command in the foreground waits for room on the disk, as sensors do, and has retention make some.

Belongs here: that wait.  Does not belong here: when there is room (``space.py``), or what
goes (``retention.py``).
"""

import time
from collections.abc import Callable

from sqlalchemy import Engine

from contimg_assets.radio.errors import StorageError
from contimg_assets.settings import Settings
from contimg_assets.station.alerts import Notifier
from contimg_assets.station.retention import carry_out, everything
from contimg_assets.station.space import Guard
from contimg_assets.station.storage import LOOK_S, PATIENCE_S
from contimg_assets.station.store import Store


def wait_for_room(engine: Engine, settings: Settings, tell: Callable[[str], None]) -> None:
    """Wait until the disk has room for one more group; what may go goes first.

    Parameters
    ----------
    engine : Engine
        Of the station database.
    settings : Settings
        Of the same installation.
    tell : callable
        Told once what is waited for.

    Raises
    ------
    StorageError
        If there is still no room after an hour.
    """
    guard, notifier = Guard(engine, settings), Notifier(settings.home)
    space = guard.judge(notifier)
    deadline, told = time.monotonic() + PATIENCE_S, False
    while space.stopped:
        removals = everything(engine, settings, wanted_bytes=space.wanted_bytes)
        if not carry_out(engine, Store(settings.home, settings.scratch), removals):
            if not told:
                tell(f"waiting for room: {space.text}")
                told = True
            if time.monotonic() > deadline:
                raise StorageError(space.text, settings.home)
            time.sleep(LOOK_S)
        space = guard.judge(notifier)
