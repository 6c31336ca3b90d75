"""Versions of products and their lineage as people and programs are shown them: plain, typed values.

Belongs here: gathering.  Does not belong here: printing (``cli/history.py``), or
everything else that is shown of a group (``views.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.station.database import reading
from contimg_assets.station.models import Performance, ProductVersion
from contimg_assets.station.versions import history, inputs_of, lineage


@dataclass(frozen=True)
class VersionView:
    """One version of a product."""

    id: int
    key: str
    product: str
    version: str
    """Token of its content; empty if that was not read yet from a link of version 0.1.0."""
    made: str
    """Time, UTC, ISO 8601; so are the next two."""
    superseded: str | None
    """None for the current version."""
    deleted: str | None
    """When retention removed its content."""
    removed_because: str
    """Why it did; empty if it is there."""
    compressed: str | None
    """When the planes of an image were compressed."""
    made_bytes: int | None
    """Size of its content as it was published; None where it was made before that was recorded."""
    kept_bytes: int | None
    """What of that is on disk."""
    run: str | None
    seconds: float | None
    """Wall time of its stage, s."""
    path: str
    """Of its content, relative to the home."""
    inputs: tuple[str, ...]
    """The versions that went into it: key, product, version."""


@dataclass(frozen=True)
class LineageView:
    """A version among those that went into another one."""

    steps: int
    """From that one: 0 is itself, 1 what went into it directly."""
    version: VersionView


def versions_of(engine: Engine, key: str, product: str | None = None) -> list[VersionView]:
    """All versions of a group's products (or of one of them), oldest first."""
    with reading(engine) as session:
        return _views(session, history(session, key, product))


def lineage_of(engine: Engine, key: str, product: str) -> list[LineageView]:
    """The current version of a product and all that went into it, directly and before.

    Raises
    ------
    MissingInputError
        If the product has not been made.
    """
    with reading(engine) as session:
        versions = history(session, key, product)
        if not versions:
            raise MissingInputError(f"the database has no {product} of group {key}")
        steps = lineage(session, versions[-1])
        views = _views(session, [version for _, version in steps])
    return [LineageView(number, view) for (number, _), view in zip(steps, views, strict=True)]


def _views(session: Session, versions: Sequence[ProductVersion]) -> list[VersionView]:
    identities = [version.id for version in versions]
    inputs = inputs_of(session, identities)
    took = select(Performance.version_id, Performance.seconds).where(Performance.version_id.in_(identities))
    seconds = {identity: value for identity, value in session.execute(took)}
    return [
        VersionView(
            version.id,
            version.key,
            version.product,
            version.version,
            _time(version.made_at),
            _time(version.superseded_at) if version.superseded_at else None,
            _time(version.deleted_at) if version.deleted_at else None,
            version.removed_because,
            _time(version.compressed_at) if version.compressed_at else None,
            version.made_bytes,
            version.kept_bytes,
            version.run,
            seconds.get(version.id),
            version.path,
            tuple(f"{each.key} {each.product} {each.version}" for each in inputs[version.id]),
        )
        for version in versions
    ]


def _time(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
