"""What must be true of a station when its work is done, whatever has happened to it.

Belongs here: looking at a home, its databases and the machine's processes, and
naming every violation.  Does not belong here: faults, or starting anything.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dagster import DagsterInstance, RunsFilter
from sqlalchemy import Engine, select, text

from contimg_assets.radio.group_key import slug
from contimg_assets.resources.dagster_runs import UNFINISHED
from contimg_assets.settings import IngestOptions
from contimg_assets.stages.server import STAGE
from contimg_assets.station.alerts import Notifier
from contimg_assets.station.database import reading
from contimg_assets.station.leases import Leases
from contimg_assets.station.models import ProductVersion
from contimg_assets.station.products import StationRecords
from contimg_assets.station.store import Store

#: Products whose content depends on the group only.
COMPARED = ("measurement_set", "flags", "image")
#: Alerts by which a person learns that a worker or its run has died.
DEATHS = ("worker_died", "run_failed", "run_lost")
#: The database itself notes with each new version whose group it was at that moment.
_WATCH = (
    "CREATE TABLE IF NOT EXISTS watched_publication (version_id int, run text, owner text)",
    """CREATE OR REPLACE FUNCTION watch_publication() RETURNS trigger AS $$ BEGIN
         INSERT INTO watched_publication
           SELECT NEW.id, NEW.run, (SELECT owner FROM lease WHERE key = NEW.key);
         RETURN NEW;
       END $$ LANGUAGE plpgsql""",
    "DROP TRIGGER IF EXISTS watch_publication ON product_version",
    """CREATE TRIGGER watch_publication AFTER INSERT ON product_version
         FOR EACH ROW EXECUTE FUNCTION watch_publication()""",
)


@dataclass(frozen=True)
class Expected:
    """What must come of a stream of groups."""

    completed: set[str]
    """Groups that must be completed, once each."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Groups that must have failed, with a part of the reason."""
    content: Mapping[str, str] = field(default_factory=dict)
    """Of an undisturbed group: hash by product, from :func:`content_of`."""
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
        *_leftovers(store, _kept(records.engine)),
        *_products(expected, store),
        *_strangers(records.engine),
        *_untold(records, Notifier(store.home)),
    ]


def watch_publications(engine: Engine) -> None:
    """Let the station's PostgreSQL note, from now on, who held a group when a version was entered."""
    with engine.begin() as connection:
        for statement in _WATCH:
            connection.execute(text(statement))


def _strangers(engine: Engine) -> Iterable[str]:
    """Versions that were entered by a run which did not hold the group, where that was watched."""
    with engine.connect() as connection:
        known = connection.execute(text("SELECT to_regclass('watched_publication') IS NOT NULL")).scalar()
        if not known:
            return
        found = connection.execute(
            text("SELECT version_id, run, owner FROM watched_publication WHERE owner IS DISTINCT FROM run")
        )
        for version, run, owner in found:
            yield f"version {version} was published by run {run} while {owner or 'nobody'} held the group"


def _untold(records: StationRecords, notifier: Notifier) -> Iterable[str]:
    """Groups that went back more often than a person was told of a death."""
    told = Counter(alert["subject"] for alert in notifier.recent(10**6) if alert["kind"] in DEATHS)
    for group in records.groups():
        deaths = sum(
            step.from_state == "in_progress" and ("(attempt " in step.reason or "given up" in step.reason)
            for step in records.transitions(group.key)
        )
        if told[group.key] < deaths:
            yield f"group {group.key} lost {deaths} workers, {told[group.key]} alerts say so"


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


def _kept(engine: Engine) -> set[str]:
    """Paths of versions that another has replaced, which retention keeps for a while."""
    replaced = ProductVersion.superseded_at.is_not(None), ProductVersion.deleted_at.is_(None)
    with reading(engine) as session:
        return set(session.scalars(select(ProductVersion.path).where(*replaced)))


def _leftovers(store: Store, kept: set[str]) -> Iterable[str]:
    patterns = ("scratch/*", "products/*/.staging/*", "products/*/.versions/*.link*", ".alerts.jsonl.*")
    for pattern in (*patterns, "calibration/.staging/*", "calibration/*/.registry.json.*"):
        for path in sorted(store.home.glob(pattern)):
            yield f"{path.relative_to(store.home)} is left over"
    for folder in sorted(store.products.glob("*/.versions")):
        linked = {link.resolve().name for link in folder.parent.iterdir() if link.is_symlink()}
        for version in sorted(folder.iterdir()):
            path = str(version.relative_to(store.home))
            if version.name not in linked and path not in kept:
                yield f"{path} is no version of a product that is known"


def _products(expected: Expected, store: Store) -> Iterable[str]:
    for key in sorted(expected.completed) if expected.content else ():
        found = content_of(store, key)
        for product, digest in expected.content.items():
            if found.get(product) != digest:
                yield f"{slug(key)}/{product} differs from that of an undisturbed run"
    now = times(store)
    for name, when in expected.finished.items():
        if now.get(name) != when:
            yield f"{name} was finished, and has been made again"


def content_of(store: Store, key: str) -> dict[str, str]:
    """Hashes of a group's products, its name in them aside: equal for all groups of a stream."""
    paths = {product: store.path(key, product) for product in COMPARED}
    return {product: _digest(path.resolve(), key) for product, path in paths.items() if path.exists()}


def _digest(folder: Path, key: str) -> str:
    """Of the names and contents of a folder's files, the group's name in them aside."""
    digest = hashlib.sha256()
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        content = path.read_bytes().replace(key.encode(), b"KEY").replace(slug(key).encode(), b"SLUG")
        name = path.relative_to(folder).as_posix().replace(slug(key), "SLUG")
        digest.update(f"{name}:{len(content)}:".encode() + content)
    return digest.hexdigest()


def times(store: Store) -> dict[str, int]:
    """When each published product's current version was made, ns, by its path."""
    found = {}
    for link in store.products.glob("*/*"):
        if link.is_symlink() and link.exists():
            found[str(link.relative_to(store.home))] = link.resolve().stat().st_mtime_ns
    return found


def described(pid: int) -> str:
    """Name and command line of a process, by the first of which a stage's is known."""
    folder = Path(f"/proc/{pid}")
    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return f"{(folder / 'comm').read_text().strip()} {command.strip()}"


def is_stage(told: str) -> bool:
    """Whether a process that is told of is a stage's."""
    return STAGE in told


def carrying(variable: str, value: str) -> dict[int, str]:
    """Processes with a variable in their environment, but this one: names and command lines by number."""
    wanted = f"{variable}={value}".encode()
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = described(int(folder.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            # It ended while it was looked at, or belongs to another user, whose home is not this one.
            continue
    return found


def processes_of(home: Path) -> list[str]:
    """Processes that carry a home in their environment, but this one: numbers, names, command lines."""
    return [f"{pid} {command}" for pid, command in carrying("CONTIMG_HOME", str(home)).items()]
