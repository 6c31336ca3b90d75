"""Stages forked from a process that has loaded their code before.

Belongs here: the one server of this thread, asking it for a stage, and ending a stage
that must not go on.  Does not belong here: what a stage says of its work
(``resources/stage_runner.py``); the server itself (``stages/server.py``).
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contimg_assets.radio.interrupts import tidying
from contimg_assets.radio.processes import PARENT_VARIABLE
from contimg_assets.stages.server import LONGEST

_SERVER_MODULE = "contimg_assets.stages.server"
#: Time that an interrupted stage has to tidy up before it is killed, s: little, since the folders that it
#: works in are removed by who started it, and long calculations hear no signal before they end.
GRACE_S = 1.0
#: A server whose channel has closed ends within this time, s.
GONE_S = 5.0
_KIB_PER_MIB = 1024


@dataclass(frozen=True)
class Ended:
    """How a stage's process ended."""

    returncode: int
    """Its exit code, or minus the signal that killed it."""
    peak_memory_mib: float


@dataclass(frozen=True)
class Kind:
    """What all stages of one server have in common: what they find when their code is loaded."""

    loads: Path | None
    """Folder of CASA's data, with which the code of stages is loaded; None if it needs none."""
    environment: Mapping[str, str]


class _Server:
    """A process that forks stages, and the channel to it; it dies with the thread that started it."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.pid = os.getpid()
        self.channel, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        folder = [] if kind.loads is None else [str(kind.loads)]
        with its:
            # In a group of its own: a terminal's Ctrl-C is for the command, which ends the stage.
            self.process = subprocess.Popen(
                [sys.executable, "-m", _SERVER_MODULE, str(its.fileno()), *folder],
                cwd="/",
                env={**kind.environment, PARENT_VARIABLE: str(self.pid)},
                stdin=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
                process_group=0,
            )

    def serves(self, kind: Kind) -> bool:
        """Whether it is of this process, alive, and of that kind."""
        return self.pid == os.getpid() and self.kind == kind and self.process.poll() is None

    def ask(self, question: Mapping[str, Any]) -> None:
        """Let a stage be started, with this process's standard output and standard error."""
        socket.send_fds(self.channel, [json.dumps(question).encode()], [1, 2])

    def answer(self, timeout: float | None = None) -> dict[str, Any] | None:
        """What the server tells next; None if it is gone."""
        self.channel.settimeout(timeout)
        try:
            told = self.channel.recv(LONGEST)
        except ConnectionResetError:
            return None
        return json.loads(told) if told else None

    def end(self) -> int:
        """How it ended that is gone: an exit code, or minus a signal, SIGKILL where it does not say."""
        try:
            code = self.process.wait(GONE_S)
        except subprocess.TimeoutExpired:
            code = 0
        # One that could not load its modules says so on its standard error, and was not killed.
        return code or -signal.SIGKILL

    def close(self) -> None:
        """End the server, and so what it has started."""
        self.channel.close()
        if self.pid == os.getpid():
            self.process.kill()
            self.process.wait()


class _OfThread(threading.local):
    """The server of this thread, if it has one."""

    server: _Server | None = None


_here = _OfThread()


def _server(kind: Kind) -> _Server:
    server = _here.server
    if server is not None and server.serves(kind):
        return server
    close()
    server = _here.server = _Server(kind)
    atexit.register(server.close)
    return server


def close() -> None:
    """End the server of this thread, if there is one."""
    server, _here.server = _here.server, None
    if server is not None:
        atexit.unregister(server.close)
        server.close()


def run(
    kind: Kind, entry: str, arguments: Sequence[str], folder: Path, variables: Mapping[str, str]
) -> Ended:
    """Run a stage in a process of its own, and wait for its end.

    Parameters
    ----------
    kind : Kind
        Of the stage's surroundings.
    entry : str
        Module that runs a stage.
    arguments : sequence of str
        Of the stage, its name first.
    folder : Path
        In which it works.
    variables : mapping
        What its environment has beyond that of its kind.

    Returns
    -------
    Ended
        As the server, if that has ended: what it has started dies with it.
    """
    server = _server(kind)
    question = {
        "entry": entry,
        "arguments": arguments,
        "folder": str(folder),
        "environment": dict(variables),
    }
    stage: int | None = None
    try:
        try:
            server.ask(question)
        except BrokenPipeError:
            ended = None
        else:
            started = server.answer()
            stage = None if started is None else started["pid"]
            ended = server.answer()
    except BaseException:
        # The run is cancelled, or this process is asked to end: the stage must not outlive it.
        with tidying():
            _end(server, stage)
        raise
    if ended is None:
        code = server.end()
        close()
        return Ended(code, 0.0)
    return Ended(os.waitstatus_to_exitcode(ended["status"]), ended["peak_kib"] / _KIB_PER_MIB)


def _end(server: _Server, stage: int | None) -> None:
    """Interrupt a stage, and kill all that it has started and the server."""
    if stage is not None:
        with suppress(ProcessLookupError):
            os.killpg(stage, signal.SIGINT)
        with suppress(TimeoutError):
            server.answer(GRACE_S)
        with suppress(ProcessLookupError):
            os.killpg(stage, signal.SIGKILL)
    close()
