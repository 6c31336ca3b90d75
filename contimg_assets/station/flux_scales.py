"""The flux scale of a day, made and kept: a small table, and all days' together for who reads rows.

The days' tables are merged as measurements are (``radio/light_curves/periods.py``), into
one product of the whole survey, so that ten years are some fifty small files.

Belongs here: which rows go in, publishing, reading corrections.  Does not belong here:
the fit (``radio/flux_scale/solve.py``).
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Engine

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.flux_scale.beam_terms import shape_of
from contimg_assets.radio.flux_scale.options import FluxScaleOptions
from contimg_assets.radio.flux_scale.solve import Axis, Scales, solve_scales
from contimg_assets.radio.flux_scale.table import (
    FILE,
    frame_of,
    join_scales,
    read_scales,
    table_of,
    write_scales,
)
from contimg_assets.radio.light_curves.periods import Kind, build, period_files
from contimg_assets.radio.photometry.table import read_measurements
from contimg_assets.station.measured import Measured, measured_on
from contimg_assets.station.models import ProductVersion
from contimg_assets.station.store import Store
from contimg_assets.station.survey_versions import (
    DAY,
    SURVEY,
    WHOLE,
    Built,
    current_versions,
    publish_together,
)

if TYPE_CHECKING:
    import pandas

PRODUCT, CORRECTIONS = "flux_scale", "corrections"
_SCALES = Kind(read_scales, write_scales, join_scales)
#: What the fit takes of a group's measurements.
_COLUMNS = (
    *("source", "kind", "group", "ra_deg", "dec_deg", "apparent_jy", "apparent_error_jy", "beam", "flags"),
    *("free_apparent_jy", "survey_jy", "east_arcsec", "north_arcsec", "frequency_mhz"),
)
#: What no drift tells, as people are told it.
UNKNOWN = (
    "the beam at hour angle 0, at each declination: it is in the flux densities of the sources there, and "
    "only the survey's mean holds it"
)


def make_flux_scale(
    engine: Engine, store: Store, day: str, options: FluxScaleOptions, *, run: str | None = None
) -> ProductVersion:
    """Fit the scales of a day's groups, and put them where rows are read.

    Parameters
    ----------
    engine, store
        Of the station.
    day : str
        Key of a sidereal day.
    options : FluxScaleOptions
    run : str, optional
        Dagster's run.

    Returns
    -------
    ProductVersion

    Raises
    ------
    MissingInputError
        If the day has no measurements, or none that tell a scale.
    StateError
        If somebody else publishes a day at the same time; nothing has changed then.
    """
    groups = [one for one in measured_on(engine, store, day) if one.path is not None]
    if not groups:
        raise MissingInputError(f"day {day}: found no measurements that count, expected those of a group")
    rows, axes = _rows(groups), axes_of(groups)
    scales = solve_scales(rows, axes, options)
    table = table_of(scales, axes)
    own = current_versions(engine, DAY, PRODUCT, [day]).get(day)
    whole = current_versions(engine, WHOLE, CORRECTIONS, [SURVEY]).get(SURVEY)
    before = store.absolute(whole.path) if whole is not None else None
    files = period_files(before) if before is not None else {}
    newest = max([day, *(period for period in files if len(period) >= len(day))])
    settings = {"options": {"flux_scale": options.model_dump(mode="json")}}
    with store.staging(day, PRODUCT) as of_day, store.staging(SURVEY, CORRECTIONS) as of_all:
        (of_day / "built").mkdir()
        write_scales(of_day / "built" / FILE, table)
        written = build(before, of_all / "built", {day: table}, _SCALES, newest=newest)
        inputs = [one.version for one in groups if one.version is not None]
        numbers = numbers_of(scales, rows, groups)
        built = [
            Built(DAY, day, PRODUCT, of_day / "built", numbers, own.id if own else None, inputs, settings),
            Built(
                *(WHOLE, SURVEY, CORRECTIONS, of_all / "built", {"day": day, "files_written": written}),
                whole.id if whole else None,
            ),
        ]
        return publish_together(engine, store, built, run=run)[0]


def _rows(groups: Sequence[Measured]) -> "pandas.DataFrame":
    import pandas

    parts = [
        read_measurements(one.path, columns=_COLUMNS).to_pandas() for one in groups if one.path is not None
    ]
    texts = {"source": str, "kind": str, "group": str}
    return pandas.concat([part.astype(texts) for part in parts], ignore_index=True)


def axes_of(groups: Sequence[Measured]) -> dict[str, Axis]:
    """Where the beam pointed in the middle of each group."""
    from contimg_assets.radio.phasing import JD_OF_MJD_0, meridian_centre

    found = {}
    for one in groups:
        at = meridian_centre(one.mid_mjd + JD_OF_MJD_0, np.deg2rad(one.declination_deg))
        found[one.group] = Axis(*(float(np.rad2deg(angle)) for angle in at))
    return found


def numbers_of(scales: Scales, rows: "pandas.DataFrame", groups: Sequence[Measured]) -> dict[str, Any]:
    """What a day's fit says, in numbers."""
    frequency_hz = 1e6 * float(rows["frequency_mhz"].median())
    declination = float(np.median([one.declination_deg for one in groups]))
    shape = shape_of(scales.beam, frequency_hz, scales.reach_deg, declination)
    known = np.isfinite(scales.log_scale)
    return {
        "n_groups": len(scales.groups),
        "n_scaled": int(known.sum()),
        "n_sources": scales.n_sources_in_all,
        "scale": float(np.exp(np.nanmedian(scales.log_scale))),
        "scale_scatter": float(np.nanstd(scales.log_scale)),
        "scale_error": float(np.nanmedian(scales.log_scale_error)),
        "beam_width_ratio": shape.width_ratio,
        "beam_east_arcmin": shape.east_arcmin,
        "beam_residual": shape.residual,
        "reach_deg": scales.reach_deg,
        "chi_squared": scales.chi_squared,
        "rejected_fraction": scales.rejected_fraction,
        "survey_ratio": scales.tie,
        "survey_ratio_error": scales.tie_error,
        "offset_arcsec": float(np.nanmedian(np.hypot(scales.east_arcsec, scales.north_arcsec))),
        "not_determined": UNKNOWN,
    }


def corrections(engine: Engine, store: Store) -> "pandas.DataFrame":
    """Corrections of all groups that have one, by group."""
    found = current_versions(engine, WHOLE, CORRECTIONS, [SURVEY]).get(SURVEY)
    return _corrections(None if found is None else store.absolute(found.path))


@lru_cache(maxsize=2)
def _corrections(folder: Path | None) -> "pandas.DataFrame":
    """Of a folder, which never changes."""
    files = period_files(folder) if folder is not None else {}
    return frame_of(join_scales([read_scales(path) for path in files.values()]))
