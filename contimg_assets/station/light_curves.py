"""Light curves from the measurements of all groups: which of them count, and finding a source in them.

A file counts while it is the current version of its group's ``photometry``, was made
from the current image, and neither has a check that says ERROR.  So a group that is made
again has its rows once, and one whose image is condemned takes them out.  Belongs
here: reading.  Does not belong here: the files' schema (``radio/photometry/table.py``),
statistics (``radio/variability``).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, aliased

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.photometry.table import FILE, read_measurements
from contimg_assets.radio.variability.statistics import Variability, variability
from contimg_assets.station.database import reading
from contimg_assets.station.models import GROUP, ProductInput, ProductVersion, Verdict
from contimg_assets.station.store import Store
from contimg_assets.station.verdicts import standing_verdicts

if TYPE_CHECKING:
    import pandas

PRODUCT = "photometry"
#: Products whose ERROR takes a group's measurements out.
_JUDGED = ("image_qa", PRODUCT)
#: A position means a source within this of it, unless the caller says otherwise.
NEAR_ARCSEC = 20.0
#: An upper limit is so many standard errors above what was measured, or above zero.
_LIMIT_SIGMA = 3.0


@dataclass(frozen=True)
class LiveMeasurements:
    """The measurements of one group that count now."""

    key: str
    version: str
    path: Path
    """Of the file."""


@dataclass(frozen=True)
class LightCurve:
    """All measurements of one source that count."""

    source: str
    ra_deg: float
    """Where it was measured, the mean."""
    dec_deg: float
    statistics: Variability
    """Of measurements without flags other than *limit*, *moved* and *poor fit*."""
    table: "pandas.DataFrame"
    """A row a measurement, in the order of time: the file's columns, ``flux_jy``, ``flux_error_jy``,
    ``upper_limit_jy`` (NaN where it is none) and ``version``."""

    def as_dict(self) -> dict[str, Any]:
        """As plain values; what is not a number is None."""
        rows = self.table.astype(object).where(self.table.notna(), None).to_dict("records")
        statistics = {
            name: None if value is None or not np.isfinite(value) else value
            for name, value in asdict(self.statistics).items()
        }
        return {
            "source": self.source,
            "ra_deg": self.ra_deg,
            "dec_deg": self.dec_deg,
            "statistics": statistics,
            "measurements": rows,
        }


def live_measurements(engine: Engine, store: Store) -> list[LiveMeasurements]:
    """The measurements of all groups that count, in the order of time."""
    image = aliased(ProductVersion)
    stale = (
        select(ProductInput.version_id)
        .join(image, image.id == ProductInput.input_id)
        .where(image.product == "image", image.superseded_at.is_not(None))
    )
    live = (
        select(ProductVersion.key, ProductVersion.version, ProductVersion.path)
        .where(
            ProductVersion.kind == GROUP,
            ProductVersion.product == PRODUCT,
            ProductVersion.superseded_at.is_(None),
            ProductVersion.deleted_at.is_(None),
            ProductVersion.id.not_in(stale),
        )
        .order_by(ProductVersion.key)
    )
    with reading(engine) as session:
        condemned = _condemned(session)
        return [
            LiveMeasurements(key, version, store.absolute(path) / FILE)
            for key, version, path in session.execute(live)
            if key not in condemned
        ]


def _condemned(session: Session) -> set[str]:
    """Groups of which a standing verdict on image or measurements is ERROR."""
    ever = (
        select(Verdict.key, Verdict.product)
        .where(Verdict.kind == GROUP, Verdict.product.in_(_JUDGED), Verdict.status == "ERROR")
        .distinct()
    )
    return {
        key
        for key, product in session.execute(ever).all()
        if any(v.status == "ERROR" for v in standing_verdicts(session, key, product).values())
    }


def light_curve(
    engine: Engine,
    store: Store,
    *,
    name: str | None = None,
    position: tuple[float, float] | None = None,
    radius_arcsec: float = NEAR_ARCSEC,
) -> LightCurve:
    """The light curve of a source, by its name or by a place near it.

    Parameters
    ----------
    engine, store
        Of the station.
    name : str, optional
        As its rows have it.
    position : tuple of float, optional
        ICRS right ascension and declination, deg.  Of several sources the nearest is meant.
    radius_arcsec : float
        How far from the position it may be.

    Returns
    -------
    LightCurve

    Raises
    ------
    MissingInputError
        If no measurement that counts is of such a source.
    ValueError
        If neither name nor position is given, or both.
    """
    if (name is None) == (position is None):
        raise ValueError("a light curve is of a name or of a position")
    live = live_measurements(engine, store)
    if name is None and position is not None:
        name = _nearest(live, *position, radius_arcsec)
        wanted = f"source within {radius_arcsec:g}″ of {position[0]:g}, {position[1]:g}"
    else:
        wanted = f"source {name!r}"
    rows = _rows(live, name) if name is not None else None
    if name is None or rows is None:
        raise MissingInputError(f"found no {wanted} in the measurements of {len(live)} groups")
    return _curve(name, rows)


def _rows(live: Sequence[LiveMeasurements], name: str) -> "pandas.DataFrame | None":
    """A source's rows of all groups; None if there is none."""
    import pandas

    parts = []
    for one in live:
        part = read_measurements(one.path, source=name).to_pandas()
        if len(part):
            parts.append(part.astype({"source": str, "kind": str, "group": str}).assign(version=one.version))
    return pandas.concat(parts, ignore_index=True).sort_values("mjd", ignore_index=True) if parts else None


def _nearest(
    live: Sequence[LiveMeasurements], ra_deg: float, dec_deg: float, radius_arcsec: float
) -> str | None:
    """Name of the source nearest to a place."""
    best, name = radius_arcsec, None
    for one in live:
        table = read_measurements(one.path, columns=["source", "ra_deg", "dec_deg"])
        ra, dec = table["ra_deg"].to_numpy(), table["dec_deg"].to_numpy()
        east = ((ra - ra_deg + 180) % 360 - 180) * np.cos(np.deg2rad(dec_deg))
        away = 3600 * np.hypot(east, dec - dec_deg)
        if len(away) and away.min() <= best:
            best, name = float(away.min()), str(table["source"][int(away.argmin())])
    return name


def _curve(name: str, rows: "pandas.DataFrame") -> LightCurve:
    """Derived columns and statistics."""
    from contimg_assets.radio.photometry.flags import Flag

    rows["flux_jy"] = rows["apparent_jy"].astype("f8") / rows["beam"]
    rows["flux_error_jy"] = rows["apparent_error_jy"].astype("f8") / rows["beam"]
    limit = rows["flux_jy"].clip(lower=0) + _LIMIT_SIGMA * rows["flux_error_jy"]
    rows["upper_limit_jy"] = limit.where(rows["flags"] & int(Flag.LIMIT) != 0)
    spoilt = Flag.EDGE | Flag.BLANK | Flag.LOW_BEAM | Flag.BLENDED | Flag.MERGED | Flag.ARTEFACTS
    good = rows[rows["flags"] & int(spoilt) == 0]
    return LightCurve(
        name,
        float(rows["ra_deg"].mean()),
        float(rows["dec_deg"].mean()),
        variability(good["flux_jy"].to_numpy(), good["flux_error_jy"].to_numpy()),
        rows,
    )
