"""A seeded schedule of faults over a station at work.

Belongs here: which faults there are, their schedule, and doing them.  The same seed
gives the same schedule; what each fault hits depends on what is at work then, so the
history says it.  Does not belong here: services (``services.py``), or what must be
true afterwards (``checker.py``).
"""

import errno
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from contimg_assets_tests.end_to_end.station.checker import is_stage
from contimg_assets_tests.end_to_end.station.services import (
    Station,
    children_of,
    command_of,
    lose_machine,
    parent_of,
    session_of,
)

WORKERS = ("one", "two")
#: How far the second worker's clock is off.
CLOCK = "-2h"
#: Faults, each as often as it is named.
FAULTS = (
    *("run", "stage", "run", "stage", "server", "worker", "machine", "daemon", "code"),
    *("redis", "pgbouncer", "postgres", "pause", "pause", "disk"),
)
#: A fault lasts this long, and the station has this long until the next one, s.
LASTS_S, REST_S = (0.5, 5.0), (2.0, 7.0)
#: So long a fault of a stage waits for one, s.
STAGE_S = 10.0


@dataclass(frozen=True)
class Fault:
    """One fault of a schedule."""

    kind: str
    lasts_s: float
    rest_s: float
    draw: random.Random
    """What it hits, of what is there."""


def schedule(seed: int) -> Iterator[Fault]:
    """Faults without end, the same for the same seed; of every hand of them, each kind at least once."""
    rng = random.Random(seed)
    while True:
        hand = list(FAULTS)
        rng.shuffle(hand)
        for kind in hand:
            yield Fault(kind, rng.uniform(*LASTS_S), rng.uniform(*REST_S), random.Random(rng.random()))


@dataclass
class Nemesis:
    """Does faults to a station, and keeps their history."""

    made: Station
    history: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def start_workers(self) -> None:
        """Both workers; the second one's clock is off."""
        for name in WORKERS:
            self._start_worker(name)

    def _start_worker(self, name: str) -> None:
        self.made.start_worker(name, clock=CLOCK if name == WORKERS[1] else "")

    def do(self, fault: Fault) -> bool:
        """Do one fault to its end; whether there was anything to hit."""
        said = getattr(self, f"_{fault.kind}")(fault)
        self.history.append(
            f"{time.monotonic() - self.began:7.1f} s  {fault.kind}: {said or 'nothing to hit'}"
        )
        print(self.history[-1], flush=True)
        return bool(said)

    # Processes

    def _run(self, fault: Fault) -> str:
        """kill -9 of the process that runs a run."""
        name = fault.draw.choice(WORKERS)
        return self._kill_one(fault, self._pool(name))

    def _stage(self, fault: Fault) -> str:
        """kill -9 of a stage, or of the next one."""
        return self._kill_one(fault, self._stages())

    def _server(self, fault: Fault) -> str:
        """kill -9 of the process that a stage, or the next one, was forked from."""
        servers = {parent for pid in self._stages() if (parent := parent_of(pid)) is not None}
        return self._kill_one(fault, list(servers))

    def _stages(self) -> list[int]:
        """Stages at work; waits for one."""
        deadline = time.monotonic() + STAGE_S
        while not (found := self._stages_now()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def _stages_now(self) -> list[int]:
        found = [pid for name in WORKERS for pid in session_of(self.made.processes[name].pid)]
        return [pid for pid in found if is_stage(command_of(pid))]

    def _pool(self, name: str) -> list[int]:
        """Processes of a worker that run runs."""
        try:
            return children_of(self.made.processes[name].pid)
        except FileNotFoundError:
            return []

    def _kill_one(self, fault: Fault, pids: list[int]) -> str:
        if not pids:
            return ""
        pid = fault.draw.choice(sorted(pids))
        told = f"{pid} {command_of(pid)[-60:]}"
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return ""
        return told

    def _worker(self, fault: Fault) -> str:
        """kill -9 of a worker's main process alone."""
        name = fault.draw.choice(WORKERS)
        process = self.made.processes[name]
        process.kill()
        process.wait()
        time.sleep(fault.lasts_s)
        self._start_worker(name)
        return name

    def _machine(self, fault: Fault) -> str:
        """Everything of a worker at once."""
        name = fault.draw.choice(WORKERS)
        lose_machine(self.made.processes[name])
        time.sleep(fault.lasts_s)
        self._start_worker(name)
        return name

    # Services

    def _service(self, fault: Fault, name: str, start: Callable[[], object]) -> str:
        self.made.kill(name)
        time.sleep(fault.lasts_s)
        start()
        return f"for {fault.lasts_s:.1f} s"

    def _daemon(self, fault: Fault) -> str:
        return self._service(fault, "daemon", self.made.start_daemon)

    def _code(self, fault: Fault) -> str:
        return self._service(fault, "code", self.made.start_code_server)

    def _redis(self, fault: Fault) -> str:
        return self._service(fault, "redis", self.made.start_redis)

    def _pgbouncer(self, fault: Fault) -> str:
        return self._service(fault, "pgbouncer", self.made.start_pgbouncer)

    def _postgres(self, fault: Fault) -> str:
        """The database server ends at once, and comes back."""
        self.made.server.stop()
        time.sleep(fault.lasts_s)
        self.made.server.start()
        return f"for {fault.lasts_s:.1f} s"

    def _pause(self, fault: Fault) -> str:
        """Several are stopped one by one, and go on in another order."""
        names = fault.draw.sample(sorted(self.made.processes), fault.draw.randint(2, 4))
        stopped = {name: session_of(self.made.processes[name].pid) for name in names}
        for pids in stopped.values():
            _signal(pids, signal.SIGSTOP)
            time.sleep(fault.lasts_s / len(names))
        fault.draw.shuffle(names)
        for name in names:
            time.sleep(fault.lasts_s / len(names))
            _signal(stopped[name], signal.SIGCONT)
        return f"{', '.join(names)}, for some {fault.lasts_s:.1f} s"

    def _disk(self, fault: Fault) -> str:
        """The home's file system is full for a while, if it is one of its own."""
        if not os.path.ismount(self.made.home):
            return ""
        filler = self.made.home / "filler"
        try:
            with filler.open("wb", buffering=0) as handle:
                while True:
                    handle.write(b"0" * (1 << 20))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        time.sleep(fault.lasts_s)
        size = filler.stat().st_size
        filler.unlink()
        return f"{size >> 20} MiB filled for {fault.lasts_s:.1f} s"


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def room(home: Path) -> bool:
    """Whether a home can be on a small file system of its own: only root mounts."""
    return os.geteuid() == 0 and home.is_dir()
