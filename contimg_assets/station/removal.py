"""What would go from the disk, and letting content of current versions go.

The row of a version stays, with its numbers, verdicts and lineage, and says from then on when its content
went and why.  It says so before the content is touched: whoever asks for the product after that is told, and
a removal that was cut short is ended by the next retention.  Belongs here: carrying out, under the group's
lock.  Does not belong here: what may go (``retention.py``, ``retention_rules.py``).
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Engine, exists, select
from sqlalchemy.orm import Session

from contimg_assets.station.campaign_models import CampaignGroup
from contimg_assets.station.database import transaction
from contimg_assets.station.models import Lease, ObservationGroup, ProductVersion, now
from contimg_assets.station.store import VERSIONS, Store, size_of

#: States of a campaign's group that is still to be made.
OPEN_STATES = ("waiting", "running")
#: What a version's folder is called once its planes are compressed.
COMPRESSED_SUFFIX = ".compressed"


class Action(StrEnum):
    """What is done with something."""

    REMOVE = "remove"
    COMPRESS = "compress"


@dataclass(frozen=True)
class Removal:
    """One folder or file that would go, or be compressed."""

    path: Path
    reason: str
    size: int
    """Bytes that would be free then; hard links and shared blocks count as if they were its own."""
    version_id: int | None = None
    """The newest row that names it, if one does."""
    action: Action = Action.REMOVE
    what: str = "left over"
    """Class that it belongs to: a product, ``superseded``, ``log``, ``raw file``, …."""
    current: bool = False
    """It is the content of a current version: only retention's rules let it go."""


def needed(session: Session, key: str) -> str:
    """Who needs a group's products now, in words; empty if nobody does."""
    if session.get(Lease, key) is not None:
        return "somebody works on it"
    open_item = exists().where(CampaignGroup.key == key, CampaignGroup.state.in_(OPEN_STATES))
    if session.scalar(select(open_item)):
        return "a campaign makes it again"
    return ""


def remove_current(engine: Engine, store: Store, removal: Removal) -> int:
    """Remove the content of a current version, after another look at whether it may go; bytes freed."""
    with transaction(engine) as session:
        row = _still_free(session, store, removal)
        if row is None:
            return 0
        path, link = store.absolute(row.path), store.path(row.key, row.product)
        if row.made_bytes is None:
            row.made_bytes = removal.size
        row.deleted_at, row.removed_because, row.kept_bytes = now(), removal.reason, 0
        session.flush()
        if store.target(link) == path:
            link.unlink()
    store.remove(path)
    return removal.size


def compress(engine: Engine, store: Store, removal: Removal) -> int:
    """Put an image's compressed planes in the place of the whole ones; bytes freed.

    The version stays the same one: what was said of it was said of the whole planes.

    Raises
    ------
    ImagingError
        If a plane does not read back as promised; then nothing is changed.
    """
    # Brings astropy.
    from contimg_assets.radio.images.compression import compress_image

    with transaction(engine) as session:
        row = _still_free(session, store, removal)
        if row is None:
            return 0
        key, product, name = row.key, row.product, f"{row.product}-{row.version}{COMPRESSED_SUFFIX}"
    with store.staging(key, product) as folder:
        compress_image(removal.path, folder / "built")
        kept = size_of(folder / "built")
        place = store.path(key, product).parent / VERSIONS / name
        if place.exists():  # of a process that was killed before the row named it
            store.remove(place)
        store.move(folder / "built", place)
        with transaction(engine) as session:
            row = _still_free(session, store, removal)
            if row is not None:
                row.made_bytes = row.made_bytes if row.made_bytes is not None else size_of(removal.path)
                row.path, row.kept_bytes, row.compressed_at = store.relative(place), kept, now()
                session.flush()
                store.point(store.path(key, product), place)
    if row is None:
        store.remove(place)
        return 0
    freed = size_of(removal.path) - kept
    store.remove(removal.path)
    return freed


def _still_free(session: Session, store: Store, removal: Removal) -> ProductVersion | None:
    """The row of a current version whose content may (still) go; its group is locked."""
    row = session.get(ProductVersion, removal.version_id)
    if row is None:
        return None
    session.execute(select(ObservationGroup.key).where(ObservationGroup.key == row.key).with_for_update())
    session.refresh(row)
    stands = row.superseded_at is None and row.deleted_at is None
    stands = stands and store.absolute(row.path) == removal.path
    return row if stands and not needed(session, row.key) else None
