"""The archive of a home or of a station's database, read-only.

Belongs here: what is asked and how it is told (DataFrames with units in the names of
their columns).  Does not belong here: queries that the command line makes too
(``station/``), reading of images (``images.py``).
"""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.nddata import CCDData
from astropy.table import Table
from sqlalchemy import select

from contimg_assets.archive.images import read_image
from contimg_assets.radio.errors import MissingInputError, SettingsError
from contimg_assets.radio.group_key import parse_key
from contimg_assets.radio.variability.options import VariabilityOptions
from contimg_assets.settings import SETTINGS_FILE, get_settings, with_driver
from contimg_assets.station.calibration_registry import table_entries
from contimg_assets.station.database import reading
from contimg_assets.station.group_listing import GroupFilter, GroupLine, group_lines
from contimg_assets.station.light_curves import LightCurve, light_curve, rows_in
from contimg_assets.station.models import (
    GROUP,
    CalibrationSet,
    ObservationGroup,
    Performance,
    ProductVersion,
    Verdict,
)
from contimg_assets.station.numbers import numbers
from contimg_assets.station.readonly import open_readonly
from contimg_assets.station.sources import SourceQuery, find_sources
from contimg_assets.station.store import Store
from contimg_assets.station.verdicts import standing
from contimg_assets.station.version_views import lineage_of, versions_of
from contimg_assets.station.versions import current_version

#: Columns of lists that say their unit here and do not in the database.
_UNITS = {
    "key": "group",
    "group_key": "group",
    "id": "set_id",
    "centre_ra": "centre_ra_deg",
    "centre_dec": "centre_dec_deg",
    "seconds": "wall_s",
    "peak_memory_mb": "peak_memory_mib",
    "calibration_hours": "calibration_h",
    "calibrator_name": "calibrator",
    "x": "x_pixel",
    "y": "y_pixel",
}
#: Columns of a calibration set that are no single value.
_NESTED = ("antennas", "flux_model", "parameters", "software", "quality")


class Archive:
    """What a station has made.

    Parameters
    ----------
    home : str or Path, optional
        The home; default: ``CONTIMG_HOME``, with all settings.  A home that is named here is read by its own
        ``contimg.toml`` alone: the environment does not count.
    database : str, optional
        URL of the station database, if that is not the one which the home names.

    Raises
    ------
    MissingInputError
        If there is no home or no database.
    DatabaseError
        If it cannot be reached, or is of another release.
    """

    def __init__(self, home: str | Path | None = None, database: str | None = None) -> None:
        if home is None:
            settings = get_settings()
            self.home, url = settings.home, settings.sqlalchemy_url
            self._variability = settings.variability
        else:
            self.home = Path(home).expanduser().absolute()
            content = _content(self.home / SETTINGS_FILE)
            named = content.get("database_url")
            url = with_driver(named) if named else f"sqlite:///{self.home / 'catalogue.sqlite'}"
            self._variability = VariabilityOptions(**content.get("variability", {}))
        if not self.home.is_dir():
            raise MissingInputError(f"{self.home}: found no folder; expected the home of a station")
        self.engine = open_readonly(with_driver(database) if database else url)
        self.store = Store(self.home)

    # -- tables -----------------------------------------------------------------------------

    def groups(
        self, *, since: str = "", until: str = "", state: str | None = None, verdict: str | None = None
    ) -> pd.DataFrame:
        """Groups with their verdicts and the numbers that lists show, oldest first, by their keys.

        Parameters
        ----------
        since, until : str
            Keys, or the first part of them (``2025-06-01``), from which and before which.
        state, verdict : str, optional
            Only groups with it.
        """
        wanted = GroupFilter(
            since=since,
            before=until,
            states=(state,) if state else (),
            verdicts=(verdict,) if verdict is not None else (),
        )
        lines = group_lines(self.engine, wanted)
        columns = [name for name in GroupLine.__dataclass_fields__ if name != "image_path"]
        rows = [{name: getattr(line, name) for name in columns} for line in reversed(lines)]
        return _frame(rows, columns).set_index("group")

    def survey_sources(self, **wanted: Any) -> pd.DataFrame:
        """Sources of the survey with what their light curves say, by their names.

        Parameters
        ----------
        **wanted
            As for :class:`contimg_assets.station.sources.SourceQuery`: ``cone``, ``box``, ``region``,
            ``least_jy``, ``least_eta``, ``least_modulation``, ``variable``, ``kind``, ``order``, ``limit``.
        """
        return find_sources(self.engine, SourceQuery(**wanted)).set_index("name")

    def light_curve(
        self, name: str | None = None, *, position: tuple[float, float] | None = None
    ) -> LightCurve:
        """The light curve of a source, by name or near a place (ICRS, deg); its ``table`` is a DataFrame."""
        error = self._variability.relative_error
        return light_curve(self.engine, self.store, name=name, position=position, relative_error=error)

    def measurements(self, ra_deg: float, dec_deg: float, radius_deg: float) -> pd.DataFrame:
        """All measurements that count within a circle, on the flux scale, a row each."""
        return rows_in(self.engine, self.store, (ra_deg, dec_deg), radius_deg)

    def numbers(self, product: str = "image_qa", *, since: str = "", until: str = "") -> pd.DataFrame:
        """All numbers of the current version of a product, a row a group; NaN where one has none."""
        statement = select(ProductVersion).where(
            ProductVersion.kind == GROUP,
            ProductVersion.product == product,
            ProductVersion.superseded_at.is_(None),
            ProductVersion.key >= since,
        )
        if until:
            statement = statement.where(ProductVersion.key < until)
        with reading(self.engine) as session:
            found = session.scalars(statement.order_by(ProductVersion.key)).all()
        rows = [{"group": version.key, **numbers(version.numbers)} for version in found]
        return _frame(rows, ["group"]).set_index("group")

    def verdicts(self, product: str = "image_qa", *, since: str = "", until: str = "") -> pd.DataFrame:
        """What each check says of a product as it stands: value, limits and status, a row a check."""
        current = select(ProductVersion.key, ProductVersion.id).where(
            ProductVersion.kind == GROUP,
            ProductVersion.product == product,
            ProductVersion.superseded_at.is_(None),
        )
        statement = select(Verdict).where(
            Verdict.kind == GROUP, Verdict.product == product, Verdict.key >= since
        )
        if until:
            statement = statement.where(Verdict.key < until)
        of_group: dict[str, list[Verdict]] = {}
        with reading(self.engine) as session:
            versions: dict[str, int] = {key: identity for key, identity in session.execute(current)}
            for row in session.scalars(statement.order_by(Verdict.key, Verdict.id)):
                of_group.setdefault(row.key, []).append(row)
        columns = ("check", "status", "value", "soft", "hard", "limits_version", "at")
        rows = [
            {"group": key, **{name: getattr(row, name) for name in columns}}
            for key, all_of in of_group.items()
            for row in standing(all_of, product, versions.get(key)).values()
        ]
        return _frame(rows, ["group", *columns])

    def calibration_sets(self) -> pd.DataFrame:
        """The calibration registry, a row a set, with the numbers of its solutions; oldest first."""
        with reading(self.engine) as session:
            found = session.scalars(select(CalibrationSet).order_by(CalibrationSet.mid_mjd)).all()
        columns = [column.name for column in CalibrationSet.__table__.columns if column.name not in _NESTED]
        rows = [
            {name: getattr(one, name) for name in columns}
            | {"path": str(self.store.absolute(one.path)), "n_antennas": len(one.antennas)}
            | {"tables": tuple(entry["type"] for entry in table_entries(one))}
            | numbers(one.quality)
            for one in found
        ]
        return _frame(rows, columns).set_index("set_id")

    def performance(self, product: str | None = None, *, since: str = "") -> pd.DataFrame:
        """What each product took to make, each time it was made: wall time and memory."""
        statement = select(Performance).where(Performance.key >= since).order_by(Performance.id)
        if product is not None:
            statement = statement.where(Performance.product == product)
        columns = ("key", "product", "at", "seconds", "peak_memory_mb", "writer", "retry", "host", "run")
        with reading(self.engine) as session:
            rows = [{name: getattr(row, name) for name in columns} for row in session.scalars(statement)]
        return _frame(rows, columns)

    def sources(self, groups: str | Iterable[str]) -> pd.DataFrame:
        """Source lists of one group or several, a row a source; units are in the names of the columns."""
        names = [groups] if isinstance(groups, str) else list(groups)
        frames = []
        for name in names:
            key = self.key(name)
            table = Table.read(next(iter(self._files(key, "image", "*.sources.fits"))))
            table.convert_bytestring_to_unicode()
            frame = table.to_pandas()
            frame.insert(0, "group", key)
            frames.append(frame)
        if not frames:
            return pd.DataFrame({"group": []})
        return pd.concat(frames, ignore_index=True).rename(columns=_UNITS)

    def versions(self, group: str, product: str | None = None) -> pd.DataFrame:
        """All versions of a group's products, oldest first, with what went into each."""
        views = [vars(view) for view in versions_of(self.engine, self.key(group), product)]
        return pd.DataFrame(views, columns=None if views else ["id"]).rename(columns={"seconds": "wall_s"})

    def lineage(self, group: str, product: str = "image") -> pd.DataFrame:
        """The current version of a product and all that went into it, with the number of steps from it."""
        views = lineage_of(self.engine, self.key(group), product)
        return pd.DataFrame([{"steps": v.steps, **vars(v.version)} for v in views]).rename(
            columns={"seconds": "wall_s"}
        )

    # -- files ------------------------------------------------------------------------------

    def image(self, group: str, plane: str = "pbcor") -> CCDData:
        """An image of a group: one of ``contimg_assets.archive.PLANES``."""
        return read_image(self.path(group, "image"), plane)

    def cutout(self, group: str, centre: SkyCoord, size: u.Quantity, plane: str = "pbcor") -> CCDData:
        """A square part of an image around a place; smaller at the edge of the image.

        Parameters
        ----------
        group : str
        centre : SkyCoord
        size : Quantity
            Width, an angle.
        plane : str
        """
        return read_image(self.path(group, "image"), plane, centre, size)

    def path(self, group: str, product: str = "image") -> Path:
        """Content of the current version of a product: a folder that stays as it is while you read.

        Raises
        ------
        MissingInputError
            If the group or the product is not there.
        """
        key = self.key(group)
        with reading(self.engine) as session:
            version = current_version(session, key, product)
        if version is None:
            raise MissingInputError(f"group {key} has no {product}")
        path = self.store.absolute(version.path)
        if not path.exists():
            raise MissingInputError(f"{path}: found nothing; the database has it as the {product} of {key}")
        return path

    def key(self, group: str) -> str:
        """The key of a group that is written in any way that ``contimg`` takes.

        Raises
        ------
        MissingInputError
            If it is not spelled like one, or there is no such group.
        """
        try:
            key = parse_key(group)
        except ValueError as error:
            raise MissingInputError(str(error)) from error
        with reading(self.engine) as session:
            if session.get(ObservationGroup, key) is None:
                raise MissingInputError(f"the database has no group {key}")
        return key

    def _files(self, key: str, product: str, pattern: str) -> list[Path]:
        folder = self.path(key, product)
        found = sorted(folder.glob(pattern))
        if not found:
            raise MissingInputError(f"{folder}: found no file {pattern}")
        return found


def _content(file: Path) -> dict[str, Any]:
    """What a home's own settings file has."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: found no TOML: {error}") from error


def _frame(rows: list[dict[str, Any]], columns: Iterable[str]) -> pd.DataFrame:
    """A DataFrame with its columns even if it has no row, and units in their names."""
    frame = pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(columns))
    return frame.rename(columns=_UNITS)
