"""Retention: what goes from the disk, when, and why.

Publication removes nothing that anybody was shown.  Here goes the content of
versions that were superseded longer than the grace ago, what killed processes
left, and what the rules let go of current versions (``retention_rules.py``).
Versions of the flags stay, and calibration sets; so do all rows.  Content that no
row names goes only beside a current version of the same product, so that a
database that is lost or empty costs no data.

Belongs here: deciding and removing, outside of transactions.  Does not belong
here: when that happens (``sensors/retention.py``, ``contimg retention``).
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from contimg_assets.radio.errors import ContimgError, RetentionError
from contimg_assets.settings import Settings
from contimg_assets.station import leftovers
from contimg_assets.station.database import reading, transaction
from contimg_assets.station.models import GROUP, ProductVersion, now
from contimg_assets.station.old_logs import is_log, old_logs
from contimg_assets.station.products import StationRecords
from contimg_assets.station.publication import name_versions, put_link_right
from contimg_assets.station.removal import Action, Removal, compress, needed, remove_current
from contimg_assets.station.retention_rules import RAW, due
from contimg_assets.station.store import KEPT, LINK, STAGING, VERSIONS, Store, size_of

#: What carries no mark of a process of this machine goes after this time, h, however short the grace: no
#: run lasts as long.
LEFT_OVER_HOURS = 24.0
_LEFT = "left by a process that ended before it was done"
#: Paths that are looked up in the database at once.
_BATCH = 500


def everything(
    engine: Engine, settings: Settings, *, at: datetime | None = None, wanted_bytes: int = 0
) -> list[Removal]:
    """All that would go: what was superseded or left over, what the rules let go, and old logs.

    Parameters
    ----------
    engine : Engine
        Of the station database.
    settings : Settings
        Of the same installation.
    at : datetime, optional
        The moment to judge by; default: now.
    wanted_bytes : int
        Room that is wanted on the disk: content goes before its days are over until there is as much.
    """
    moment, options = at or now(), settings.retention
    store = Store(settings.home, settings.scratch)
    idle = [
        *plan(engine, store, options.grace_hours, moment),
        *old_logs(settings.home, options.log_days, moment),
    ]
    still_wanted = max(0, wanted_bytes - sum(removal.size for removal in idle))
    return [*idle, *due(engine, store, options, moment, wanted_bytes=still_wanted)]


def plan(engine: Engine, store: Store, grace_hours: float, at: datetime | None = None) -> list[Removal]:
    """What would be removed.

    Parameters
    ----------
    engine : Engine
        Of the station database.
    store : Store
        Of the same installation.
    grace_hours : float
        Time since a version was superseded before its content goes, h.
    at : datetime, optional
        The moment to judge by; default: now.

    Returns
    -------
    list of Removal
        Superseded versions first, then what was left over, in the order of paths.
    """
    moment = at or now()
    abandoned = moment - timedelta(hours=max(grace_hours, LEFT_OVER_HOURS))
    return [
        *_superseded(engine, store, moment - timedelta(hours=grace_hours)),
        *_left_in_products(engine, store, abandoned),
        *(
            Removal(path, _LEFT, size_of(path))
            for path in (*leftovers.entries(store.calibration / STAGING), *leftovers.working_folders(store))
            if not leftovers.is_leftover(path) and _touched(path) < abandoned
        ),
        *(Removal(path, _LEFT, size_of(path)) for path in leftovers.everywhere(store)),
    ]


def by_class(removals: Iterable[Removal]) -> dict[str, int]:
    """Bytes that would be free, by class of what goes."""
    found: dict[str, int] = {}
    for removal in removals:
        found[removal.what] = found.get(removal.what, 0) + removal.size
    return found


def carry_out(engine: Engine, store: Store, removals: Iterable[Removal]) -> int:
    """Remove what was planned, each after another look at whether it still may go.

    A row says that its content is deleted before the content is touched; then it is renamed, then
    removed.  What a kill leaves of that, the next plan has.

    Returns
    -------
    int
        Bytes that were freed.

    Raises
    ------
    RetentionError
        If anything could not be removed; the rest has been.
    """
    freed = 0
    refused: list[str] = []
    for removal in removals:
        if removal.current:
            try:
                freed += _let_go(engine, store, removal)
            except (OSError, ContimgError) as error:
                refused.append(f"{removal.path}: {error}")
            continue
        if leftovers.is_leftover(removal.path):
            swept = leftovers.sweep(StationRecords(engine), store, [removal.path])
            refused += swept.refused
            freed += removal.size if swept.removed else 0
            continue
        if not is_log(store.home, removal.path) and not _released(engine, store, removal):
            continue
        try:
            store.remove(removal.path)
        except OSError as error:
            # One folder with wrong permissions must not keep everything else on the disk for ever.
            refused.append(f"{removal.path}: {error.strerror}")
        else:
            freed += removal.size
    if refused:
        raise RetentionError(f"{len(refused)} items could not be removed: {'; '.join(refused)}")
    return freed


def _let_go(engine: Engine, store: Store, removal: Removal) -> int:
    """Let content of a current version go, or the files that it was made of."""
    if removal.what == RAW:
        return _remove_file(engine, removal)
    if removal.action == Action.COMPRESS:
        return compress(engine, store, removal)
    return remove_current(engine, store, removal)


def _remove_file(engine: Engine, removal: Removal) -> int:
    """Remove a file of the telescope, unless somebody needs its group by now."""
    with transaction(engine) as session:
        image = session.get(ProductVersion, removal.version_id)
        if image is None or image.superseded_at is not None or needed(session, image.key):
            return 0
    removal.path.unlink(missing_ok=True)
    return removal.size


def put_links_right(records: StationRecords, store: Store) -> list[Path]:
    """Let links that a killed process left astray lead to their products' current versions; those links."""
    found: list[Path] = []
    for links in _batches(_links(store)):
        targets = {link: store.target(link) for link in links}
        with reading(records.engine) as session:
            rows = _rows_at(session, (store.relative(path) for path in targets.values() if path is not None))
            astray = [
                link for link, path in targets.items() if path is None or not _current(rows, store, path)
            ]
            owners = [(link, _product_of(session, store, link)) for link in astray]
        for link, version in owners:
            if version is None:
                continue
            if version.kind == GROUP:
                name_versions(records, store, version.key)
            if put_link_right(records, store, version.key, version.product, kind=version.kind):
                found.append(link)
    return found


def _superseded(engine: Engine, store: Store, before: datetime) -> list[Removal]:
    """Content of versions that were superseded before a time, unless a row that counts names it too."""
    old = (
        select(ProductVersion)
        .where(
            ProductVersion.superseded_at < before,
            ProductVersion.deleted_at.is_(None),
            ProductVersion.product.not_in(KEPT),
            # A row of version 0.1.0 whose link was never read names no content.
            ProductVersion.version != "",
        )
        .order_by(ProductVersion.id)
    )
    with reading(engine) as session:
        rows = list(session.scalars(old))
    found = []
    for row in rows:
        path = store.absolute(row.path)
        reason = f"{row.product} of {row.key}, superseded {row.superseded_at:%Y-%m-%d %H:%M} UTC"
        size = size_of(path) if path.exists() else 0
        if path.is_relative_to(store.products):
            found.append(Removal(path, reason, size, row.id, what="superseded"))
    return found


def _left_in_products(engine: Engine, store: Store, before: datetime) -> list[Removal]:
    """What processes left in staging and among the versions before a time, and removals cut short."""
    found: list[tuple[Path, str]] = [
        (path, "left by a run that ended before it was done")
        for folder in leftovers.entries(store.products)
        for path in leftovers.entries(folder / STAGING)
        if not leftovers.is_leftover(path) and _touched(path) < before
    ]
    for paths in _batches(_contents(store)):
        with reading(engine) as session:
            rows = _rows_at(session, (store.relative(path) for path in paths))
            for path in paths:
                reason = _left_over(session, store, path, rows.get(store.relative(path), []), before)
                found += [(path, reason)] if reason else []
    return [Removal(path, reason, size_of(path)) for path, reason in found]


def _left_over(
    session: Session, store: Store, path: Path, named_by: list[ProductVersion], before: datetime
) -> str:
    """Why something among the versions is in nobody's use; empty if it may be."""
    if leftovers.is_leftover(path):
        return ""
    if named_by and all(row.deleted_at for row in named_by):
        return "a removal that was cut short"
    if named_by or _touched(path) >= before:
        return ""
    if LINK in path.name and path.is_symlink():
        return "a link that was never put in place"
    return "never published" if _is_beside_current(session, store, path) else ""


def _released(engine: Engine, store: Store, removal: Removal) -> bool:
    """Whether content may still go; if so, its row says from now on that it is deleted."""
    relative = store.relative(removal.path)
    with transaction(engine) as session:
        rows = _rows_at(session, [relative]).get(relative, [])
        if removal.version_id is None:
            return all(row.deleted_at for row in rows)
        if any(row.superseded_at is None for row in rows):
            return False
        session.execute(
            update(ProductVersion)
            .where(ProductVersion.path == relative, ProductVersion.deleted_at.is_(None))
            .values(deleted_at=now(), removed_because=removal.reason, kept_bytes=0)
            .execution_options(synchronize_session=False)
        )
        return True


def _rows_at(session: Session, paths: Iterable[str]) -> dict[str, list[ProductVersion]]:
    """Rows by the path of their content."""
    found: dict[str, list[ProductVersion]] = {}
    statement = select(ProductVersion).where(ProductVersion.path.in_(list(paths)))
    for row in session.scalars(statement.order_by(ProductVersion.id)):
        found.setdefault(row.path, []).append(row)
    return found


def _current(rows: dict[str, list[ProductVersion]], store: Store, path: Path) -> bool:
    return any(row.superseded_at is None for row in rows.get(store.relative(path), []))


def _product_of(session: Session, store: Store, link: Path) -> ProductVersion | None:
    """The current version of the product that is published at a link; also if it only names the link yet."""
    prefix = store.relative(link.parent / VERSIONS / f"{link.name}-")
    statement = select(ProductVersion).where(
        ProductVersion.product == link.name,
        ProductVersion.superseded_at.is_(None),
        ProductVersion.path.startswith(prefix, autoescape=True)
        | (ProductVersion.path == store.relative(link)),
    )
    return session.scalars(statement.limit(1)).first()


def _is_beside_current(session: Session, store: Store, path: Path) -> bool:
    """Whether content lies beside the current version of its product, and that is not the flags."""
    product = path.name.rpartition("-")[0]
    if not product or product in KEPT:
        return False
    beside = _product_of(session, store, path.parent.parent / product)
    return beside is not None and beside.version != "" and store.absolute(beside.path).exists()


def _batches(paths: Iterator[Path]) -> Iterator[list[Path]]:
    while batch := list(islice(paths, _BATCH)):
        yield batch


def _contents(store: Store) -> Iterator[Path]:
    for folder in leftovers.entries(store.products):
        yield from leftovers.entries(folder / VERSIONS)


def _links(store: Store) -> Iterator[Path]:
    for folder in leftovers.entries(store.products):
        yield from (path for path in leftovers.entries(folder) if path.is_symlink())


def _touched(path: Path) -> datetime:
    """When a folder or file was last changed or moved."""
    status = path.lstat()
    return datetime.fromtimestamp(max(status.st_mtime, status.st_ctime), UTC)
