"""Do Dagster's daemon, sensors and workers of an installation work, and who can reach it?

Belongs here: what is asked of Dagster's instance and of the processes of this machine that
work for the home.  Does not belong here: machine, home and station database
(``station/doctor.py``), or printing (``cli/doctor.py``).
"""

import ipaddress
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from dagster import DagsterInstance
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import InstigatorStatus
from dagster_celery.launcher import CeleryRunLauncher

from contimg_assets.radio.errors import StateError
from contimg_assets.resources.dagster_metrics import SILENT_S
from contimg_assets.resources.workers import StationWorkers, control_app
from contimg_assets.station.doctor import Finding

#: State of a socket that listens, in Linux's table.
_LISTENS = "0A"


def examine_dagster(instance: DagsterInstance, home: Path) -> Iterator[Finding]:
    """Examine what works for a home.

    Parameters
    ----------
    instance : DagsterInstance
    home : Path
        ``CONTIMG_HOME``.

    Yields
    ------
    Finding
    """
    yield _daemon(instance)
    yield _sensors(instance)
    if isinstance(instance.run_launcher, CeleryRunLauncher):
        yield _workers()
    yield _ports(home)


def _daemon(instance: DagsterInstance) -> Finding:
    beats = [s.last_heartbeat.timestamp for s in instance.get_daemon_statuses().values() if s.last_heartbeat]
    advice = "start it (contimg ui, or the daemon's service): nothing begins by itself"
    if not beats:
        return Finding("Dagster's daemon", "has never run for this home", "look", advice)
    silent = time.time() - min(beats)
    if silent > SILENT_S:
        return Finding("Dagster's daemon", f"silent for {silent / 60:.0f} min", "bad", advice)
    return Finding("Dagster's daemon", f"last seen {silent:.0f} s ago")


def _sensors(instance: DagsterInstance) -> Finding:
    states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    stopped = sorted({s.instigator_name for s in states if s.status is InstigatorStatus.STOPPED})
    failed = []
    for state in states:
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
        if ticks and ticks[0].error is not None:
            failed.append(state.instigator_name)
    if failed:
        text = f"the last look failed: {', '.join(sorted(set(failed)))}"
        return Finding("sensors", text, "bad", "their pages in Dagster tell why")
    if stopped:
        return Finding(
            "sensors", f"switched off: {', '.join(stopped)}", "look", "they are switched on in Dagster"
        )
    return Finding("sensors", f"{len(states)} have looked, none failed" if states else "none has looked yet")


def _workers() -> Finding:
    try:
        states = StationWorkers(control_app()).states()
    except StateError as error:
        return Finding("workers", str(error), "bad", "start Redis")
    if not states:
        return Finding(
            "workers", "none answers", "bad", "start contimg-worker@N on the machines that are to work"
        )
    drained = [state.name for state in states if state.drained]
    text = f"{len(states)} answer, {sum(1 for state in states if state.run)} at work"
    if drained:
        return Finding(
            "workers", f"{text}; drained: {', '.join(drained)}", "look", "contimg workers resume NAME"
        )
    return Finding("workers", text)


def _ports(home: Path) -> Finding:
    """Which addresses the processes of this home listen on."""
    listening = sorted({address for process in processes_of(home) for address in _listening(process)})
    open_to_others = [address for address in listening if not _is_loopback(address)]
    if open_to_others:
        advice = "only the web server may, with tokens or behind a proxy"
        return Finding("ports", f"open to other machines: {', '.join(open_to_others)}", "look", advice)
    return Finding(
        "ports", f"on the loopback interface: {', '.join(listening)}" if listening else "none is open"
    )


def processes_of(home: Path) -> list[int]:
    """Processes of this machine whose environment names a home; those of other users cannot be seen."""
    wanted = f"CONTIMG_HOME={home}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
    return found


def _listening(process: int) -> set[str]:
    """Addresses and ports on which a process listens."""
    inodes = set()
    try:
        for link in Path(f"/proc/{process}/fd").iterdir():
            inodes |= set(re.findall(r"socket:\[(\d+)\]", str(link.readlink())))
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return set()
    tables = [Path(f"/proc/net/{name}") for name in ("tcp", "tcp6")]
    lines = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()]
    return {_address(fields[1]) for fields in lines if fields[3] == _LISTENS and fields[9] in inodes}


def _address(field: str) -> str:
    """Address and port of a line of Linux's table, where each word is in the machine's order of bytes."""
    words, port = field.split(":")
    packed = b"".join(bytes.fromhex(words[i : i + 8])[::-1] for i in range(0, len(words), 8))
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    host = socket.inet_ntop(family, packed)
    return f"[{host}]:{int(port, 16)}" if family == socket.AF_INET6 else f"{host}:{int(port, 16)}"


def _is_loopback(address: str) -> bool:
    found = ipaddress.ip_address(address.rsplit(":", 1)[0].strip("[]"))
    # What gRPC makes of 127.0.0.1.
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback
