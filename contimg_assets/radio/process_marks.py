"""Which process something belongs to, and whether it still runs, as far as this one can see.

Belongs here: telling processes of one machine apart, and the mark that a name on
disk carries of the process that made it.  The mark is a part of the name, so that
nothing is ever there without it.  Does not belong here: what follows from a
process's end (``station/lease_judge.py``, ``station/leftovers.py``).
"""

import hashlib
import os
import re
from pathlib import Path

from contimg_assets.radio.processes import bound_to

_PROC = Path("/proc")
#: Fields of /proc/<pid>/stat that follow the command's name: state, and start in clock ticks since boot.
_STATE, _START = 0, 19
#: Ended, but not yet fetched by its parent.
_ENDED = ("Z", "X")
#: Digits by which a mark names a machine.
_MACHINE_LENGTH = 8
_MARK = re.compile(rf"\.([0-9a-f]{{{_MACHINE_LENGTH}}})((?:-\d+-\d+)+)$")


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


def marked(name: str) -> str:
    """A name with the mark of this process, and of the one to whose life it is bound if there is one.

    Parameters
    ----------
    name : str
        Of a file or folder to be made.

    Returns
    -------
    str
        The name as it is if this system does not say which process is which.
    """
    machine, mark = _machine(), ""
    for pid in (os.getpid(), bound_to()):
        fields = _stat(pid) if pid is not None else None
        mark += f"-{pid}-{fields[_START]}" if fields is not None else ""
    return name if machine is None or not mark else f"{name}.{_short(machine)}{mark}"


def maker_has_ended(name: str) -> bool:
    """Whether a name carries the mark of a process of this machine that has certainly ended.

    False also for a name without a mark, and for that of a process which this one cannot see.
    """
    machine, processes = _processes_of(name)
    here = _machine()
    if here is None or machine != _short(here):
        return False
    return any(is_gone(pid, f"{here} {start}") for pid, start in processes)


def was_made_by(name: str, pid: int, identity: str) -> bool:
    """Whether a name carries the mark of a process, or of one that was bound to its life.

    Parameters
    ----------
    name : str
        Of a file or folder.
    pid : int
        Of the process, which may be of another machine.
    identity : str
        From :func:`process_identity` there.
    """
    its_machine, _, its_start = identity.rpartition(" ")
    machine, processes = _processes_of(name)
    return machine == _short(its_machine) and (pid, its_start) in processes


def _short(machine: str) -> str:
    return hashlib.sha256(machine.encode()).hexdigest()[:_MACHINE_LENGTH]


def _processes_of(name: str) -> tuple[str, list[tuple[int, str]]]:
    """Machine, and pids with their starts, of a name's mark; empty if it has none."""
    found = _MARK.search(name)
    if found is None:
        return "", []
    numbers = found[2].removeprefix("-").split("-")
    return found[1], [(int(pid), start) for pid, start in zip(numbers[::2], numbers[1::2], strict=True)]
