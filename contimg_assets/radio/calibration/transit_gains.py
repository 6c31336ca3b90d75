"""Gains free of the drift through the beam.

A set is solved against a model seen through some beam; what the transit tells of the
array's and each dish's own then belongs in the model, but a second pass over the data
does not pay: for a single calibrator it is a factor of each gain, which is known.

Belongs here: that factor, in the tables.  Does not belong here: measuring beams
(``transit_beams.py``).
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import phasing
from contimg_assets.radio.calibration.scan import ScanSums
from contimg_assets.radio.calibration.transit_beams import Track, TransitBeams
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.sky import Source


def without_drift(
    shape: GroupShape,
    sums: ScanSums,
    calibrator: Source,
    beams: TransitBeams,
    tables: dict[str, Path],
    *,
    amplitudes: bool = True,
) -> None:
    """Take from amplitudes of a set what the model's beam was wrong by.

    The bandpass loses what the array's beam differs by from the model's, mean over the scan; gains of several
    intervals lose how each dish's beam changes between them, where that is significantly another.

    Parameters
    ----------
    shape : GroupShape
        With the beam of the model.
    sums : ScanSums
        Of the scan.
    calibrator : Source
    beams : TransitBeams
        Of the scan.
    tables : dict
        Path of the tables BA and GA; changed in place.
    amplitudes : bool
        Gains of intervals have amplitudes, not phases only.
    """
    whole = np.arange(shape.n_times)
    if beams.beam != shape.beam:
        factor = _mean_voltage(shape, calibrator, beams, whole)
        _divide(tables["BA"], np.broadcast_to(factor[:, None], (shape.n_channels, 2)))
    if len(sums.intervals) < 2 or not amplitudes:
        return
    track = Track.of(shape, calibrator)
    middles = [float(shape.times_jd[times].mean()) - phasing.JD_OF_MJD_0 for times in sums.intervals]
    mean = float(np.mean(_mean_voltage(shape, calibrator, beams, whole)))
    common = [float(np.mean(_mean_voltage(shape, calibrator, beams, t))) / mean for t in sums.intervals]
    by_antenna = np.tile(np.array(common)[:, None], (1, len(shape.antenna_names)))
    for name, dish in beams.dishes.items():
        east, width = dish.significant(beams.beam)
        own = track.log_voltage(east, width).mean(axis=1)
        steps = np.array([own[times].mean() for times in sums.intervals]) - own.mean()
        by_antenna[:, shape.antenna_names.index(name)] = np.exp(steps)
    _divide_in_time(tables["GA"], np.array(middles), by_antenna)


def _mean_voltage(
    shape: GroupShape, calibrator: Source, beams: TransitBeams, times: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Voltage beam over the model's as a solution sees it, shape (n_channels,)."""
    track = replace(Track.of(shape, calibrator), frequencies_hz=shape.frequencies_hz)
    track = replace(track, directions=track.directions[times])
    ratio = np.exp(2 * track.log_voltage(beams.beam.east_deg, beams.beam.width))
    model = shape.beam.drifting_power(track.directions, track.declination_rad, track.frequencies_hz)
    # ⟨V M*⟩ / ⟨|M|²⟩, the model M being the beam's power.
    return np.sqrt((ratio * model**2).sum(axis=0) / (model**2).sum(axis=0))


def _divide(path: Path, factor: NDArray[np.float64]) -> None:
    from casacore.tables import table

    with table(str(path), readonly=False, ack=False) as rows:
        values = rows.getcol("CPARAM")
        rows.putcol("CPARAM", (values / factor).astype(values.dtype))


def _divide_in_time(path: Path, mjd: NDArray[np.float64], factor: NDArray[np.float64]) -> None:
    """Divide by the factor of the nearest interval and of the antenna, shape (n_intervals, n_antennas)."""
    from casacore.tables import table

    with table(str(path), readonly=False, ack=False) as rows:
        values, antennas = rows.getcol("CPARAM"), rows.getcol("ANTENNA1")
        nearest = np.abs(rows.getcol("TIME")[:, None] / 86400.0 - mjd).argmin(axis=1)
        rows.putcol("CPARAM", (values / factor[nearest, antennas][:, None, None]).astype(values.dtype))
