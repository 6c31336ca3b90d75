"""The Earth's orientation, read once for all stages.

astropy reads IERS' bulletins as text, 0.6 s in every process that wants to know
where the sky is.  Here the columns that it interpolates are kept as numbers, of the
same version of the package ``astropy-iers-data``, to the last bit.
"""

import uuid
from importlib.metadata import version
from pathlib import Path

import numpy as np
from astropy.utils import iers

#: What astropy interpolates, and its units.
_COLUMNS = {
    "MJD": "d",
    "UT1_UTC": "s",
    "PM_x": "arcsec",
    "PM_y": "arcsec",
    "dX_2000A": "marcsec",
    "dY_2000A": "marcsec",
}


def use_kept(folder: Path) -> None:
    """Have astropy use the columns kept in a folder, reading the bulletins if they are not there yet.

    Parameters
    ----------
    folder : Path
        Has to exist.
    """
    path = folder / f"earth-orientation-{version('astropy-iers-data')}.npy"
    if not path.exists():
        bulletins = iers.IERS_Auto.open()
        values = np.array([bulletins[name].to_value(unit) for name, unit in _COLUMNS.items()])
        temporary = path.with_name(f"{uuid.uuid4().hex}.npy")
        np.save(temporary, values)
        temporary.replace(path)
    kept = iers.IERS(np.load(path).T, names=list(_COLUMNS), units=_COLUMNS)
    iers.earth_orientation_table.set(kept)
