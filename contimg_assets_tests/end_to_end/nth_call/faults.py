"""A function in a process of its own that is killed, or gets an error, at exactly its Nth system call.

The server process has imported everything; a fault costs a fork and an strace that
attaches to it.  strace counts each call by its name and by process, so a point is a
name and a number.  Belongs here: forking, tracing, and which calls a function makes.
Does not belong here: what is tried (``operations.py``), or what must be true (``sweep.py``).
"""

import json
import os
import re
import socket
import subprocess
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Calls that change what is on disk.
CALLS = (
    *("rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir"),
    *("link", "linkat", "symlink", "symlinkat", "write", "pwrite64", "fsync", "fdatasync"),
    *("ftruncate", "openat"),
)
#: Time within which strace attaches on a machine under load, s.
_ATTACHED_S = 120.0
#: One traced call: process, name, arguments.
_LINE = re.compile(r"^(\d+)\s+(\w+)\((.*)")


@dataclass(frozen=True)
class Point:
    """One place for a fault."""

    call: str
    number: int
    mode: str
    """``KILL``, or the name of an error."""

    def __str__(self) -> str:
        return f"{self.mode} at {self.call} {self.number}"

    @property
    def option(self) -> str:
        """As strace takes it."""
        what = "signal=KILL" if self.mode == "KILL" else f"error={self.mode}"
        return f"inject={self.call}:{what}:when={self.number}"


@dataclass(frozen=True)
class Ended:
    """How a child ended."""

    status: int
    """Exit status, negative for a signal."""
    value: Any
    """What the function returned."""
    error: str
    """Traceback of what it raised; empty if it returned."""


def in_child(function: Callable[[], Any], *options: str, log: Path | None = None) -> Ended:
    """Call a function in a child of this process, under strace if there are options for it.

    Parameters
    ----------
    function : callable
        Returns what JSON can hold.
    *options : str
        Expressions for strace's ``-e``.
    log : Path, optional
        Where strace writes the calls.
    """
    ours, its = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        _be_the_child(function, its)
    its.close()
    tracer = _attach(child, options, log) if options else None
    ours.send(b"x")
    with ours, ours.makefile() as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    if tracer is not None:
        tracer.wait()
    said = json.loads(text) if text else {"value": None, "error": ""}
    return Ended(os.waitstatus_to_exitcode(status), said["value"], said["error"])


def _be_the_child(function: Callable[[], Any], parent: socket.socket) -> None:
    """Wait for a word, call the function, say what came of it, and end: whatever happens, not go on."""
    value, error = None, ""
    try:
        parent.recv(1)
        value = function()
    except BaseException:  # noqa: BLE001 - whatever it is, the parent judges it
        error = traceback.format_exc()
    try:
        # By a call that no fault is given: a write might be the one.
        parent.sendall(json.dumps({"value": value, "error": error}).encode())
    finally:
        os._exit(1 if error else 0)


def _attach(child: int, options: tuple[str, ...], log: Path | None) -> "subprocess.Popen[bytes]":
    expressions = [part for option in options for part in ("-e", option)]
    command = ["strace", "-f", "-qq", *expressions, "-o", str(log or os.devnull), "-p", str(child)]
    tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + _ATTACHED_S
    while "TracerPid:\t0" in Path(f"/proc/{child}/status").read_text():
        if tracer.poll() is not None or time.monotonic() > deadline:
            told = tracer.stderr.read().decode() if tracer.stderr and tracer.poll() is not None else ""
            raise RuntimeError(f"strace does not attach: {told}")
        time.sleep(0.002)
    return tracer


def calls_of(function: Callable[[], Any], folder: Path, home: Path) -> tuple[Ended, list[tuple[str, int]]]:
    """Run a function undisturbed; how it ended, and its calls that change a home, as names and numbers."""
    log = folder / "strace.log"
    ended = in_child(function, f"trace={','.join(CALLS)}", log=log)
    matches = (_LINE.match(line) for line in log.read_text().splitlines())
    lines = [match for match in matches if match is not None]
    child = lines[0][1]
    counts: Counter[str] = Counter()
    found: list[tuple[str, int]] = []
    for line in lines:
        if line[1] != child:
            continue  # a program that it started: its own calls fail as that program fails
        counts[line[2]] += 1
        # Opening for reading changes nothing; files elsewhere (pipes, modules) are none of ours.
        makes = line[2] != "openat" or ("O_CREAT" in line[3] and str(home) in line[3])
        if makes:
            found.append((line[2], counts[line[2]]))
    return ended, found
