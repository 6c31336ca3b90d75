"""The table of people's reviews.

Belongs here: columns, keys and constraints, as in ``models.py``.  Does not belong
here: what is entered when (``reviews.py``).
"""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from contimg_assets.station.models import VERDICTS, Base, ObservationGroup, ProductVersion, now, one_of


class GroupReview(Base):
    """What a person said of a group, once; the newest row is what counts."""

    __tablename__ = "group_review"
    __table_args__ = (CheckConstraint(one_of("verdict", VERDICTS), name="verdict"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(ForeignKey(ObservationGroup.key), index=True)
    verdict: Mapped[str] = mapped_column(String(8))
    """PASS, WARN or ERROR, as checks have it."""
    note: Mapped[str]
    user: Mapped[str] = mapped_column(String(128))
    machine_verdict: Mapped[str] = mapped_column(String(8))
    """The worst standing verdict of the checks at that time; empty if nothing was judged."""
    image_version_id: Mapped[int | None] = mapped_column(ForeignKey(ProductVersion.id))
    """The image that was looked at; None if there was none."""
    at: Mapped[datetime] = mapped_column(default=now)
