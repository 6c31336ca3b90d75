"""When a group's files are taken, and what becomes of files that come late: the rules.

Belongs here: pure functions that the incoming folder and the commands share.
Does not belong here: looking at folders (``incoming_folder.py``), or entering
groups (``registration.py``).
"""

import math
from datetime import datetime, timedelta
from typing import Literal

#: Of the files that there are: all subbands, enough of them, or too few.
Status = Literal["complete", "partial", "bad"]
#: What is done with a group now: nothing yet; entered while it collects its files; processed; failed.
Step = Literal["wait", "collect", "take", "give up"]
#: What is done with files of a group that is registered: they are entered with it; all of its files are
#: looked at again; or each is accounted for and the group stays as it is.
Late = Literal["join", "again", "settle"]
#: Time since the last arrival where nothing more is expected: a folder that is taken as it stands.
NOTHING_MORE = math.inf
#: Said of a second file with the same content.
COPY = "identical copy of a file in use"


def next_step(
    status: Status, waited_s: float, timeout_s: float, *, unread: bool = False, growing: bool = False
) -> Step:
    """What to do with a group.

    A group with all subbands is taken at once, one with enough of them when nothing
    has come for the timeout, and one with fewer is given up then.

    Parameters
    ----------
    status : str
        Of the files that have been read.
    waited_s : float
        Time since the last of them arrived, s, or :data:`NOTHING_MORE`.
    timeout_s : float
        Setting ``ingest.timeout_s``.
    unread, growing : bool
        Whether there are files near in time that have not been read yet, or are still being
        written.  Near a complete group that is a second file of one of its subbands, as it
        seems, and is compared first; one that grows has until the timeout.
    """
    overdue = waited_s >= timeout_s
    if status == "complete":
        return "wait" if unread or (growing and not overdue) else "take"
    if unread or growing or not overdue:
        return "collect"
    return "take" if status == "partial" else "give up"


def late_step(state: str, *, rejected: bool, strangers: bool) -> Late:
    """What to do with files of a group that is known.

    Parameters
    ----------
    state : str
        Of the group.
    rejected : bool
        It failed for lack of files, and nothing was made of it.
    strangers : bool
        Some of the files are not among those that it was entered with.
    """
    if state == "collecting" or (state == "pending" and not strangers):
        return "join"
    if state == "pending" or (state == "failed" and rejected):
        return "again"
    return "settle"


def late_outcome(
    state: str, n_subbands: int, rival: str | None, *, identical: bool
) -> tuple[Literal["duplicate", "refused", "late"], str]:
    """What becomes of a good file that came when its group was made of others, and why.

    Parameters
    ----------
    state : str
        Of the group.
    n_subbands : int
        With so many it was made.
    rival : str or None
        Name of the file of the same subband that is in use, if there is one.
    identical : bool
        Whether that has the same content.
    """
    if rival is None:
        return "late", f"came when the group was {state} already, with {n_subbands} subbands"
    if identical:
        return "duplicate", COPY
    return "refused", f"other content than {rival}, of which the group was made"


def is_near(stamp: datetime, first: datetime, last: datetime, cluster_s: float) -> bool:
    """Whether a file's name, by its stamp, may belong to a group whose stamps go from one time to another."""
    reach = timedelta(seconds=cluster_s)
    return first - reach <= stamp <= last + reach
