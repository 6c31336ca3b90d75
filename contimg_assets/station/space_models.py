"""Tables of the guard of the disk: whether it holds new groups back, and how much was free when.

Belongs here: columns, keys and constraints, as in ``models.py``.  Does not belong
here: when new groups are held back (``space.py``).
"""

from datetime import datetime

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from contimg_assets.station.models import Base, now


class SpaceGuard(Base):
    """Whether new groups are held back; one row, since all processes of a station do the same."""

    __tablename__ = "space_guard"

    id: Mapped[int] = mapped_column(primary_key=True)
    stopped: Mapped[bool]
    reason: Mapped[str]
    since: Mapped[datetime] = mapped_column(default=now)


class SpaceSample(Base):
    """Room on the disk of the home at a time."""

    __tablename__ = "space_sample"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now, index=True)
    free_bytes: Mapped[int] = mapped_column(BigInteger)
    total_bytes: Mapped[int] = mapped_column(BigInteger)
