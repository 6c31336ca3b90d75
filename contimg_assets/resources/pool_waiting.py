"""How a run waits for a place in a pool: asleep, and not for long.

Dagster 1.13 takes the least of zero and of the times until it looks at a pool again for how long a run
may sleep, so that a run that waits turns in a circle and takes a whole core from the stages that it waits
for; and it looks ever more seldom, after a minute once in ten seconds, in which a free place stays empty.

Belongs here: putting that right.  Does not belong here: which pools there are (``assets/publishing.py``) and
how many places they have (``dagster.yaml``).
"""

import time

from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext

#: A run that waits looks this often, s: a look is a transaction on Dagster's database.
LOOK_S = 2.0


def _until_next_look(self: InstanceConcurrencyContext) -> float:
    """Seconds until a place is asked for again; none is asked for later than ``LOOK_S`` from now."""
    now = time.time()
    for step, at in self._pending_timeouts.items():
        self._pending_timeouts[step] = min(at, now + LOOK_S)
    return max(0.0, min(self._pending_timeouts.values(), default=now) - now)


def wait_quietly() -> None:
    """Have the runs of this process wait so."""
    InstanceConcurrencyContext.interval_to_next_pending_claim_check = _until_next_look
