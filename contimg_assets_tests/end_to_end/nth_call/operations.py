"""The operations on a home that are swept, each with the home that it needs and what it leaves.

Belongs here: small real homes, one call of the station's own code, and what a reader
may find.  Does not belong here: faults (``faults.py``), or going through them (``sweep.py``).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, select

from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.errors import MissingInputError
from contimg_assets.settings import IngestOptions
from contimg_assets.station import database, leftovers, publication, retention
from contimg_assets.station.alerts import Notifier
from contimg_assets.station.calibration_registry import CalibrationRegistry, verify_set
from contimg_assets.station.lease_judge import Judge
from contimg_assets.station.leases import Leases
from contimg_assets.station.models import ProductVersion
from contimg_assets.station.products import StationRecords
from contimg_assets.station.store import Store
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET, registration, solutions, write_tables

OLD, NEW = "old " * 2000, "new " * 2000


class NoRuns:
    """Runs of a home that has no Dagster."""

    def commands_with_runs(self) -> set[str]:
        """None."""
        return set()

    def end(self, owner: str, message: str) -> None:
        """Nothing to end."""


class Home:
    """One home with its database; made anew in every process, since connections do not outlive a fork."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine: Engine = database.create(f"sqlite:///{folder / 'contimg.sqlite'}")
        self.records = StationRecords(self.engine)
        self.store = Store(folder)
        self.leases = Leases(self.engine, IngestOptions(attempts=9))
        self.registry = CalibrationRegistry(self.engine, CalibrationOptions(), self.store.calibration)
        self.notifier = Notifier(folder)

    def build(self) -> None:
        """Make the database, with two groups."""
        database.upgrade(str(self.engine.url))
        for key in (TARGET, CALIBRATOR):
            self.records.register(registration(key, self.folder), ready=True)

    def publish(self, product: str, content: str) -> None:
        """Publish a product of three files under a lease of this process, as a run does."""
        run = f"run of {content[:3]}"
        # A dead run's group is free again; the same process holds it still.
        if not self.leases.take(TARGET, run, run):
            raise RuntimeError(f"the group is held by {self.leases.of(TARGET)}")
        with self.store.staging(TARGET, product) as folder:
            (folder / "built" / "inner").mkdir(parents=True)
            for name in ("data", "inner/table", "thumbnail.png"):
                (folder / "built" / name).write_text(content)
            publication.publish(
                self.records, self.store, folder / "built", TARGET, product, {"size": 1}, owner=run, run=run
            )
        self.leases.release(run)

    def solve(self, content: str, folder: Path) -> str:
        """Register a calibration set."""
        found = solutions(CALIBRATOR, tables=write_tables(folder, content))
        return self.registry.register(found, folder)

    def sweep(self) -> None:
        """What the judge and retention do by themselves."""
        Judge(self.leases, self.store).bury(NoRuns())
        retention.put_links_right(self.records, self.store)
        self.registry.put_sidecars_right()
        retention.carry_out(self.engine, self.store, retention.plan(self.engine, self.store, 24.0))


@dataclass(frozen=True)
class Operation:
    """One operation."""

    name: str
    prepare: Callable[[Home], None]
    act: Callable[[Home], None]
    may_be: Callable[[Home], str]
    """State that a reader finds: ``old``, ``new``, or a sentence about what is wrong."""


def _content(home: Home, product: str) -> str:
    """Which content a reader of the database finds; and whoever follows the link."""
    try:
        path = publication.content(home.records, home.store, TARGET, product)
    except MissingInputError:
        told = "none"
    else:
        told = _whole(path)
    link = home.store.path(TARGET, product)
    if link.is_symlink() and _whole(link.resolve()) not in ("old", "new"):
        return f"the link leads to {_whole(link.resolve())}"
    version = home.records.products(TARGET).get(product)
    if version is not None and version.deleted_at is not None:
        return "the current version is said to be deleted"
    return told


def _whole(path: Path) -> str:
    """``old`` or ``new`` if a product's folder is whole."""
    found = {name: (path / name) for name in ("data", "inner/table", "thumbnail.png")}
    texts = {file.read_text() if file.is_file() else "missing" for file in found.values()}
    known = {OLD: "old", NEW: "new"}
    return known.get(next(iter(texts)), "torn") if len(texts) == 1 else "torn"


def _none_is_old(home: Home) -> str:
    found = _content(home, "image")
    return "old" if found == "none" else found


def _restore(home: Home) -> None:
    """As ``contimg flags restore``: the version whose content is the old one, under a lease."""
    owner = "command-restores"
    Judge(home.leases, home.store).bury(NoRuns())
    if not home.leases.take(TARGET, owner, owner):
        raise RuntimeError(f"the group is held by {home.leases.of(TARGET)}")
    wanted = next(p for p in home.store.versions(TARGET, "flags").values() if _whole(p) == "new")
    publication.restore(home.records, home.store, wanted, TARGET, "flags", {"size": 1}, owner=owner)
    home.leases.release(owner)


def _retain(home: Home) -> None:
    removals = retention.plan(home.engine, home.store, 0.0)
    retention.carry_out(home.engine, home.store, removals)


def _retained(home: Home) -> str:
    """The current version is whole, and the superseded one is there or gone, as its row says."""
    if _content(home, "image") != "new":
        return f"the current version is {_content(home, 'image')}"
    rows = [row for row in home.records.products(TARGET).values() if row.deleted_at is not None]
    return "a current version is said to be deleted" if rows else "old"


def _sets(home: Home) -> str:
    """Every set of the registry has its files, unharmed, and no group has two active ones."""
    for found in home.registry.list():
        verified = verify_set(found, home.folder)
        if verified.status != "ok":
            return f"set {found.id}: {verified.detail}"
    return "new" if len(home.registry.list()) > 1 else "old"


def _solve_again(home: Home) -> None:
    number = len(list(home.folder.glob("solved-*")))
    home.solve(f"again {number}", home.folder / f"solved-{number}")


def _conclude(home: Home) -> None:
    for found in home.registry.list("pending"):
        home.registry.conclude(found.id, [])
    for found in home.registry.list("active"):
        home.registry.retire(found.id, "asked")
        home.registry.conclude(found.id, [])


def _two_sets(home: Home) -> None:
    first = home.solve("first", home.folder / "solved-0")
    home.registry.conclude(first, [])
    home.solve("second", home.folder / "solved-1")


def _alerts(home: Home) -> str:
    told = [alert["subject"] for alert in home.notifier.recent()]
    return {("old",): "old", ("old", "new"): "new"}.get(tuple(dict.fromkeys(told)), f"alerts {told}")


def _register(home: Home) -> None:
    files = registration("2026-01-15T07:00:00", home.folder)
    home.records.register(files, ready=True)


def _registered(home: Home) -> str:
    found = home.records.find("2026-01-15T07:00:00")
    if found is None:
        return "old"
    steps = [step.to_state for step in home.records.transitions(found.key)]
    return "new" if steps == ["collecting", "pending"] else f"a group that went through {steps}"


def _leave(home: Home) -> None:
    """A run was killed with content in place, before its row was entered."""
    home.publish("image", OLD)
    mark = ".0".join(("image-0123456789ab", ""))
    staging = home.store.path(TARGET, ".staging") / f".trash-{mark}"
    (staging / "built").mkdir(parents=True)
    (staging / "built" / "data").write_text(NEW)
    home.store.place(staging / "built", TARGET, "image")
    # As removals are named that were cut short.
    for name in ("a" * 12, "b" * 12):
        (home.store.scratch / f".trash-{name}").mkdir(parents=True)
        (home.store.scratch / f".trash-{name}" / "data").write_text(NEW)


def _sweep(home: Home) -> None:
    found = leftovers.of_group(home.store, TARGET)
    leftovers.sweep_group(home.records, home.store, TARGET, found)
    leftovers.sweep(home.records, home.store, leftovers.shared(home.store))


def _two_images(home: Home) -> None:
    home.publish("image", OLD)
    home.publish("image", NEW)


def _both(product: str) -> Callable[[Home], None]:
    def make(home: Home) -> None:
        home.publish(product, NEW)
        home.publish(product, OLD)

    return make


OPERATIONS = {
    each.name: each
    for each in (
        Operation(
            "publish",
            lambda home: home.publish("image", OLD),
            lambda home: home.publish("image", NEW),
            lambda home: _content(home, "image"),
        ),
        Operation("publish-first", lambda _: None, lambda home: home.publish("image", NEW), _none_is_old),
        Operation("restore", _both("flags"), _restore, lambda home: _content(home, "flags")),
        Operation(
            "retention",
            _two_images,
            _retain,
            _retained,
        ),
        Operation("calibration", lambda home: _two_sets(home), _solve_again, _sets),
        Operation("conclude", _two_sets, _conclude, _sets),
        Operation("register", lambda _: None, _register, _registered),
        Operation(
            "alert",
            lambda home: home.notifier.send("run_failed", "old", "x"),
            lambda home: home.notifier.send("run_failed", "new", "x"),
            _alerts,
        ),
        Operation("leftovers", _leave, _sweep, lambda home: _content(home, "image")),
    )
}


def litter(home: Home) -> list[str]:
    """What lies on disk that no row names, and sidecars that disagree with their rows."""
    found = [
        f"{path.relative_to(home.folder)} is left over"
        for pattern in ("scratch/*", "products/*/.staging/*", "calibration/.staging/*", "**/.*.*.*-*")
        for path in home.folder.glob(pattern)
    ]
    for folder in home.store.products.glob("*/.versions"):
        named = {home.store.absolute(v.path) for v in _rows(home)}
        found += [f"{path.name} has no row" for path in folder.iterdir() if path not in named]
    known = {row.id: row for row in home.registry.list()}
    for sidecar in home.store.calibration.glob("*/registry.json"):
        row = known.get(sidecar.parent.name)
        if row is None:
            found.append(f"{sidecar.parent.name} is a calibration set without a row")
        elif json.loads(sidecar.read_text())["status"] != row.status:
            found.append(f"{sidecar.parent.name} is {row.status}, its sidecar disagrees")
    return found + [f"group {key} is held by {held}" for key, held in home.leases.held().items()]


def _rows(home: Home) -> list[ProductVersion]:
    with database.reading(home.engine) as session:
        return [row for row in session.scalars(select(ProductVersion)) if row.deleted_at is None]
