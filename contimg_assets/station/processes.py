"""Whether a process that is known from the database still runs, as far as this one can see.

Belongs here: telling processes of one machine apart.  Does not belong here:
what follows from it (``lease_judge.py``).
"""

import os
from pathlib import Path

_PROC = Path("/proc")
#: Fields of /proc/<pid>/stat that follow the command's name: state, and start in clock ticks since boot.
_STATE, _START = 0, 19
#: Ended, but not yet fetched by its parent.
_ENDED = ("Z", "X")


def _machine() -> str | None:
    """This boot of this machine, and the name space in which pids count (a container has its own)."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:  # no such files: not Linux
        return None


def _stat(pid: int) -> list[str] | None:
    """Fields of a process that follow its name; None if there is none, or this user must not see it."""
    try:
        # The name may hold spaces and brackets; what follows the last bracket does not.
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def process_identity(pid: int) -> str | None:
    """What tells a living process from any other that has or had its pid, here or elsewhere.

    Parameters
    ----------
    pid : int
        Of a process on this machine.

    Returns
    -------
    str or None
        None if this system does not say.
    """
    machine, fields = _machine(), _stat(pid)
    return None if machine is None or fields is None else f"{machine} {fields[_START]}"


def is_gone(pid: int, identity: str) -> bool:
    """Whether a process has certainly ended.

    Parameters
    ----------
    pid : int
        Its pid.
    identity : str
        From :func:`process_identity` in that process.

    Returns
    -------
    bool
        False also if it ran where this process cannot see.
    """
    machine = _machine()
    if machine is None or not identity.startswith(f"{machine} "):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's, so it is there
        pass
    fields = _stat(pid)
    # Where processes of other users are hidden, only that there is one is known.
    return fields is not None and (fields[_STATE] in _ENDED or identity != f"{machine} {fields[_START]}")
