"""Publication: how a product on disk and its row in the database change together.

The row is the truth.  Content is moved to its place first, outside of any
transaction; then, in one transaction, the row is entered and the product's link
is renamed over the old one, last of all.  A process that is killed between these
leaves content that no row names, or a link that leads to such: what reads a
product through here never sees it, and the next publication or retention puts it
right.  Belongs here: that order, and putting links right.  Does not belong here:
names on disk (``store.py``), or rows (``products.py``, ``versions.py``).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from sqlalchemy import Select, select

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.station.database import reading, transaction
from contimg_assets.station.models import GROUP, ObservationGroup, ProductVersion
from contimg_assets.station.products import StationRecords
from contimg_assets.station.store import Placed, Store, set_aside_unless_done, size_of
from contimg_assets.station.versions import current, current_version, inputs_of, tables_version, version_at


def publish(
    records: StationRecords,
    store: Store,
    built: Path,
    key: str,
    product: str,
    numbers: Mapping[str, Any],
    *,
    owner: str | None = None,
    run: str | None = None,
    inputs: Iterable[int] = (),
    settings: Mapping[str, Any] | None = None,
) -> ProductVersion:
    """Make what was built (in ``Store.staging``) the current version of a group's product.

    Parameters
    ----------
    records, store
        Where it is entered and kept.
    built : Path
        The folder; it is moved.
    key, product, numbers, owner, run, inputs, settings
        As for ``StationRecords.record_product``.

    Returns
    -------
    ProductVersion
        The row.

    Raises
    ------
    StateError
        If the group is another run's by now; then nothing is published.
    """
    name_versions(records, store, key)
    placed = store.place(built, key, product)
    try:
        return records.record_product(
            key,
            product,
            PurePosixPath(store.relative(placed.path)),
            numbers,
            owner=owner,
            run=run,
            inputs=inputs,
            settings=settings,
            made_bytes=size_of(placed.path),
            show=lambda: store.point(placed.link, placed.path),
        )
    except BaseException:  # also a run that is cancelled must not leave its link
        with set_aside_unless_done(built.parent):
            withdraw(records, store, placed, key, product)
        raise


def withdraw(records: StationRecords, store: Store, placed: Placed, key: str, product: str) -> None:
    """Take back content whose row was not entered; if the commit came through after all, it stays."""
    put_link_right(records, store, key, product, withdrawn=placed.path)
    with reading(records.engine) as session:
        entered = version_at(session, store.relative(placed.path)) is not None
    if placed.new and not entered:
        store.remove(placed.path)


def restore(
    records: StationRecords,
    store: Store,
    path: Path,
    key: str,
    product: str,
    numbers: Mapping[str, Any],
    *,
    owner: str | None = None,
) -> ProductVersion:
    """Publish a version that is on disk (from ``Store.version``) again: a new row of the same content."""
    name_versions(records, store, key)
    relative = store.relative(path)
    with reading(records.engine) as session:
        earlier = version_at(session, relative)
        inputs = inputs_of(session, [earlier.id])[earlier.id] if earlier else []
    try:
        return records.record_product(
            key,
            product,
            PurePosixPath(relative),
            numbers,
            owner=owner,
            inputs=[version.id for version in inputs],
            settings=earlier.settings if earlier else None,
            made_bytes=size_of(path),
            show=lambda: store.point(store.path(key, product), path),
        )
    except BaseException:  # as in `publish`
        put_link_right(records, store, key, product)
        raise


def content(records: StationRecords, store: Store, key: str, product: str) -> Path:
    """The content of a product's current version, which stays the same while another one is published.

    Raises
    ------
    MissingInputError
        If the product has not been made, or its content is not on disk; where it was removed, when and why.
    """
    version = records.product(key, product)
    if version.removed:
        raise MissingInputError(removed_text(version))
    if not version.version:
        name_versions(records, store, key)
        version = records.product(key, product)
    path = store.absolute(version.path)
    if not path.exists():
        raise MissingInputError(f"group {key} has no {product}: expected its current version at {path}")
    return path


def removed_text(version: ProductVersion) -> str:
    """What to say of a current version whose content was removed."""
    return (
        f"{version.product} of {version.key} was removed at {version.deleted_at:%Y-%m-%d %H:%M} UTC "
        f"({version.removed_because}): `contimg products --make {version.key} {version.product}` "
        "makes it again"
    )


def versions_at(records: StationRecords, store: Store, paths: Iterable[Path]) -> tuple[ProductVersion, ...]:
    """The versions whose content (from :func:`content`) is at some paths.

    Raises
    ------
    MissingInputError
        If a path is no version's.
    """
    found: list[ProductVersion] = []
    with reading(records.engine) as session:
        for path in paths:
            version = version_at(session, store.relative(path))
            if version is None:
                raise MissingInputError(f"{path} is no version of a product that the database knows")
            found.append(version)
    return tuple(found)


def tables_of(records: StationRecords, set_ids: Iterable[str]) -> list[ProductVersion]:
    """The versions of ``calibration_tables`` that sets are copies of, where the database has them."""
    with reading(records.engine) as session:
        found = (tables_version(session, set_id) for set_id in set_ids)
        return [version for version in found if version is not None]


def put_link_right(
    records: StationRecords,
    store: Store,
    key: str,
    product: str,
    *,
    kind: str = GROUP,
    withdrawn: Path | None = None,
) -> bool:
    """Let a product's link lead to its current version; whether it led elsewhere.

    A product that has no version loses its link only if that leads to content that is ``withdrawn``; one
    whose content was removed has none.
    """
    link = store.path(key, product)
    with transaction(records.engine) as session:
        # Nobody publishes the product meanwhile.
        session.execute(select(ObservationGroup.key).where(ObservationGroup.key == key).with_for_update())
        version = current_version(session, key, product, kind)
        target = store.target(link)
        if version is None:
            if target is None or target != withdrawn:
                return False
            link.unlink()
            return True
        path = store.absolute(version.path)
        if version.removed:
            if target != path:
                return False
            link.unlink()
            return True
        if not version.version or target == path or not path.exists():
            return False
        store.point(link, path)
        return True


def name_versions(records: StationRecords, store: Store, key: str) -> None:
    """Enter which content a group's rows of version 0.1.0 mean: that which their links lead to."""
    with reading(records.engine) as session:
        if session.scalars(_unnamed(key)).first() is None:
            return
    with transaction(records.engine) as session:
        for version in session.scalars(_unnamed(key)):
            _name(version, store)


def _unnamed(key: str) -> Select[tuple[ProductVersion]]:
    return current(key).where(ProductVersion.version == "")


def _name(version: ProductVersion, store: Store) -> None:
    path = store.target(store.absolute(version.path))
    if path is not None and path.exists():
        version.version = path.name.removeprefix(f"{version.product}-")
        version.path = store.relative(path)
