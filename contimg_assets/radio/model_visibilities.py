"""The sky that a calibrator scan should show: every source through the drifting beam."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import phasing
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.prediction import Averaging, point_source_visibilities
from contimg_assets.radio.sky import Source

#: Sources whose best apparent flux density is below this are left out of a model, Jy.
_FAINTEST_APPARENT_JY = 0.02


def visible_sources(shape: GroupShape, sources: Sequence[Source]) -> list[Source]:
    """Those of ``sources`` that the beam lets through during the group."""
    if not sources:
        return []
    ends = shape.times_jd[[0, shape.n_times // 2, -1]]
    directions = phasing.apparent_vectors(
        ends, np.deg2rad([s.ra_deg for s in sources]), np.deg2rad([s.dec_deg for s in sources])
    )
    middle = np.array([shape.frequencies_hz.mean()])
    power = shape.beam.drifting_power(directions, shape.declination_rad, middle)[..., 0].max(axis=0)
    return [
        s
        for s, p in zip(sources, power, strict=True)
        if p * float(s.flux(middle)[0]) >= _FAINTEST_APPARENT_JY
    ]


def model_visibilities(shape: GroupShape, sources: Sequence[Source]) -> NDArray[np.complex64]:
    """Model of a group in the Measurement Set's sign convention.

    Parameters
    ----------
    shape : GroupShape
    sources : sequence of Source

    Returns
    -------
    ndarray, complex64, shape (n_times, n_baselines, n_channels)
        The same for XX and YY: sources are taken as unpolarised.
    """
    directions = phasing.apparent_vectors(
        shape.times_jd, np.deg2rad([s.ra_deg for s in sources]), np.deg2rad([s.dec_deg for s in sources])
    )
    power = shape.beam.drifting_power(directions, shape.declination_rad, shape.frequencies_hz)
    flux = np.array([s.flux(shape.frequencies_hz) for s in sources])
    positions = phasing.to_meridian_frame(shape.antenna_positions)
    centre = shape.axes()[:, 2]
    tracked = phasing.pointing_vector(shape.declination_rad)
    rows = point_source_visibilities(
        positions[shape.antenna_2] - positions[shape.antenna_1],
        directions - centre[:, None],
        shape.frequencies_hz,
        power * flux[None],
        Averaging.of(directions - tracked, shape.integration_s),
    )
    return rows.reshape(shape.n_times, shape.n_baselines, shape.n_channels)
