"""Whether a process that is known from the database still runs, as far as this one can see.

Belongs here: telling processes of one machine apart.  Does not belong here:
what follows from it (``lease_judge.py``).
"""

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


def process_identity(pid: int) -> str | None:
    """What tells a living process from any other that has or had its pid, here or elsewhere.

    Parameters
    ----------
    pid : int
        Of a process on this machine.

    Returns
    -------
    str or None
        None if no such process runs, or this system does not say.
    """
    machine = _machine()
    try:
        # The name may hold spaces and brackets; what follows the last bracket does not.
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if machine is None or fields[_STATE] in _ENDED else f"{machine} {fields[_START]}"


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
    seen_from_here = machine is not None and identity.startswith(f"{machine} ")
    return seen_from_here and process_identity(pid) != identity
