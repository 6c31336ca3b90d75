"""Work in a thread to which the kernel gives no network socket.

CASA's tools open a port to all machines as soon as they are imported (a registry of gRPC, by which its own
programs with windows find them; no setting closes it), and go on without when they cannot.  Belongs here:
such a thread.  Does not belong here: CASA's surroundings (``casa.py``).
"""

import ctypes
import errno
import logging
import os
import platform
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

log = logging.getLogger(__name__)

#: By machine: its name in ``linux/audit.h``, and the numbers of the calls ``socket`` and ``seccomp``.
_MACHINES = {"x86_64": (0xC000003E, 41, 317), "aarch64": (0xC00000B7, 198, 277)}
#: ``prctl`` (linux/prctl.h): no program that this thread starts has more rights than it has.
_NO_NEW_PRIVILEGES = 38
#: ``seccomp`` (linux/seccomp.h): set a filter; one that costs no protection against guessed branches.
_SET_FILTER, _SPEC_ALLOW = 1, 4
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EACCES
#: Statements of filters (linux/filter.h): load a word, compare it, answer.
_LOAD, _IS, _ANSWER = 0x20, 0x15, 0x06
#: Where a call's number, its machine and its first argument are (``struct seccomp_data``).
_NUMBER, _MACHINE, _FIRST = 0, 4, 16


class _Statement(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8))
    _fields_ += (("k", ctypes.c_uint32),)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("statements", ctypes.POINTER(_Statement)))


def unconnected(work: Callable[[], object]) -> None:
    """Do something in a thread that can open no network socket, nor can threads that it starts.

    The process's other threads are as before.  Where the kernel refuses such a thread, it is done
    with the network, and the log says so.

    Parameters
    ----------
    work : callable
        What it raises is raised here.
    """
    with ThreadPoolExecutor(1, "unconnected", _try_to_refuse) as threads:
        threads.submit(work).result()


def _try_to_refuse() -> None:
    try:
        _refuse_network()
    except OSError as error:
        log.warning("CASA may open a port to other machines: %s", error)


def _refuse_network() -> None:
    """Have the kernel refuse this thread sockets of the Internet's families, for good.

    Raises
    ------
    OSError
        If the kernel does not.
    """
    if platform.machine() not in _MACHINES:
        raise OSError(
            errno.ENOSYS, f"found the machine {platform.machine()}; expected {', '.join(_MACHINES)}"
        )
    machine, socket_call, seccomp_call = _MACHINES[platform.machine()]
    steps = [
        (_LOAD, 0, 0, _MACHINE),
        (_IS, 0, 5, machine),
        (_LOAD, 0, 0, _NUMBER),
        (_IS, 0, 3, socket_call),
        (_LOAD, 0, 0, _FIRST),
        (_IS, 2, 0, int(socket.AF_INET)),
        (_IS, 1, 0, int(socket.AF_INET6)),
        (_ANSWER, 0, 0, _ALLOW),
        (_ANSWER, 0, 0, _REFUSE),
    ]
    statements = (_Statement * len(steps))(*(_Statement(*step) for step in steps))
    program = _Program(len(steps), statements)
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        raise _told("prctl(PR_SET_NO_NEW_PRIVS)")
    if library.syscall(seccomp_call, _SET_FILTER, _SPEC_ALLOW, ctypes.byref(program)) != 0:
        raise _told("seccomp")


def _told(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")
