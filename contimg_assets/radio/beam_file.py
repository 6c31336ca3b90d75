"""A measured pattern of the primary beam, from a file.

An ECSV table (astropy's) with the columns ``frequency_mhz``, ``radius_deg`` and
``power`` and ``version`` in its meta data: at each frequency the same radii, from 0 outwards.

Belongs here: reading and what a file has to be.  Does not belong here: the beam
itself (``beam.py``).
"""

from pathlib import Path

import numpy as np

from contimg_assets.radio.beam import Pattern
from contimg_assets.radio.errors import BeamError, MissingInputError

#: Columns of the table.
COLUMNS = ("frequency_mhz", "radius_deg", "power")
#: A pattern has to reach this far, deg: the corner of an image 6° wide, and half of a group's drift.
REACH_DEG = 5.0
#: On the axis the power is 1 to this, and nowhere more.
_ON_AXIS = 1e-3
#: Radii at least: a spline through fewer makes a beam of its own.
_LEAST_RADII = 10
_LONGEST_VERSION = 40


def read_pattern(path: Path) -> Pattern:
    """Read a pattern.

    Raises
    ------
    MissingInputError
        If there is no such file.
    BeamError
        If it is no pattern of a beam; the message says what was found.
    """
    from astropy.table import Table

    if not path.is_file():
        raise MissingInputError(f"{path}: found no file; expected the primary beam's pattern")
    try:
        table = Table.read(path, format="ascii.ecsv")
        columns = [np.asarray(table[name], np.float64) for name in COLUMNS]
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise BeamError(
            f"{path}: found no ECSV table with the columns {', '.join(COLUMNS)}: {error}"
        ) from error
    version = table.meta.get("version")
    if not isinstance(version, str) or not 0 < len(version) <= _LONGEST_VERSION:
        raise BeamError(
            f"{path}: found version {version!r} in the meta data; expected a name of at most "
            f"{_LONGEST_VERSION} characters"
        )
    return _checked(path, version, *columns)


def _checked(path: Path, version: str, mhz: np.ndarray, radius: np.ndarray, power: np.ndarray) -> Pattern:
    if not all(np.isfinite(column).all() for column in (mhz, radius, power)) or not len(mhz):
        raise BeamError(f"{path}: found rows without a finite number in each column; expected numbers")
    frequencies, radii = np.unique(mhz), np.unique(radius)
    if len(mhz) != len(frequencies) * len(radii) or len(radii) < _LEAST_RADII:
        raise BeamError(
            f"{path}: found {len(mhz)} rows of {len(frequencies)} frequencies and {len(radii)} radii; "
            f"expected the same radii, {_LEAST_RADII} or more, at every frequency"
        )
    order = np.lexsort((radius, mhz))
    grid = power[order].reshape(len(frequencies), len(radii))
    same = radius[order].reshape(grid.shape) == radii
    if not same.all():
        raise BeamError(f"{path}: found other radii at some frequencies; expected the same at every one")
    if radii[0] != 0 or radii[-1] < REACH_DEG:
        raise BeamError(
            f"{path}: found radii from {radii[0]:g} to {radii[-1]:g} deg; expected them from 0 to "
            f"{REACH_DEG:g} deg or more"
        )
    if np.abs(grid[:, 0] - 1).max() > _ON_AXIS or grid.min() < 0 or grid.max() > 1 + _ON_AXIS:
        raise BeamError(
            f"{path}: found powers from {grid.min():g} to {grid.max():g}, on the axis {grid[:, 0].tolist()}; "
            "expected 1 on the axis and 0 to 1 elsewhere"
        )
    if frequencies[0] < 100 or frequencies[-1] > 1e5:
        raise BeamError(
            f"{path}: found frequencies from {frequencies[0]:g} to {frequencies[-1]:g}; expected MHz"
        )
    return Pattern(version, frequencies * 1e6, np.deg2rad(radii), grid)
