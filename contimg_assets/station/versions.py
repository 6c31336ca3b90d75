"""Versions of products in the database: the current one, all there were, and what went into them.

Belongs here: reading and entering rows, in the caller's transaction.  Does not
belong here: when that is allowed (``products.py``), or the content (``store.py``).
"""

import socket
from collections.abc import Iterable, Sequence

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from contimg_assets.station.models import (
    GROUP,
    CalibrationSet,
    Performance,
    ProductInput,
    ProductVersion,
)


def current(key: str, kind: str = GROUP) -> Select[tuple[ProductVersion]]:
    """Statement that selects the current versions of a key's products."""
    return select(ProductVersion).where(
        ProductVersion.kind == kind, ProductVersion.key == key, ProductVersion.superseded_at.is_(None)
    )


def current_version(session: Session, key: str, product: str, kind: str = GROUP) -> ProductVersion | None:
    """A product's current version; None if it has not been made."""
    return session.scalars(current(key, kind).where(ProductVersion.product == product)).first()


def enter(session: Session, version: ProductVersion, inputs: Iterable[int]) -> None:
    """Enter a version in place of the current one, which is superseded."""
    same = (
        ProductVersion.kind == version.kind,
        ProductVersion.key == version.key,
        ProductVersion.product == version.product,
    )
    session.execute(
        update(ProductVersion)
        .where(*same, ProductVersion.superseded_at.is_(None))
        .values(superseded_at=version.made_at)
        .execution_options(synchronize_session=False)
    )
    session.add(version)
    session.flush()
    session.add_all(ProductInput(version_id=version.id, input_id=each) for each in sorted(set(inputs)))
    session.flush()


def performance_of(version: ProductVersion, retry: int) -> Performance:
    """What it took to make a version, as its stage reports it."""
    numbers = version.numbers
    return Performance(
        kind=version.kind,
        key=version.key,
        product=version.product,
        version_id=version.id,
        retry=retry,
        run=version.run,
        host=socket.gethostname(),
        writer=numbers.get("writer") or numbers.get("engine"),
        seconds=numbers.get("stage_seconds"),
        peak_memory_mb=numbers.get("peak_memory_mb"),
    )


def history(
    session: Session, key: str, product: str | None = None, kind: str = GROUP
) -> list[ProductVersion]:
    """All versions of a key's products (or of one), in the order in which they were made."""
    statement = select(ProductVersion).where(ProductVersion.kind == kind, ProductVersion.key == key)
    if product is not None:
        statement = statement.where(ProductVersion.product == product)
    return list(session.scalars(statement.order_by(ProductVersion.id)))


def version_at(session: Session, path: str) -> ProductVersion | None:
    """The newest version with its content at a path (relative to the home)."""
    statement = select(ProductVersion).where(ProductVersion.path == path)
    return session.scalars(statement.order_by(ProductVersion.id.desc()).limit(1)).first()


def inputs_of(session: Session, identities: Iterable[int]) -> dict[int, list[ProductVersion]]:
    """What went into each of some versions."""
    wanted = list(identities)
    found: dict[int, list[ProductVersion]] = {identity: [] for identity in wanted}
    statement = (
        select(ProductInput.version_id, ProductVersion)
        .join(ProductVersion, ProductVersion.id == ProductInput.input_id)
        .where(ProductInput.version_id.in_(wanted))
        .order_by(ProductVersion.id)
    )
    for identity, version in session.execute(statement):
        found[identity].append(version)
    return found


def tables_version(session: Session, set_id: str) -> ProductVersion | None:
    """The version of ``calibration_tables`` that a calibration set was copied from; None if it is not known.

    Told by the hashes of the tables, which the solver's numbers have.
    """
    used = session.get(CalibrationSet, set_id)
    if used is None:
        return None
    hashes = {table.sha256 for table in used.tables}
    for version in reversed(history(session, used.group_key, "calibration_tables")):
        tables: Sequence[dict[str, str]] = version.numbers.get("tables") or ()
        if {table["sha256"] for table in tables} == hashes:
            return version
    return None


def lineage(session: Session, version: ProductVersion) -> list[tuple[int, ProductVersion]]:
    """A version, what went into it, what went into that, and so on: with the number of steps from it.

    Each version once, where it is met first; what goes into it follows it directly.
    """
    found: list[tuple[int, ProductVersion]] = []
    seen: set[int] = set()
    ahead = [(0, version)]
    while ahead:
        steps, this = ahead.pop()
        if this.id in seen:
            continue
        seen.add(this.id)
        found.append((steps, this))
        ahead += [(steps + 1, each) for each in reversed(inputs_of(session, [this.id])[this.id])]
    return found
