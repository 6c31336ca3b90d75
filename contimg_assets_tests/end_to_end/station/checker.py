"""What must be true of a station when its work is done, whatever has happened to it.

Belongs here: looking at a home, its databases and the machine's processes, and
naming every violation.  Does not belong here: faults, or starting anything.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dagster import DagsterInstance, RunsFilter

from contimg_assets.radio.files import tree_sha256
from contimg_assets.radio.group_key import slug
from contimg_assets.resources.dagster_runs import UNFINISHED
from contimg_assets.settings import IngestOptions
from contimg_assets.station.leases import Leases
from contimg_assets.station.products import StationRecords
from contimg_assets.station.store import Store

#: Products whose content depends on the group only.
COMPARED = ("measurement_set", "flags", "image")


@dataclass(frozen=True)
class Expected:
    """What must come of a stream of groups."""

    completed: set[str]
    """Groups that must be completed, once each."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Groups that must have failed, with a part of the reason."""
    content: Mapping[str, str] = field(default_factory=dict)
    """Of an undisturbed run: hash by product, from :func:`contents`."""
    finished: Mapping[str, int] = field(default_factory=dict)
    """Products that were finished before the faults, with their times, from :func:`times`."""


#: Who holds which group: ``(group, owner)`` of every lease that is not given back.
HeldLeases = Callable[[], Sequence[tuple[str, str]]]


def leases_of(records: StationRecords) -> HeldLeases:
    """Leases of the station database."""
    leases = Leases(records.engine, IngestOptions())
    return lambda: [(key, held.owner) for key, held in leases.held().items()]


def violations(
    expected: Expected, records: StationRecords, instance: DagsterInstance, store: Store, leases: HeldLeases
) -> list[str]:
    """Everything that is not as it must be; empty if all is well.

    Parameters
    ----------
    expected : Expected
    records : StationRecords
        Of the station.
    instance : DagsterInstance
        Of the station.
    store : Store
        Of the station's home.
    leases : Leases
        From :func:`leases_of`.

    Returns
    -------
    list of str
        One sentence each.
    """
    return [
        *_groups(expected, records),
        *(
            f"run {run.run_id} is {run.status.value}"
            for run in instance.get_runs(RunsFilter(statuses=UNFINISHED))
        ),
        *(f"group {key} is held by {owner}" for key, owner in leases()),
        *_slots(instance),
        *_leftovers(store),
        *_products(expected, store),
    ]


def _groups(expected: Expected, records: StationRecords) -> Iterable[str]:
    found = {group.key: group for group in records.groups()}
    for key in sorted(found.keys() - expected.completed - expected.failed.keys()):
        yield f"group {key} is there and was never observed"
    for key in sorted(expected.completed):
        if key not in found:
            yield f"group {key} is not there"
            continue
        steps = [step.to_state for step in records.transitions(key)]
        if found[key].state != "completed" or steps.count("completed") != 1:
            yield f"group {key} is {found[key].state}, after {' > '.join(steps)}: {found[key].reason}"
    for key, reason in expected.failed.items():
        group = found.get(key)
        if group is None or group.state != "failed" or reason not in (group.reason or ""):
            told = f"{group.state}: {group.reason}" if group else "not there"
            yield f"group {key} is {told}, expected failed: {reason}"


def _slots(instance: DagsterInstance) -> Iterable[str]:
    storage = instance.event_log_storage
    for pool in storage.get_concurrency_keys():
        info = storage.get_concurrency_info(pool)
        if info.claimed_slots or info.pending_steps:
            yield f"pool {pool}: {len(info.claimed_slots)} slots held, {len(info.pending_steps)} steps wait"


def _leftovers(store: Store) -> Iterable[str]:
    for pattern in ("scratch/*", "products/*/.staging/*", "products/*/.versions/*.link"):
        for path in sorted(store.home.glob(pattern)):
            yield f"{path.relative_to(store.home)} is left over"
    for folder in sorted(store.products.glob("*/.versions")):
        linked = {link.resolve().name for link in folder.parent.iterdir() if link.is_symlink()}
        for version in sorted(folder.iterdir()):
            if version.name not in linked and not version.name.startswith("flags-"):
                yield f"{version.relative_to(store.home)} is no product's current version"


def _products(expected: Expected, store: Store) -> Iterable[str]:
    found = contents(store, expected.completed) if expected.content else {}
    for name, digest in expected.content.items():
        if found.get(name) != digest:
            yield f"{name} differs from that of an undisturbed run"
    now = times(store)
    for name, when in expected.finished.items():
        if now.get(name) != when:
            yield f"{name} was finished, and has been made again"


def contents(store: Store, keys: Iterable[str]) -> dict[str, str]:
    """Hashes of the products of groups, by ``group/product``."""
    paths = {f"{slug(key)}/{product}": store.path(key, product) for key in keys for product in COMPARED}
    return {name: tree_sha256(path.resolve()) for name, path in paths.items() if path.exists()}


def times(store: Store) -> dict[str, int]:
    """When each published product's current version was made, ns, by its path."""
    found = {}
    for link in store.products.glob("*/*"):
        if link.is_symlink() and link.exists():
            found[str(link.relative_to(store.home))] = link.resolve().stat().st_mtime_ns
    return found


def carrying(variable: str, value: str) -> dict[int, str]:
    """Processes with a variable in their environment, this one excepted: command lines by number."""
    wanted = f"{variable}={value}".encode()
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[int(folder.name)] = command.strip()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            # It ended while it was looked at, or belongs to another user, whose home is not this one.
            continue
    return found


def processes_of(home: Path) -> list[str]:
    """Processes that carry a home in their environment, this one excepted: numbers and command lines."""
    return [f"{pid} {command}" for pid, command in carrying("CONTIMG_HOME", str(home)).items()]
