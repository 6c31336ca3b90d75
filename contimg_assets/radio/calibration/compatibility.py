"""Whether calibration solutions can calibrate a group: what fits, what does not, and why.

Belongs here: holding what solutions cover against what a group needs, for a set
as its sidecar describes it, and for each table as CASA wrote it.  Does not
belong here: which of several sets is taken (``station/calibration_selection.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.errors import CalibrationError, MissingInputError

# Choosing among sets needs numbers only, and is done by commands that start at once.
if TYPE_CHECKING:
    from contimg_assets.radio.measurement_set import GroupShape

#: Part of a group's antennas that solutions must hold; an antenna without solutions is flagged.
MINIMUM_ANTENNA_OVERLAP = 0.5
#: Edges of bands that differ by less than this are the same edge, Hz.
BAND_TOLERANCE_HZ = 1e3
HOURS_PER_DAY = 24.0
SECONDS_PER_DAY = 86400.0


@dataclass(frozen=True)
class Coverage:
    """What solutions cover, or what a group needs."""

    mid_mjd: float
    """Middle in time, UTC."""
    declination_deg: float
    """Pointing declination, apparent."""
    channel_low_hz: float
    channel_high_hz: float
    antennas: frozenset[str]
    """Names of antennas with solutions, or with data."""


@dataclass(frozen=True)
class Finding:
    """One property of solutions, held against a group."""

    property: str
    """``time``, ``declination``, ``band`` or ``antennas``."""
    fits: bool
    detail: str
    """What was found; where it does not fit, what was expected."""


def findings(have: Coverage, wanted: Coverage, reach: CalibrationOptions) -> list[Finding]:
    """Hold what solutions cover against what a group needs, property by property."""
    hours = (have.mid_mjd - wanted.mid_mjd) * HOURS_PER_DAY
    apart = abs(have.declination_deg - wanted.declination_deg)
    low, high = have.channel_low_hz / 1e6, have.channel_high_hz / 1e6
    covered = (
        have.channel_low_hz <= wanted.channel_low_hz + BAND_TOLERANCE_HZ
        and have.channel_high_hz >= wanted.channel_high_hz - BAND_TOLERANCE_HZ
    )
    held = len(have.antennas & wanted.antennas)
    needed = max(1.0, MINIMUM_ANTENNA_OVERLAP * len(wanted.antennas))

    def told(fits: bool, found: str, expected: str) -> str:
        return found if fits else f"{found}, {expected}"

    in_time, in_strip, enough = abs(hours) <= reach.validity_hours, apart <= reach.strip_deg, held >= needed
    return [
        Finding(
            "time", in_time, told(in_time, f"{hours:+.1f} h away", f"valid within {reach.validity_hours:g} h")
        ),
        Finding(
            "declination",
            in_strip,
            told(
                in_strip,
                f"declination {have.declination_deg:+.2f} deg",
                f"more than {reach.strip_deg:g} deg from {wanted.declination_deg:+.2f} deg",
            ),
        ),
        Finding(
            "band",
            covered,
            f"band {low:.3f}-{high:.3f} MHz {'covers' if covered else 'does not cover'} "
            f"{wanted.channel_low_hz / 1e6:.3f}-{wanted.channel_high_hz / 1e6:.3f} MHz",
        ),
        Finding(
            "antennas",
            enough,
            told(enough, f"holds {held} of {len(wanted.antennas)} antennas", "less than half"),
        ),
    ]


def misfits(found: Sequence[Finding], *, ignore: Sequence[str] = ()) -> list[str]:
    """Details of what does not fit."""
    return [finding.detail for finding in found if not finding.fits and finding.property not in ignore]


def table_coverage(path: Path) -> Coverage:
    """What a CASA calibration table covers, from its own rows and subtables.

    Raises
    ------
    MissingInputError
        If it is not there.
    CalibrationError
        If it holds no solution that is not flagged.
    """
    import numpy as np
    from casacore.tables import table

    from contimg_assets.radio import phasing

    if not (path / "table.dat").exists():
        raise MissingInputError(f"{path}: found no calibration table; expected one of the set")
    with table(str(path), ack=False) as rows:
        flags = rows.getcol("FLAG")
        good = ~flags.reshape(len(flags), -1).all(axis=1)
        if not good.any():
            raise CalibrationError(f"{path}: every solution is flagged; expected some")
        ids = np.unique(rows.getcol("ANTENNA1")[good])
        mid_mjd = float(np.mean(rows.getcol("TIME")[good])) / SECONDS_PER_DAY
    with table(f"{path}::ANTENNA", ack=False) as antennas:
        names = antennas.getcol("NAME")
    with table(f"{path}::SPECTRAL_WINDOW", ack=False) as window:
        # Not TOTAL_BANDWIDTH: in tables of one channel CASA has the frequency there.
        centres, widths = window.getcell("CHAN_FREQ", 0), np.abs(window.getcell("CHAN_WIDTH", 0))
    with table(f"{path}::FIELD", ack=False) as field:
        ra, dec = field.getcell("PHASE_DIR", 0)[0]
    # The phase centre is the meridian point at mid-scan: its apparent declination is the pointing's.
    direction = phasing.apparent_vectors([mid_mjd + phasing.JD_OF_MJD_0], float(ra), float(dec))[0, 0]
    return Coverage(
        mid_mjd,
        float(np.rad2deg(np.arcsin(direction[2]))),
        float(centres.min() - widths.max() / 2),
        float(centres.max() + widths.max() / 2),
        frozenset(str(names[i]) for i in ids),
    )


def shape_coverage(shape: "GroupShape") -> Coverage:
    """What a Measurement Set needs."""
    import numpy as np

    from contimg_assets.radio import phasing

    return Coverage(
        float(np.mean(shape.times_jd[[0, -1]])) - phasing.JD_OF_MJD_0,
        float(np.rad2deg(shape.declination_rad)),
        float(shape.frequencies_hz.min()),
        float(shape.frequencies_hz.max()),
        frozenset(shape.antenna_names[a] for a in shape.antennas),
    )


def validate(
    set_folder: Path, files: Sequence[str], wanted: Coverage, reach: CalibrationOptions
) -> dict[str, list[Finding]]:
    """Say of each table of a set what fits a group and what does not.

    Parameters
    ----------
    set_folder : Path
        Folder with the tables.
    files : sequence of str
        Their names.
    wanted : Coverage
        Of the group.
    reach : CalibrationOptions
        See ``CalibrationOptions``.

    Returns
    -------
    dict
        Findings of each file; one that cannot be read has one finding, ``readable``.
    """
    report: dict[str, list[Finding]] = {}
    for name in files:
        try:
            report[name] = findings(table_coverage(set_folder / name), wanted, reach)
        except (MissingInputError, CalibrationError) as error:
            report[name] = [Finding("readable", False, str(error))]
    return report


def refuse_misfits(
    set_folder: Path, files: Sequence[str], wanted: Coverage, reach: CalibrationOptions
) -> None:
    """The last gate before tables are applied, whoever chose them.

    Time is not held against them here: how old solutions may be is the
    choice's, which says so on the product.

    Raises
    ------
    CalibrationError
        Naming each table that does not fit, and why.
    """
    report = validate(set_folder, files, wanted, reach)
    bad = {name: misfits(found, ignore=("time",)) for name, found in report.items()}
    told = "; ".join(f"{name}: {', '.join(why)}" for name, why in bad.items() if why)
    if told:
        raise CalibrationError(f"{set_folder} does not fit the group: {told}")
