"""Ticks that wait for news, so that what is new is taken up when it comes and not at the next tick.

Dagster's daemon looks for sensors that are due every five seconds, and each tick costs it and
the code server a tenth of a second.  A tick that waits is cheaper than ticks that come often,
and as quick as the file system's events.  While it waits it holds a thread of the daemon and one of
the code server: without threads for sensors it would hold all other sensors, so then it does not wait.

Belongs here: how long a tick waits.  Does not belong here: what it waits for.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from dagster import DagsterInstance

from contimg_assets.resources.daemon import is_ending

#: A tick waits for this long at most, s: it ends before the daemon looks for sensors that are due, which
#: it does every 5 s, so that the gap is small.  Dagster gives up a tick after 60 s.  The daemon, when told to
#: end, waits for its ticks: they see that and wait no longer.
LONGEST_WAIT_S = 28.0
#: Time between two looks at the station database, s.
LOOK_S = 2.0
#: A sensor whose ticks wait is due again as soon as one has ended.
INTERVAL_S = 5
_Found = TypeVar("_Found")


def may_wait(instance: DagsterInstance) -> bool:
    """Whether ticks have threads of their own (``sensors.use_threads`` of ``dagster.yaml``)."""
    return bool(instance.get_sensor_settings().get("use_threads"))


def first_found(
    instance: DagsterInstance, look: Callable[[], _Found | None], wait: Callable[[float], object] = time.sleep
) -> _Found | None:
    """Look until something is found, or the tick has waited for long enough.

    Parameters
    ----------
    instance : DagsterInstance
        Says whether a tick may wait.
    look : callable
        Returns what it finds, or None.
    wait : callable
        Waits for a number of seconds at most.

    Returns
    -------
    object or None
        What the last look found.
    """
    end = time.monotonic() + (LONGEST_WAIT_S if may_wait(instance) else 0.0)
    while True:
        found = look()
        left = end - time.monotonic()
        if found is not None or left <= 0 or is_ending(instance):
            return found
        wait(min(LOOK_S, left))
