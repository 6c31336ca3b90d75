"""CASA's surroundings: reference data, configuration, log, all in one folder.

CASA's data come from the ``casadata`` package.  The folder made here links to
them, but for two tables of its own: the observatory table, which gains the
``DSA_110`` (CASA's tasks want to know where it is), and the leap-second table,
whose date of issue is renewed when astropy's newer list agrees with it.

Call :func:`configure` before anything imports casatools, casatasks or casacore, and
:func:`load_tools` where casatools or casatasks are needed.
"""

import ctypes
import os
import shutil
import sys
import uuid
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from astropy.time import Time
from astropy.utils import iers

from contimg_assets.radio import earth_orientation, telescope
from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.files import write_atomically
from contimg_assets.radio.unconnected import unconnected

#: Of gRPC's messages: those beyond errors, and there are none.
_SAY_NOTHING = 3


def configure(folder: Path) -> Path:
    """Set the environment that CASA and casacore read, making the data if needed.

    Parameters
    ----------
    folder : Path
        Where the data overlay, the log and the cache go (``CONTIMG_HOME/casa``).

    Returns
    -------
    Path
        The data folder, for people who open our data with a CASA of their own.
    """
    data = folder / "data"
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    (folder / "cache").mkdir(exist_ok=True)
    resources = folder / "casarc"
    environment = {
        "CONTIMG_CASA_DATA": str(data),
        "CONTIMG_CASA_LOG": str(folder / "logs" / f"casa-{datetime.now(UTC):%Y%m%d}.log"),
        "CONTIMG_CASA_CACHE": str(folder / "cache"),
        "CASASITECONFIG": str(Path(__file__).with_name("casa_site.py")),
        "CASARCFILES": str(resources),
        "MPLBACKEND": "Agg",
    }
    os.environ.update(environment)
    os.environ.setdefault("MPLCONFIGDIR", str(folder / "cache" / "matplotlib"))
    earth_orientation.use_kept(folder / "cache")
    if not resources.exists():
        write_atomically(resources, f"measures.directory: {data}\n")
    if not data.exists():
        _build_data(data)
    return data


def load_tools() -> None:
    """Import casatools without its registry, which would listen on all interfaces from then on."""
    if "casatools" in sys.modules:
        return
    unconnected(_import_tools)


def _import_tools() -> None:
    spec = find_spec("casatools")
    if spec is not None and spec.origin is not None:
        # The registry would tell standard error at length that it cannot listen; by way of the library that
        # casatools loads first, which finds gRPC's.
        for library in Path(spec.origin).parent.glob("__casac__/_image.*.so"):
            ctypes.CDLL(str(library)).gpr_set_log_verbosity(_SAY_NOTHING)
    import_module("casatools")


def _build_data(data: Path) -> None:
    spec = find_spec("casadata")
    if spec is None or spec.origin is None:
        raise MissingInputError(
            "the package casadata is not installed; CASA has no reference data without it"
        )
    source = Path(spec.origin).parent / "__data__"
    building = data.with_name(f"data-{uuid.uuid4().hex}")
    building.mkdir()
    for entry in source.iterdir():
        if entry.name != "geodetic":
            (building / entry.name).symlink_to(entry)
    shutil.copytree(source / "geodetic", building / "geodetic")
    _add_observatory(building / "geodetic" / "Observatories")
    _renew_leap_seconds(building / "geodetic" / "TAI_UTC")
    try:
        building.rename(data)
    except OSError:
        # Another process was first; its data are the same.
        shutil.rmtree(building)
        if not data.exists():
            raise


def _add_observatory(path: Path) -> None:
    from casacore.tables import table

    with table(str(path), readonly=False, ack=False) as observatories:
        names = observatories.getcol("Name")
        if telescope.TELESCOPE_NAME in names:
            return
        observatories.addrows(1)
        row = observatories.nrows() - 1
        site = telescope.site()
        values = {
            "MJD": observatories.getcell("MJD", row - 1),
            "Name": telescope.TELESCOPE_NAME,
            "Type": "WGS84",
            "Long": float(np.rad2deg(telescope.SITE_LONGITUDE_RAD)),
            "Lat": float(np.rad2deg(telescope.SITE_LATITUDE_RAD)),
            "Height": telescope.SITE_HEIGHT_M,
            "X": float(site.x.to_value("m")),
            "Y": float(site.y.to_value("m")),
            "Z": float(site.z.to_value("m")),
            "Source": "contimg",
            "Comment": "DSA-110, Owens Valley",
        }
        for column in observatories.colnames():
            if column in values:
                observatories.putcell(column, row, values[column])


def _renew_leap_seconds(path: Path) -> None:
    from casacore.tables import table

    newest = iers.LeapSeconds.open(iers.IERS_LEAP_SECOND_FILE)
    if newest.expires < Time.now():
        return
    entry = newest[-1]
    mjd = Time(f"{int(entry['year'])}-{int(entry['month']):02d}-01").mjd
    with table(str(path), readonly=False, ack=False) as leaps:
        last = leaps.nrows() - 1
        if leaps.getcell("MJD", last) == mjd and leaps.getcell("dUTC", last) == entry["tai_utc"]:
            leaps.putkeyword("VS_DATE", f"{datetime.now(UTC):%Y/%m/%d/%H:%M}")
