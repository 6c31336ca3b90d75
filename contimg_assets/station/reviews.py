"""What people say of groups, kept beside what checks say, which it does not change.

Belongs here: entering and reading reviews, and which group is looked at next.  Does
not belong here: verdicts of checks (``verdicts.py``), or lists (``group_listing.py``).
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, Select, func, select

from contimg_assets.radio.errors import SettingsError
from contimg_assets.station.database import reading, transaction
from contimg_assets.station.group_states import get_group
from contimg_assets.station.models import VERDICTS, GroupSummary
from contimg_assets.station.review_models import GroupReview

#: Characters of a note.
LONGEST_NOTE = 1000


@dataclass(frozen=True)
class Review:
    """What a person said of a group."""

    group: str
    verdict: str
    """PASS, WARN or ERROR."""
    note: str
    user: str
    at: datetime
    machine_verdict: str
    """Of the checks at that time; empty if nothing was judged."""
    of_this_image: bool
    """The image is the one that was looked at."""

    @property
    def agrees(self) -> bool:
        """Whether the person said what the checks said."""
        return self.verdict == self.machine_verdict


def newest_ids() -> Select[tuple[int]]:
    """Identities of the reviews that count: the newest of each group."""
    return select(func.max(GroupReview.id)).group_by(GroupReview.key)


def enter_review(engine: Engine, key: str, verdict: str, note: str, user: str) -> Review:
    """Keep what a person says of a group.

    Parameters
    ----------
    engine : Engine
    key : str
    verdict : str
        PASS, WARN or ERROR.
    note : str
        Why; may be empty.
    user : str

    Raises
    ------
    SettingsError
        If the verdict is none, or the note too long.
    MissingInputError
        If the group is not registered.
    """
    if verdict not in VERDICTS:
        raise SettingsError(f"verdict: found {verdict!r}; expected one of {', '.join(VERDICTS)}")
    if len(note) > LONGEST_NOTE:
        raise SettingsError(f"note: found {len(note)} characters; expected {LONGEST_NOTE} at most")
    with transaction(engine) as session:
        get_group(session, key)
        summary = session.get_one(GroupSummary, key)
        review = GroupReview(
            key=key,
            verdict=verdict,
            note=note.strip().replace("\0", "\N{REPLACEMENT CHARACTER}"),
            user=user,
            machine_verdict=summary.verdict,
            image_version_id=summary.image_version_id,
        )
        session.add(review)
        session.flush()
        return _review(review, summary.image_version_id)


def reviews_of(engine: Engine, key: str) -> list[Review]:
    """All that people said of a group, newest first."""
    statement = (
        select(GroupReview, GroupSummary.image_version_id)
        .join(GroupSummary, GroupSummary.key == GroupReview.key)
        .where(GroupReview.key == key)
        .order_by(GroupReview.id.desc())
    )
    with reading(engine) as session:
        return [_review(row, image) for row, image in session.execute(statement)]


def newest_reviews(engine: Engine, keys: Collection[str]) -> dict[str, Review]:
    """The review that counts of each of some groups, by its key; those without one are not in it."""
    statement = (
        select(GroupReview, GroupSummary.image_version_id)
        .join(GroupSummary, GroupSummary.key == GroupReview.key)
        .where(GroupReview.id.in_(newest_ids().where(GroupReview.key.in_(keys))))
    )
    with reading(engine) as session:
        return {row.key: _review(row, image) for row, image in session.execute(statement)}


@dataclass(frozen=True)
class Progress:
    """How far a night has been reviewed."""

    imaged: int
    """Groups of the night with an image."""
    reviewed: int
    """Of these, groups with a review."""
    next: str | None
    """The first group with an image and without a review, after the one that is looked at, or of all."""


def progress_of(engine: Engine, date: str, after: str = "") -> Progress:
    """How far a night has been reviewed, and which group is next.

    Parameters
    ----------
    engine : Engine
    date : str
        Day, UTC, as keys begin.
    after : str
        Key of the group that is looked at.
    """
    reviewed = select(GroupReview.key).distinct().subquery()
    statement = (
        select(GroupSummary.key, reviewed.c.key)
        .outerjoin(reviewed, reviewed.c.key == GroupSummary.key)
        .where(
            GroupSummary.key >= date,
            GroupSummary.key <= f"{date}~",
            GroupSummary.image_version_id.is_not(None),
        )
        .order_by(GroupSummary.key)
    )
    with reading(engine) as session:
        rows = session.execute(statement).all()
    left = [key for key, seen in rows if seen is None and key != after]
    later = [key for key in left if key > after]
    return Progress(len(rows), sum(seen is not None for _, seen in rows), next(iter(later or left), None))


def _review(row: GroupReview, image: int | None) -> Review:
    return Review(
        row.key,
        row.verdict,
        row.note,
        row.user,
        row.at,
        row.machine_verdict,
        row.image_version_id == image,
    )
