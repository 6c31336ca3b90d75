"""Versions of products of days, tiles and of the whole survey: built aside, published together.

Belongs here: publishing some of them in one transaction, and finding the current
ones.  Nobody holds a lease on a day or a tile: who publishes says which versions
his are made from, and is refused if another has been quicker.  Does not belong
here: products of groups (``publication.py``), or what is in the content.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from contimg_assets.radio.errors import StateError
from contimg_assets.station.database import reading, transaction
from contimg_assets.station.models import ProductVersion, now
from contimg_assets.station.numbers import finite
from contimg_assets.station.store import Placed, Store
from contimg_assets.station.versions import current_version, enter, performance_of, version_at

#: Kinds of keys besides the group's, and the one key of what belongs to none.
DAY, TILE, WHOLE = "day", "tile", "none"
SURVEY = "survey"
#: Keys that are looked up at once.
_BATCH = 500


@dataclass(frozen=True)
class Built:
    """What is to be published."""

    kind: str
    key: str
    product: str
    folder: Path
    """Its content, in ``Store.staging``; it is moved."""
    numbers: Mapping[str, Any]
    before: int | None
    """Identity of the current version when the work began; None if there was none."""
    inputs: Sequence[int] = field(default_factory=tuple)
    """Versions that went into it."""
    settings: Mapping[str, Any] = field(default_factory=dict)


def current_versions(
    engine: Engine, kind: str, product: str, keys: Iterable[str]
) -> dict[str, ProductVersion]:
    """Current versions of a product of some keys; keys without one are not in it."""
    wanted, found = sorted(set(keys)), {}
    with reading(engine) as session:
        for first in range(0, len(wanted), _BATCH):
            statement = select(ProductVersion).where(
                ProductVersion.kind == kind,
                ProductVersion.product == product,
                ProductVersion.key.in_(wanted[first : first + _BATCH]),
                ProductVersion.superseded_at.is_(None),
            )
            found |= {row.key: row for row in session.scalars(statement)}
    return found


def publish_together(
    engine: Engine,
    store: Store,
    built: Sequence[Built],
    *,
    run: str | None = None,
    also: Callable[[Session], None] | None = None,
) -> list[ProductVersion]:
    """Make what was built the current versions, all of them or none.

    Parameters
    ----------
    engine, store
    built : sequence of Built
    run : str, optional
        Dagster's run.
    also : callable, optional
        Writes what goes with them, in the same transaction.

    Returns
    -------
    list of ProductVersion

    Raises
    ------
    StateError
        If somebody else has published one of them since the work began; then nothing is published.
    """
    placed = [store.place(one.folder, one.key, one.product) for one in built]
    try:
        with transaction(engine) as session:
            versions = [_enter(session, store, one, at, run) for one, at in zip(built, placed, strict=True)]
            if also is not None:
                also(session)
            session.flush()
            # Last, and quick: a process that is killed among these leaves links that lead nowhere that
            # counts, which retention puts right.
            for at in placed:
                store.point(at.link, at.path)
    except BaseException as error:  # also a run that is cancelled
        # The database may be away, and what is left then is retention's.
        with suppress(OSError):
            _withdraw(engine, store, built, placed)
        if isinstance(error, IntegrityError):
            raise StateError(f"{built[0].product} has been published by somebody else meanwhile") from error
        raise
    return versions


def _enter(session: Session, store: Store, one: Built, at: Placed, run: str | None) -> ProductVersion:
    same = select(ProductVersion.id).where(
        ProductVersion.kind == one.kind,
        ProductVersion.key == one.key,
        ProductVersion.product == one.product,
        ProductVersion.superseded_at.is_(None),
    )
    stands = session.scalar(same.with_for_update())
    if stands != one.before:
        raise StateError(
            f"{one.product} of {one.key}: found version {stands} as the current one, expected {one.before}: "
            "somebody else has published it meanwhile"
        )
    version = ProductVersion(
        kind=one.kind,
        key=one.key,
        product=one.product,
        version=at.path.name.removeprefix(f"{one.product}-"),
        path=store.relative(at.path),
        numbers=finite(one.numbers),
        settings=finite(one.settings),
        run=run,
        made_at=now(),
    )
    enter(session, version, one.inputs)
    session.add(performance_of(version, 0))
    return version


def _withdraw(engine: Engine, store: Store, built: Sequence[Built], placed: Sequence[Placed]) -> None:
    """Take back content whose rows were not entered, and links that lead to it."""
    for one, at in zip(built, placed, strict=True):
        with reading(engine) as session:
            if version_at(session, store.relative(at.path)) is not None:
                continue  # the commit came through after all
            stands = current_version(session, one.key, one.product, one.kind)
        if store.target(at.link) == at.path:
            if stands is None:
                at.link.unlink()
            else:
                store.point(at.link, store.absolute(stands.path))
        store.remove(at.path)
