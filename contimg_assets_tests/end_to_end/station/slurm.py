"""A Slurm cluster of two nodes on this machine, without systemd: Debian's slurm-wlm and munge.

Belongs here: daemons, their configuration, and batch jobs.  Everything lies below
one folder and listens on loopback.  Does not belong here: what pilots do.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contimg_assets_tests.end_to_end.station.checker import carrying
from contimg_assets_tests.end_to_end.station.services import (
    REPOSITORY,
    START_S,
    Station,
    free_port,
    lose_machine,
    wait_until,
)

PILOT = REPOSITORY / "deploy" / "slurm" / "pilot.sh"
NODES = ("n1", "n2")
CONFIGURATION = """
ClusterName=contimg
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=15
MinJobAge=900
SchedulerParameters=batch_sched_delay=0,sched_interval=2
{nodes}
PartitionName=bulk Nodes=n1,n2 Default=YES State=UP
"""


class Cluster:
    """Two nodes and a controller.

    Parameters
    ----------
    folder : Path
        Of the cluster's own; it and its parents can be entered by others, else munge refuses.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        for name in ("munge", "state", "spool", *(f"spool/{node}" for node in NODES)):
            (folder / name).mkdir()
        key = folder / "munge" / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        host = socket.gethostname().partition(".")[0]
        address = f"NodeHostname={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000"
        nodes = "\n".join(f"NodeName={node} {address} Port={free_port()}" for node in NODES)
        text = CONFIGURATION.format(host=host, controller=free_port(), folder=folder, nodes=nodes)
        (folder / "slurm.conf").write_text(text)

    def start(self) -> None:
        """Start munge, the controller and both nodes; wait until the nodes are idle."""
        munge = self.folder / "munge"
        files = {
            "key-file": "key",
            "socket": "socket",
            "pid-file": "pid",
            "log-file": "log",
            "seed-file": "seed",
        }
        options = [f"--{name}={munge / file}" for name, file in files.items()]
        self._start("munged", ["--force", "--foreground", *options])
        wait_until(lambda: (munge / "socket").exists(), START_S, "munge does not listen")
        self.start_controller()
        for node in NODES:
            self._start("slurmd", ["-D", "-N", node], node)
        states = ["sinfo", "--noheader", "--Node", "--format=%T"]
        wait_until(
            lambda: self._run(states).split() == ["idle"] * len(NODES), START_S, "the nodes are not idle"
        )

    def start_controller(self) -> None:
        """The controller; again after it was killed, with what it had."""
        self._start("slurmctld", ["-D", "-i"])

    def submit(self, made: Station, node: str, minutes: int, drain_s: int) -> str:
        """Submit a pilot as a user would, but for one node and a short time; the job's number."""
        binaries = self.folder / "bin"
        binaries.mkdir(exist_ok=True)
        celery = binaries / "celery"
        celery.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m celery "$@"\n')
        celery.chmod(0o755)
        settings = {
            **made.environment,
            "CONTIMG_BIN": str(binaries),
            "PYTHONPATH": f"{REPOSITORY}:{os.environ.get('PYTHONPATH', '')}",
        }
        path = self.folder / "contimg.env"
        path.write_text("".join(f"{name}='{value}'\n" for name, value in settings.items()))
        path.chmod(0o600)
        sizes = [f"--time={minutes}", f"--signal=B:TERM@{drain_s}", "--cpus-per-task=1", "--mem=2000"]
        command = ["sbatch", "--parsable", f"--nodelist={node}", *sizes, str(PILOT)]
        return self._run(command, CONTIMG_ENVIRONMENT=str(path)).strip()

    def job(self, number: str) -> dict[str, str]:
        """What Slurm says of a job, by its own names."""
        words = self._run(["scontrol", "--oneliner", "show", "job", number]).split()
        return {name: value for name, _, value in (word.partition("=") for word in words)}

    def log(self, number: str) -> str:
        """What a pilot has written."""
        path = self.folder / f"contimg-worker-{number}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def lose(self, node: str, number: str) -> None:
        """Kill a node: its daemon, the job on it and everything that the job has started."""
        self.processes.pop(node).kill()
        for _ in range(3):
            for pid in carrying("SLURM_JOB_ID", number):
                self._kill(pid)
            for pid, command in carrying("SLURM_CONF", self.environment["SLURM_CONF"]).items():
                if command.startswith(f"slurmstepd: [{number}."):
                    self._kill(pid)

    def kill_controller(self) -> None:
        """End the controller with SIGKILL."""
        lose_machine(self.processes.pop("slurmctld"))

    def end(self) -> None:
        """End jobs, daemons, and whatever is left of them."""
        for process in [*reversed(self.processes.values())]:
            lose_machine(process)
        for _ in range(3):
            for pid in carrying("SLURM_CONF", self.environment["SLURM_CONF"]):
                self._kill(pid)

    @staticmethod
    def _kill(pid: int) -> None:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def _start(self, program: str, options: list[str], name: str | None = None) -> None:
        path = shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
        assert path is not None, f"no {program}: install Debian's packages slurm-wlm and munge"
        with (self.folder / f"{name or program}.out").open("ab") as log:
            self.processes[name or program] = subprocess.Popen(
                [path, *options],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _run(self, command: list[str], **variables: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        # While the controller starts, or is away, there is no answer.
        return done.stdout if done.returncode == 0 else ""


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster for the length of the block; munge and slurmctld refuse to run as any user but root here."""
    with tempfile.TemporaryDirectory(prefix="contimg-slurm-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        made = Cluster(folder)
        try:
            made.start()
            yield made
        finally:
            # Shown when the test has failed.
            for path in sorted([*folder.glob("*.log"), *folder.glob("*.out")]):
                print(f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:]))
            made.end()
