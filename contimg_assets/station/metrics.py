"""What the station database and the disks say of an installation, as metrics of Prometheus.

Belongs here: names, units and queries; everything is read when it is asked for.  Does not
belong here: what Dagster knows of its runs and daemons (``resources/dagster_metrics.py``),
or when a figure is an alarm (``deploy/prometheus/rules.yml``).

Times are given as Unix times, not as ages: the age of something that nobody writes any
more then goes on growing, and a value that was read once can be used at any later time.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client import Metric
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from sqlalchemy import ColumnElement, Engine, Row, case, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.orm import InstrumentedAttribute, Session

from contimg_assets import __version__
from contimg_assets.radio.errors import BackupError
from contimg_assets.radio.telescope import GROUP_S
from contimg_assets.settings import Settings
from contimg_assets.station.backup import last_backup
from contimg_assets.station.database import reading
from contimg_assets.station.models import (
    STATES,
    VERDICTS,
    ArrivedFile,
    CalibrationSet,
    GroupSummary,
    GroupTransition,
    Lease,
    ObservationGroup,
    Performance,
    ProductVersion,
    Verdict,
    now,
)
from contimg_assets.station.space_metrics import space_metrics

#: Numbers of images are told of those made within this time.
WINDOW = timedelta(hours=24)
STATISTICS = {"lowest": 0.0, "median": 0.5, "95 %": 0.95, "highest": 1.0}
#: Upper ends of the classes of a stage's time, s.
STAGE_SECONDS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
#: Declinations of one strip differ by less than this, deg.
STRIP_DEG = 0.1
MIB = 1024.0 * 1024.0


def station_metrics(engine: Engine, settings: Settings) -> Iterator[Metric]:
    """Metrics of an installation, apart from Dagster's.

    Parameters
    ----------
    engine : Engine
        Of the station database.
    settings : Settings
        Have the folders.

    Yields
    ------
    Metric
        In base units: seconds, bytes, jansky per beam, ratios.
    """
    info = GaugeMetricFamily("contimg_build_info", "Version of the pipeline; always 1.", labels=["version"])
    info.add_metric([__version__], 1)
    yield info
    began = time.monotonic()
    since = now() - WINDOW
    with reading(engine) as session:
        yield from _groups(session)
        yield from _images(session, since)
        yield from _stages(session)
        yield from _standing_verdicts(session, since)
        yield _calibrations(session)
        yield from _leases(session)
        yield _rows(session)
        yield _database_bytes(session, settings.sqlalchemy_url)
    yield _last_backup(settings.home)
    yield from _disks({"home": settings.home, "incoming": settings.incoming_folder})
    yield from space_metrics(engine, settings)
    yield GaugeMetricFamily(
        "contimg_collection_seconds",
        "Time that it took to read these metrics, s.",
        value=time.monotonic() - began,
    )


def _time(name: str, text: str, at: datetime | None) -> GaugeMetricFamily:
    """A gauge of a time; without a value where there is none yet."""
    family = GaugeMetricFamily(f"{name}_timestamp_seconds", f"{text}, Unix time.")
    if at is not None:
        family.add_metric([], at.timestamp())
    return family


def _groups(session: Session) -> Iterator[Metric]:
    known = dict(
        session.execute(select(ObservationGroup.state, func.count()).group_by(ObservationGroup.state))
        .tuples()
        .all()
    )
    states = GaugeMetricFamily("contimg_groups", "Observation groups by state.", labels=["state"])
    for state in STATES:
        states.add_metric([state], known.get(state, 0))
    yield states
    judged = dict(
        session.execute(
            select(GroupSummary.verdict, func.count())
            .where(GroupSummary.state == "completed")
            .group_by(GroupSummary.verdict)
        )
        .tuples()
        .all()
    )
    verdicts = GaugeMetricFamily(
        "contimg_completed_groups", "Completed groups by their worst standing verdict.", labels=["verdict"]
    )
    for verdict in VERDICTS:
        verdicts.add_metric([verdict], judged.get(verdict, 0))
    verdicts.add_metric(["none"], judged.get("", 0))
    yield verdicts
    yield _time(
        "contimg_last_arrival",
        "When the last file was accounted for",
        session.scalar(select(func.max(ArrivedFile.at))),
    )
    yield _time(
        "contimg_last_registration",
        "When the last group was registered",
        session.scalar(select(func.max(ObservationGroup.created))),
    )
    yield _time(
        "contimg_last_image",
        "When the last image was made",
        session.scalar(select(func.max(GroupSummary.image_made_at))),
    )
    yield _time(
        "contimg_oldest_pending",
        "Since when the pending group that waits longest has not changed",
        session.scalar(select(func.min(ObservationGroup.updated)).where(ObservationGroup.state == "pending")),
    )
    yield CounterMetricFamily(
        "contimg_failures",
        "How often a group has come to be failed.",
        value=session.scalar(
            select(func.count()).select_from(GroupTransition).where(GroupTransition.to_state == "failed")
        )
        or 0,
    )


def _statistics(name: str, text: str, values: Sequence[float]) -> GaugeMetricFamily:
    # Not as quantiles of a summary, which have a sum and a count since the process started.
    family = GaugeMetricFamily(name, f"{text}, of images made within 24 h.", labels=["statistic"])
    if len(values):
        found = np.quantile(values, list(STATISTICS.values()))
        for statistic, value in zip(STATISTICS, found, strict=True):
            family.add_metric([statistic], float(value))
    return family


def _images(session: Session, since: datetime) -> Iterator[Metric]:
    columns: tuple[InstrumentedAttribute[float | None], ...] = (
        GroupSummary.rms_mjy_beam,
        GroupSummary.rms_ratio,
        GroupSummary.flux_ratio,
        GroupSummary.astrometric_offset_arcsec,
    )
    rows = session.execute(
        select(GroupSummary.key, GroupSummary.image_made_at, ObservationGroup.created, *columns)
        .join(ObservationGroup, ObservationGroup.key == GroupSummary.key)
        .where(GroupSummary.image_made_at > since)
    ).all()
    yield GaugeMetricFamily("contimg_images", "Images made within 24 h.", value=len(rows))
    # A group that was made again after weeks has no latency.
    latency = [
        (row.image_made_at - row.created).total_seconds() for row in rows if row.created > since - WINDOW
    ]
    yield _statistics("contimg_latency_seconds", "From the registration of a group to its image, s", latency)
    yield _statistics("contimg_noise_jy_per_beam", "Noise, Jy/beam", _values(rows, "rms_mjy_beam", 1e-3))
    yield _statistics("contimg_noise_ratio", "Noise over the expected one", _values(rows, "rms_ratio"))
    yield _statistics(
        "contimg_flux_ratio", "Flux densities over the source catalogue's", _values(rows, "flux_ratio")
    )
    yield _statistics(
        "contimg_astrometric_offset_arcsec",
        "Offset from the source catalogue, arcsec",
        _values(rows, "astrometric_offset_arcsec"),
    )
    seconds = session.scalars(
        select(func.sum(Performance.seconds))
        .where(Performance.at > since, Performance.key.in_([row.key for row in rows]))
        .group_by(Performance.key)
    ).all()
    family = GaugeMetricFamily(
        "contimg_real_time_factor",
        "Length of a group over the median time of its stages, of images made within 24 h.",
    )
    known = [value for value in seconds if value]
    if known:
        family.add_metric([], GROUP_S / float(np.median(known)))
    yield family


def _values(rows: Sequence[Row[Any]], name: str, factor: float = 1.0) -> list[float]:
    found = [getattr(row, name) for row in rows]
    return [factor * value for value in found if value is not None]


def _stages(session: Session) -> Iterator[Metric]:
    below: list[ColumnElement[int]] = [
        func.sum(case((Performance.seconds <= bound, 1), else_=0)) for bound in STAGE_SECONDS
    ]
    rows = session.execute(
        select(
            Performance.product,
            func.count(Performance.seconds),
            func.sum(Performance.seconds),
            func.max(Performance.peak_memory_mb),
            *below,
        )
        .where(Performance.seconds.is_not(None))
        .group_by(Performance.product)
        .order_by(Performance.product)
    ).all()
    times = HistogramMetricFamily(
        "contimg_stage_seconds", "Wall time of a stage's process, s.", labels=["product"]
    )
    memory = GaugeMetricFamily(
        "contimg_stage_peak_memory_bytes",
        "Largest resident size that a stage's process has had.",
        labels=["product"],
    )
    for product, count, total, peak, *counts in rows:
        classes = [*zip((f"{bound:g}" for bound in STAGE_SECONDS), counts, strict=True), ("+Inf", count)]
        times.add_metric([product], classes, total)
        if peak is not None:
            memory.add_metric([product], peak * MIB)
    yield times
    yield memory


def _standing_verdicts(session: Session, since: datetime) -> Iterator[Metric]:
    newest = (
        select(func.max(Verdict.id))
        .join(GroupSummary, GroupSummary.key == Verdict.key)
        .where(GroupSummary.image_made_at > since, Verdict.kind == "group")
        .group_by(Verdict.key, Verdict.product, Verdict.check)
    )
    family = GaugeMetricFamily(
        "contimg_verdicts",
        "Standing verdicts by check, of groups whose image was made within 24 h.",
        labels=["product", "check", "status"],
    )
    counted = (
        select(Verdict.product, Verdict.check, Verdict.status, func.count())
        .where(Verdict.id.in_(newest))
        .group_by(Verdict.product, Verdict.check, Verdict.status)
        .order_by(Verdict.product, Verdict.check, Verdict.status)
    )
    for product, check, status, count in session.execute(counted):
        family.add_metric([product, check, status], count)
    yield family


def _calibrations(session: Session) -> Metric:
    """Middle of the newest calibrator scan of each strip of declination."""
    rows = session.execute(
        select(CalibrationSet.declination_deg, CalibrationSet.mid_mjd)
        .where(CalibrationSet.status == "active")
        .order_by(CalibrationSet.mid_mjd)
    )
    newest: dict[float, float] = {}
    for declination, mjd in rows:
        newest[round(declination / STRIP_DEG) * STRIP_DEG] = mjd
    family = GaugeMetricFamily(
        "contimg_calibration_timestamp_seconds",
        "Middle of the newest active calibration set of a strip, Unix time.",
        labels=["declination"],
    )
    for declination, mjd in sorted(newest.items()):
        family.add_metric([f"{declination:+.1f}"], (mjd - 40587.0) * 86400.0)
    return family


def _leases(session: Session) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "contimg_leases",
        "Groups that somebody works on.",
        value=session.scalar(select(func.count()).select_from(Lease)) or 0,
    )
    yield _time(
        "contimg_oldest_heartbeat",
        "Last sign of life of the worker that is silent longest",
        session.scalar(select(func.min(Lease.heartbeat))),
    )


def _rows(session: Session) -> Metric:
    family = GaugeMetricFamily(
        "contimg_database_rows", "Rows of a table whose rows are never removed.", labels=["table"]
    )
    for model in (ProductVersion, Performance, Verdict, GroupTransition):
        family.add_metric([model.__tablename__], session.scalar(select(func.max(model.id))) or 0)
    return family


def _database_bytes(session: Session, url: str) -> Metric:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        path = Path(parsed.database or "")
        size = sum(file.stat().st_size for file in (path, Path(f"{path}-wal")) if file.is_file())
    else:
        size = session.scalar(select(func.pg_database_size(func.current_database()))) or 0
    return GaugeMetricFamily(
        "contimg_database_bytes", "Size of the station database with its journal.", value=size
    )


def _last_backup(home: Path) -> Metric:
    try:
        newest = last_backup(home)
    except BackupError:
        newest = None  # its absence is an alarm, and the doctor says why
    return _time("contimg_last_backup", "When the newest backup was made", newest.at if newest else None)


def _disks(folders: dict[str, Path]) -> Iterator[Metric]:
    free = GaugeMetricFamily(
        "contimg_disk_free_bytes", "Free space of the disk of a folder.", labels=["folder"]
    )
    size = GaugeMetricFamily("contimg_disk_size_bytes", "Size of the disk of a folder.", labels=["folder"])
    for name, folder in folders.items():
        # A folder that is away has no figures: rules see that they are missing.
        if folder.is_dir():
            usage = shutil.disk_usage(folder)
            free.add_metric([name], usage.free)
            size.add_metric([name], usage.total)
    yield free
    yield size
