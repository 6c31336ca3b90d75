"""Tables of the station database, as SQLAlchemy models.

Belongs here: columns, keys and constraints.  Does not belong here: what all tables
share (``columns.py``), how to connect and migrate (``database.py``), or what may be written when
(``products.py``, ``calibration_registry.py``).
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from contimg_assets.station.columns import Base, now, one_of

#: States of an observation group.
STATES = ("collecting", "pending", "in_progress", "completed", "failed")
#: What breaks off the work on a group, which then goes back to ``pending``: its worker died (which is
#: counted), somebody or the system asked for an end, or storage was away.
DIED, INTERRUPTED, STORAGE = CAUSES = ("died", "interrupted", "storage")
#: What became of a subband file that arrived.
FILE_OUTCOMES = ("used", "duplicate", "refused", "late")
#: States of a calibration set; one is pending from its registration until its numbers are judged.
SET_STATES = ("pending", "active", "retired", "failed")
#: How a group came to its set, best first.
FALLBACKS = ("same_day", "backup_calibrator", "bandpass_selfcal", "earlier_day")
#: … or a person named it.
NAMED = "named"
#: Outcomes of a check.
VERDICTS = ("PASS", "WARN", "ERROR")
#: What a product belongs to: an observation group, a sidereal day, a tile of the sky, or nothing of these.
KINDS = ("group", "day", "tile", "none")
GROUP = KINDS[0]


class ObservationGroup(Base):
    """The 16 subbands of one observation, and how far they have come."""

    __tablename__ = "observation_group"
    __table_args__ = (CheckConstraint(one_of("state", STATES), name="state"),)

    key: Mapped[str] = mapped_column(String(19), primary_key=True)
    """Start of the first integration, UTC, ``YYYY-MM-DDTHH:MM:SS``."""
    state: Mapped[str] = mapped_column(String(16), index=True)
    reason: Mapped[str] = mapped_column(default="")
    """Why the group is in this state, in words."""
    n_subbands: Mapped[int]
    missing_subbands: Mapped[list[int]]
    declination_deg: Mapped[float]
    mid_mjd: Mapped[float] = mapped_column(index=True)
    files: Mapped[dict[str, str]]
    """Path of each subband's file, by subband number."""
    antennas: Mapped[list[str]]
    """Names of the antennas in the data."""
    calibrator_name: Mapped[str | None]
    calibrator_apparent_jy: Mapped[float | None]
    """Flux density of the calibrator through the drifting beam, Jy."""
    retries: Mapped[int] = mapped_column(default=0)
    """How often the group went back to ``pending``: reopened, or its work was broken off."""
    not_before: Mapped[datetime | None]
    """When a group that waits for storage is looked at again, by the database's clock."""
    created: Mapped[datetime] = mapped_column(default=now)
    updated: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class Lease(Base):
    """Who works on a group now; a group without a row is nobody's.  Times are by the database's clock."""

    __tablename__ = "lease"

    key: Mapped[str] = mapped_column(ForeignKey(ObservationGroup.key), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64), index=True)
    """Dagster's run, or a foreground command, by its identity."""
    holder: Mapped[str]
    """The same in words."""
    host: Mapped[str]
    pid: Mapped[int]
    process: Mapped[str]
    """What tells the process from any other that has its pid; empty where that is not known."""
    taken_at: Mapped[datetime]
    heartbeat: Mapped[datetime]
    """Its last sign of life."""


class GroupTransition(Base):
    """One change of a group's state."""

    __tablename__ = "group_transition"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(ForeignKey(ObservationGroup.key), index=True)
    from_state: Mapped[str | None] = mapped_column("from", String(16))
    to_state: Mapped[str] = mapped_column("to", String(16))
    reason: Mapped[str]
    cause: Mapped[str | None] = mapped_column(String(16))
    """What broke off the work (one of ``CAUSES``); None where nothing did."""
    at: Mapped[datetime] = mapped_column(default=now)


class ArrivedFile(Base):
    """What became of one subband file that arrived, once that was settled."""

    __tablename__ = "arrived_file"
    __table_args__ = (CheckConstraint(one_of("outcome", FILE_OUTCOMES), name="outcome"),)

    folder: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    mtime: Mapped[float]
    group_key: Mapped[str | None] = mapped_column(ForeignKey(ObservationGroup.key), index=True)
    outcome: Mapped[str] = mapped_column(String(16), index=True)
    reason: Mapped[str]
    at: Mapped[datetime] = mapped_column(default=now)


class Pointing(Base):
    """Where the telescope looked during one group, and how that follows on the group before."""

    __tablename__ = "pointing"

    key: Mapped[str] = mapped_column(ForeignKey(ObservationGroup.key), primary_key=True)
    start_mjd: Mapped[float] = mapped_column(index=True)
    end_mjd: Mapped[float]
    declination_deg: Mapped[float]
    """Apparent."""
    gap_s: Mapped[float | None]
    """Time without data since the end of the group before; None for the first."""
    step_deg: Mapped[float | None]
    """Declination less that of the group before; None for the first."""
    told: Mapped[bool] = mapped_column(default=False)
    """Whether an alert has been considered."""
    at: Mapped[datetime] = mapped_column(default=now)


class ProductVersion(Base):
    """One publication of a product; the rows of a product are its history, and none is ever removed.

    A version of the flags that is made current again is a publication of its own: a new row that
    names the same content.
    """

    __tablename__ = "product_version"
    __table_args__ = (
        CheckConstraint(one_of("kind", KINDS), name="kind"),
        Index("ix_product_version_key_product", "kind", "key", "product"),
        Index(
            "uq_product_version_one_current",
            "kind",
            "key",
            "product",
            unique=True,
            sqlite_where=text("superseded_at IS NULL"),
            postgresql_where=text("superseded_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(8), default=GROUP)
    """What ``key`` is the key of; of a night's report: a day UTC, as keys of groups begin."""
    key: Mapped[str] = mapped_column(String(32))
    product: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(64))
    """Token of the content on disk; empty in rows of version 0.1.0 until the link has been read."""
    path: Mapped[str] = mapped_column(index=True)
    """Of the content, relative to the home, POSIX; absolute if it lies elsewhere."""
    numbers: Mapped[dict[str, Any]]
    """All of the stage's result."""
    settings: Mapped[dict[str, Any]]
    """Options and software with which it was made; empty in rows of version 0.1.0."""
    run: Mapped[str | None]
    made_at: Mapped[datetime] = mapped_column(default=now)
    superseded_at: Mapped[datetime | None] = mapped_column(index=True)
    """When another version took its place; None for the current one."""
    deleted_at: Mapped[datetime | None]
    """When retention removed its content; that of a current version can be made again."""
    removed_because: Mapped[str] = mapped_column(default="")
    """Why it did; empty in rows of earlier releases."""
    made_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """Size of the content as it was published; None in rows of earlier releases."""
    kept_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """What of that is on disk now: less once planes are compressed, nothing once it is removed."""
    compressed_at: Mapped[datetime | None]
    """When the planes of an image were compressed."""

    @property
    def removed(self) -> bool:
        """Whether its content is not on disk any more."""
        return self.deleted_at is not None


class ProductInput(Base):
    """One version that went into another."""

    __tablename__ = "product_input"

    version_id: Mapped[int] = mapped_column(ForeignKey(ProductVersion.id), primary_key=True)
    input_id: Mapped[int] = mapped_column(ForeignKey(ProductVersion.id), primary_key=True, index=True)


class Performance(Base):
    """What it took to make one product, once; never overwritten."""

    __tablename__ = "performance"
    __table_args__ = (CheckConstraint(one_of("kind", KINDS), name="kind"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(8), default=GROUP)
    key: Mapped[str] = mapped_column(String(32), index=True)
    product: Mapped[str] = mapped_column(String(64))
    version_id: Mapped[int | None] = mapped_column(ForeignKey(ProductVersion.id), index=True)
    """What was made; None where version 0.1.0 has replaced it."""
    retry: Mapped[int]
    """The group's count of retries at the time."""
    run: Mapped[str | None]
    host: Mapped[str]
    writer: Mapped[str | None]
    """Writer or engine that the stage reports."""
    seconds: Mapped[float | None]
    """Wall time of the stage's process, s."""
    peak_memory_mb: Mapped[float | None]
    """Largest resident size of that process, MiB."""
    at: Mapped[datetime] = mapped_column(default=now)


class Verdict(Base):
    """What a check said of a version, once."""

    __tablename__ = "verdict"
    __table_args__ = (
        CheckConstraint(one_of("status", VERDICTS), name="status"),
        CheckConstraint(one_of("kind", KINDS), name="kind"),
        Index("ix_verdict_key_product", "kind", "key", "product"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(8), default=GROUP)
    key: Mapped[str] = mapped_column(String(32))
    product: Mapped[str] = mapped_column(String(64))
    version_id: Mapped[int | None] = mapped_column(ForeignKey(ProductVersion.id), index=True)
    """The version that was judged; None where version 0.1.0 has replaced it."""
    check: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(8))
    value: Mapped[float | None]
    soft: Mapped[float]
    hard: Mapped[float]
    limits_version: Mapped[str]
    at: Mapped[datetime] = mapped_column(default=now)


class CalibrationSet(Base):
    """The solutions of one calibrator scan, with the range in which they hold.

    Its group need not be in the station database: sets are rebuilt from disk by themselves.
    """

    __tablename__ = "calibration_set"
    __table_args__ = (
        CheckConstraint(one_of("status", SET_STATES), name="status"),
        Index(
            "uq_calibration_set_one_active_per_group",
            "group_key",
            unique=True,
            sqlite_where=text("status = 'active'"),
            postgresql_where=text("status = 'active'"),
        ),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    group_key: Mapped[str] = mapped_column(String(19))
    mid_mjd: Mapped[float] = mapped_column(index=True)
    valid_from_mjd: Mapped[float]
    valid_to_mjd: Mapped[float]
    declination_deg: Mapped[float]
    centre_ra: Mapped[float]
    """Right ascension of the scan's phase centre, ICRS, deg."""
    centre_dec: Mapped[float | None]
    """Its declination, ICRS, deg; None for sets of version 0.1.0."""
    antennas: Mapped[list[str]]
    refant: Mapped[str]
    calibrator: Mapped[str]
    calibrator_apparent_jy: Mapped[float | None]
    """Its flux density through the drifting beam, Jy; None for sets of version 0.1.0."""
    flux_model: Mapped[dict[str, Any]]
    flux_source: Mapped[str]
    channel_low_hz: Mapped[float]
    channel_high_hz: Mapped[float]
    parameters: Mapped[dict[str, Any]]
    software: Mapped[dict[str, Any]]
    input_sha256: Mapped[str]
    """Of the flags with which the scan was solved."""
    quality: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(8))
    reason: Mapped[str] = mapped_column(default="")
    """Why it failed or was retired."""
    replaced_by: Mapped[str | None] = mapped_column(ForeignKey("calibration_set.id"))
    path: Mapped[str]
    """Of its folder, relative to the home, POSIX; absolute if it lies elsewhere."""
    created_at: Mapped[datetime] = mapped_column(default=now)
    tables: Mapped[list["CalibrationTable"]] = relationship(
        order_by="CalibrationTable.order", lazy="selectin", cascade="all, delete-orphan"
    )


class CalibrationTable(Base):
    """One table of a set, in its order of application."""

    __tablename__ = "calibration_table"

    set_id: Mapped[str] = mapped_column(ForeignKey(CalibrationSet.id), primary_key=True)
    order: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(String(8))
    file: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))


class GroupCalibration(Base):
    """Which set calibrated which group."""

    __tablename__ = "group_calibration"
    __table_args__ = (CheckConstraint(one_of("fallback", (*FALLBACKS, NAMED)), name="fallback"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(ForeignKey(ObservationGroup.key), index=True)
    set_id: Mapped[str] = mapped_column(ForeignKey(CalibrationSet.id))
    hours: Mapped[float]
    """Time of the set minus time of the group, h."""
    fallback: Mapped[str] = mapped_column(String(24))
    """How the set was come by."""
    warning: Mapped[str]
    at: Mapped[datetime] = mapped_column(default=now)


class CalibrationWait(Base):
    """A group that waits for its calibration."""

    __tablename__ = "calibration_wait"

    key: Mapped[str] = mapped_column(ForeignKey(ObservationGroup.key), primary_key=True)
    reason: Mapped[str]
    since: Mapped[datetime] = mapped_column(default=now)
    deadline: Mapped[datetime]
    """From then on the group takes what there is, or is refused."""


class GroupSummary(Base):
    """What lists show of a group, from the other tables: written with what it summarises."""

    __tablename__ = "group_summary"
    __table_args__ = (Index("ix_group_summary_facets", "state", "verdict", "image_quality"),)

    key: Mapped[str] = mapped_column(ForeignKey(ObservationGroup.key), primary_key=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    reason: Mapped[str]
    n_subbands: Mapped[int]
    declination_deg: Mapped[float]
    mid_mjd: Mapped[float] = mapped_column(index=True)
    calibrator_name: Mapped[str | None]
    calibrator_apparent_jy: Mapped[float | None]
    verdict: Mapped[str] = mapped_column(String(8), index=True)
    """The worst standing verdict on any of its products; empty if there is none."""
    n_warn: Mapped[int]
    n_error: Mapped[int]
    worst_check: Mapped[str]
    """``product.check`` of the worst verdict, the first by name; empty if all passed."""
    calibration_quality: Mapped[str] = mapped_column(String(9))
    """Word for the checks of its own solutions (``radio/limits.py``); ``unknown`` if it has none."""
    image_quality: Mapped[str] = mapped_column(String(9))
    """Word for the checks of its image."""
    n_products: Mapped[int]
    image_version_id: Mapped[int | None] = mapped_column(ForeignKey(ProductVersion.id))
    image_made_at: Mapped[datetime | None]
    measurement_set_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """Size of the converted Measurement Set; None where it was made before that was recorded."""
    flag_fraction: Mapped[float | None]
    """Flagged part of the cross-correlations."""
    rms_mjy_beam: Mapped[float | None] = mapped_column(index=True)
    """Noise of the image, mJy/beam."""
    rms_ratio: Mapped[float | None]
    """Noise over what is expected."""
    dynamic_range: Mapped[float | None]
    n_sources: Mapped[int | None]
    flux_ratio: Mapped[float | None]
    """Flux densities over the station database's."""
    astrometric_offset_arcsec: Mapped[float | None]
    set_id: Mapped[str | None] = mapped_column(ForeignKey(CalibrationSet.id))
    """Calibration set that calibrated it last."""
    calibration_hours: Mapped[float | None]
    """Time of that set minus time of the group, h."""
    fallback: Mapped[str | None] = mapped_column(String(24))
    updated: Mapped[datetime]
    """When any of this changed last."""
    measured_version_id: Mapped[int | None]
    """The measurements that count; None if there are none (``station/light_curves.py`` says which do)."""
    merged_version_id: Mapped[int | None]
    """Those that are in the files of tiles; written by the merge, not from the other tables."""
    merge_due: Mapped[str | None] = mapped_column(String(11), index=True)
    """The group's sidereal day while these two differ."""


class OperatorAction(Base):
    """One write that somebody asked for (``operator_actions.Action``); entered before it is carried out."""

    __tablename__ = "operator_action"

    id: Mapped[int] = mapped_column(primary_key=True)
    request: Mapped[str] = mapped_column(String(32), unique=True)
    """Identity, also in the response's ``X-Request-Id``."""
    at: Mapped[datetime] = mapped_column(default=now, index=True)
    user: Mapped[str] = mapped_column(String(128), index=True)
    role: Mapped[str] = mapped_column(String(16))
    by: Mapped[str] = mapped_column(String(16))
    """How the user is known: ``loopback``, ``token``, ``proxy`` or ``command line``."""
    peer: Mapped[str]
    method: Mapped[str] = mapped_column(String(16))
    target: Mapped[str]
    mutations: Mapped[list[str]]
    """What Dagster was asked to do."""
    content: Mapped[str]
    """What was sent, cut."""
