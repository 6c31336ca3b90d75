"""What a writer leaves out of a Measurement Set's sub-tables, the same for every writer."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import telescope


def finish_subtables(
    ms: Path, declination_rad: float, times_s: NDArray[np.float64], integration_s: float
) -> None:
    """Make OBSERVATION, POINTING, FEED, SOURCE, STATE and PROCESSOR say what the telescope did.

    Parameters
    ----------
    ms : Path
    declination_rad : float
        Apparent pointing declination.
    times_s : ndarray
        Centres of the integrations, MJD seconds UTC.
    integration_s : float
    """
    from casacore.tables import table

    with table(f"{ms}::OBSERVATION", readonly=False, ack=False) as observation:
        span = np.array([times_s[0] - integration_s / 2, times_s[-1] + integration_s / 2])
        observation.putcell("TIME_RANGE", 0, span)
        observation.putcell("OBSERVER", 0, telescope.TELESCOPE_NAME)
        observation.putcell("PROJECT", 0, "continuum")
        for column in ("LOG", "SCHEDULE"):
            # A cell without an array is legal, and breaks readers of whole columns.
            observation.putcell(column, 0, [""])
    with table(f"{ms}::ANTENNA", readonly=False, ack=False) as antennas:
        antennas.putcol("TYPE", ["GROUND-BASED"] * antennas.nrows())
    with table(f"{ms}::SOURCE", readonly=False, ack=False) as source:
        source.putcolkeyword("DIRECTION", "MEASINFO", {"type": "direction", "Ref": "ICRS"})
    # STATE_ID and PROCESSOR_ID are 0 in every row: these are the rows that they mean.
    with table(f"{ms}::STATE", readonly=False, ack=False) as state:
        state.addrows(1)
        state.putcell("OBS_MODE", 0, "OBSERVE_TARGET#ON_SOURCE")
        state.putcell("SIG", 0, True)
    with table(f"{ms}::PROCESSOR", readonly=False, ack=False) as processor:
        processor.addrows(1)
        processor.putcell("TYPE", 0, "CORRELATOR")
    latitude = telescope.SITE_LATITUDE_RAD
    azimuth = 0.0 if declination_rad > latitude else np.pi
    direction = np.array([[azimuth, np.pi / 2 - abs(latitude - declination_rad)]])
    with table(f"{ms}::POINTING", readonly=False, ack=False) as pointing:
        n_rows = pointing.nrows()
        for column in ("DIRECTION", "TARGET"):
            keywords = pointing.getcolkeywords(column)
            keywords["MEASINFO"] = {"type": "direction", "Ref": "AZELGEO"}
            pointing.putcolkeywords(column, keywords)
            pointing.putcol(column, np.tile(direction, (n_rows, 1, 1)))
        pointing.putcol("NAME", ["MERIDIAN"] * n_rows)
    with table(f"{ms}::FEED", readonly=False, ack=False) as feed:
        feed.putcol("POL_RESPONSE", np.tile(np.eye(2, dtype=np.complex128), (feed.nrows(), 1, 1)))
        feed.putcol("SPECTRAL_WINDOW_ID", np.full(feed.nrows(), -1, dtype=np.int32))
