"""Tables of the survey: sources, days of tiles, people's verdicts on candidates.

Belongs here: columns, keys and constraints, as in ``models.py``.  Does not belong
here: measurements, which are files (``tile_merge.py``).
"""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from contimg_assets.station.models import Base, now, one_of

#: Kinds of sources with names that last.
SOURCE_KINDS = ("survey", "watched")
#: What a person says of a candidate.
EVENT, MAYBE, NO = CANDIDATE_VERDICTS = ("event", "maybe", "no")


class SurveySource(Base):
    """A source that is measured, with what its light curve says; None before that was computed."""

    __tablename__ = "survey_source"
    __table_args__ = (
        CheckConstraint(one_of("kind", SOURCE_KINDS), name="kind"),
        Index("ix_survey_source_tile", "tile", "dec_deg"),
    )

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(8))
    ra_deg: Mapped[float]
    """Where it was measured last, ICRS."""
    dec_deg: Mapped[float]
    tile: Mapped[str] = mapped_column(String(8))
    n: Mapped[int | None]
    mean_jy: Mapped[float | None]
    mean_error_jy: Mapped[float | None]
    eta: Mapped[float | None] = mapped_column(index=True)
    modulation: Mapped[float | None]
    pair_sigma: Mapped[float | None]
    pair_modulation: Mapped[float | None]
    variable: Mapped[bool | None]
    """Beyond the cuts on η and V."""
    last_mjd: Mapped[float | None]


class TileDay(Base):
    """A day of which a tile has rows."""

    __tablename__ = "survey_tile_day"

    day: Mapped[str] = mapped_column(String(11), primary_key=True)
    tile: Mapped[str] = mapped_column(String(8), primary_key=True, index=True)
    n_rows: Mapped[int]


class CandidateReview(Base):
    """What a person said of an event of a source, once; of those that overlap the newest counts."""

    __tablename__ = "candidate_review"
    __table_args__ = (CheckConstraint(one_of("verdict", CANDIDATE_VERDICTS), name="verdict"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(String(32), index=True)
    begin_mjd: Mapped[float]
    end_mjd: Mapped[float]
    verdict: Mapped[str] = mapped_column(String(8))
    note: Mapped[str]
    user: Mapped[str] = mapped_column(String(128))
    at: Mapped[datetime] = mapped_column(default=now)
