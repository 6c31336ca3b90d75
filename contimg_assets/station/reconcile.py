"""Do the station database and the disk agree, and if not, what is to be done?

A row without its content is *missing*, content without a row is *orphaned*, content that
is not what its hash says is *changed*, and a link that does not lead to the current
version is *astray*.  Groups that somebody works on are left out: they change.

Belongs here: looking, and what can be put right without losing anything.  Does not
belong here: what Dagster lacks (``resources/dagster_reconcile.py``), or printing
(``cli/backup.py``).
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Row, exists, func, or_, select, update

from contimg_assets.radio.files import file_sha256, tree_sha256
from contimg_assets.radio.group_key import KEY_FORMAT, key_of
from contimg_assets.radio.quality.products import CHECKSUMS
from contimg_assets.station import leftovers
from contimg_assets.station.calibration_registry import verify_set
from contimg_assets.station.columns import now
from contimg_assets.station.database import reading, transaction
from contimg_assets.station.group_summary import summarise_group
from contimg_assets.station.installation import Installation
from contimg_assets.station.models import GROUP, GroupTransition, ObservationGroup, ProductVersion
from contimg_assets.station.publication import put_link_right
from contimg_assets.station.store import KEPT, LINK, VERSIONS, Store

MISSING, ORPHANED, CHANGED, ASTRAY = "missing", "orphaned", "changed", "astray"
#: In Dagster's database, and not there though it should be.
UNKNOWN_TO_DAGSTER = "unknown to Dagster"
#: A part of the current versions above which missing ones are taken for a disk that is away.
MOST = 0.5
#: Rows that are read at once.
_BATCH = 2000


@dataclass(frozen=True)
class Difference:
    """One thing that does not agree, and what to do."""

    kind: str
    what: str
    """Which version, set, or other thing."""
    found: str
    fix: str
    """What to do."""
    safe: bool = False
    """``contimg reconcile --fix`` does it."""
    keys: tuple[str, ...] = ()
    """The groups that it is about."""
    product: str = ""
    version_id: int | None = None
    """The row that it is about."""
    current: bool = False
    """It is the product's current version."""
    of: str = GROUP
    """What its key is the key of."""


def examine(station: Installation, *, hashes: bool = False) -> list[Difference]:
    """Hold the station database against the disk; nothing is changed.

    Parameters
    ----------
    station : Installation
    hashes : bool
        Read the content of calibration sets, flags and images, and hold it against its hashes.

    Returns
    -------
    list of Difference
    """
    store, busy = station.store, set(station.leases.held())
    found: list[Difference] = []
    known: set[str] = set()
    for row in _versions(station):
        known.add(row.path)
        if row.key not in busy:
            found += _of_version(store, row, hashes=hashes)
    with reading(station.engine) as session:
        groups = set(session.scalars(select(ObservationGroup.key)))
    found += _orphans(store, known, groups, busy)
    found += _of_sets(station, hashes=hashes)
    return found


def put_right(station: Installation, differences: Iterable[Difference], *, sure: bool = False) -> list[str]:
    """Let links lead to current versions, and mark versions whose content is not there as lost.

    Parameters
    ----------
    station : Installation
    differences : iterable of Difference
        From :func:`examine`.
    sure : bool
        Current versions are lost, however many.

    Returns
    -------
    list of str
        What was done, and what was not, and why.
    """
    records, store, safe = station.records, station.store, [each for each in differences if each.safe]
    missing = [each for each in safe if each.kind == MISSING]
    told: list[str] = []
    n_current = sum(each.current for each in missing)
    with reading(station.engine) as session:
        of_all = session.scalar(
            select(func.count())
            .select_from(ProductVersion)
            .where(ProductVersion.superseded_at.is_(None), ProductVersion.deleted_at.is_(None))
        )
    if n_current > MOST * (of_all or 0) and not sure:
        told.append(
            f"{n_current} of {of_all} current versions are missing: is the disk of {store.products} there? "
            "Nothing was marked lost; --lost does it"
        )
        missing = []
    n_lost = sum(_mark_lost(station, each) for each in missing)
    if n_lost:
        told.append(f"{n_lost} versions marked lost")
    links = [each for each in safe if each.kind == ASTRAY]
    n_links = sum(put_link_right(records, store, each.keys[0], each.product, kind=each.of) for each in links)
    if n_links:
        told.append(f"{n_links} links put right")
    return told


def _versions(station: Installation) -> Iterator[Row[Any]]:
    """Every version that should be on disk, in batches."""
    last = 0
    columns = (
        ProductVersion.id,
        ProductVersion.kind,
        ProductVersion.key,
        ProductVersion.product,
        ProductVersion.version,
        ProductVersion.path,
        ProductVersion.superseded_at.is_(None).label("current"),
    )
    while True:
        statement = select(*columns).where(
            ProductVersion.id > last,
            ProductVersion.deleted_at.is_(None),
            # A row of version 0.1.0 whose link was never read names no content.
            ProductVersion.version != "",
        )
        with reading(station.engine) as session:
            rows = session.execute(statement.order_by(ProductVersion.id).limit(_BATCH)).all()
        if not rows:
            return
        yield from rows
        last = rows[-1].id


def _of_version(store: Store, row: Row[Any], *, hashes: bool) -> Iterator[Difference]:
    path = store.absolute(row.path)
    what = f"{row.product} {row.version} of {row.key}"
    about = {"keys": (row.key,), "product": row.product, "version_id": row.id, "current": row.current}
    about["of"] = row.kind
    again = f"`contimg reprocess --group {row.key}` makes it again"
    if row.kind != GROUP:
        again = "`contimg survey day --again DAY`, for its days, makes it again"
    if not path.exists():
        fix = f"{again}; --fix marks it lost" if row.current else "--fix marks it lost"
        yield Difference(MISSING, what, f"{path} is not there", fix, safe=True, **about)
        return
    if row.current:
        link = store.path(row.key, row.product)
        target = store.target(link)
        if target != path:
            leads = f"{link} leads to {target}" if target is not None else f"{link} is no link"
            yield Difference(ASTRAY, what, leads, "--fix lets it lead there", safe=True, **about)
    if hashes and row.current:
        wrong = _wrong_content(row.product, row.version, path)
        if wrong:
            yield Difference(CHANGED, what, wrong, f"{again}, or take it from a backup", **about)


def _wrong_content(product: str, version: str, path: Path) -> str:
    """What content says of itself and is not so; empty if all is well or it says nothing."""
    if product in KEPT:
        digest = tree_sha256(path)
        return "" if digest.startswith(version) else f"{path}: found SHA-256 {digest}, expected {version}…"
    sums = path / CHECKSUMS
    if not sums.is_file():
        return ""
    for line in sums.read_text(encoding="utf-8").splitlines():
        expected, name = line.split(maxsplit=1)
        if not (path / name).is_file():
            return f"{path / name} is not there"
        digest = file_sha256(path / name)
        if digest != expected:
            return f"{path / name}: found SHA-256 {digest}, expected {expected}"
    return ""


def _orphans(store: Store, known: set[str], groups: set[str], busy: set[str]) -> Iterator[Difference]:
    """Content without a row."""
    for folder in leftovers.entries(store.products):
        key = key_of(folder.name)
        for path in leftovers.entries(folder / VERSIONS):
            named = store.relative(path) in known or leftovers.is_leftover(path) or LINK in path.name
            if named or key in busy:
                continue
            product, _, version = path.name.rpartition("-")
            found, keys = f"{path} is in no row", () if key is None else (key,)
            if key is None:
                fix = "`contimg retention --apply` removes it after a day, beside a current version"
            elif key not in groups:
                fix = "the database does not know the group: `contimg process` its files, or move this away"
            elif product in KEPT:
                fix = f"`contimg flags restore {key} {version}` enters it"
            else:
                fix = "`contimg retention --apply` removes it after a day, beside a current version"
            yield Difference(
                ORPHANED, f"{product} {version} of {key}", found, fix, keys=keys, product=product
            )


def _of_sets(station: Installation, *, hashes: bool) -> Iterator[Difference]:
    registry, home = station.registry, station.settings.home
    sets = registry.list()
    for each in sets:
        what = f"calibration set {each.id}"
        lost = [str(path) for table in each.tables if not (path := home / each.path / table.file).is_dir()]
        if lost and each.status != "retired":
            fix = f"take it from a backup, or `contimg registry retire {each.id}`"
            yield Difference(MISSING, what, f"{lost[0]} is not there", fix, keys=(each.group_key,))
        elif hashes and not lost:
            outcome = verify_set(each, home)
            if outcome.status == "changed":
                fix = f"take it from a backup, or `contimg registry retire {each.id}` and solve again"
                yield Difference(CHANGED, what, outcome.detail, fix, keys=(each.group_key,))
    for set_id in registry.unregistered():
        found = f"{registry.folder / set_id} is in no row"
        yield Difference(ORPHANED, f"calibration set {set_id}", found, "`contimg registry import` enters it")


def _mark_lost(station: Installation, difference: Difference) -> bool:
    """Say in its row that a version's content is gone, after another look; whether that is so."""
    key, store = difference.keys[0], station.store
    with transaction(station.engine) as session:
        row = session.get(ProductVersion, difference.version_id)
        if row is None or row.deleted_at is not None or store.absolute(row.path).exists():
            return False
        path, kind = store.absolute(row.path), row.kind
        at = now()
        session.execute(
            update(ProductVersion)
            .where(ProductVersion.path == row.path, ProductVersion.deleted_at.is_(None))
            .values(superseded_at=func.coalesce(ProductVersion.superseded_at, at), deleted_at=at)
            .execution_options(synchronize_session=False)
        )
        if kind == GROUP:
            summarise_group(session, key)
    if kind == GROUP and store.path(key, difference.product).is_symlink():
        put_link_right(station.records, store, key, difference.product, withdrawn=path)
    return True


def expected_keys(station: Installation) -> set[str]:
    """Groups whose keys Dagster should know: done, of the hot window, and not rejected for lack of files."""
    cutoff = now() - timedelta(days=station.settings.ingest.hot_window_days)
    begun = exists().where(GroupTransition.key == ObservationGroup.key, GroupTransition.to_state == "pending")
    statement = select(ObservationGroup.key).where(
        ObservationGroup.state.in_(("completed", "failed")),
        or_(ObservationGroup.key >= cutoff.strftime(KEY_FORMAT), ObservationGroup.updated >= cutoff),
        begun,
    )
    with reading(station.engine) as session:
        return set(session.scalars(statement))


def expected_products(station: Installation, keys: Collection[str]) -> dict[str, set[str]]:
    """Groups that have a current version of a product, of some groups, by product.

    Also those whose content retention has removed: Dagster shows them as made.
    """
    statement = select(ProductVersion.product, ProductVersion.key).where(
        ProductVersion.kind == GROUP, ProductVersion.superseded_at.is_(None)
    )
    found: dict[str, set[str]] = {}
    with reading(station.engine) as session:
        for product, key in session.execute(statement):
            if key in keys:
                found.setdefault(product, set()).add(key)
    return found
