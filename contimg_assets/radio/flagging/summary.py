"""Where a group's flags lie: by antenna, subband, channel and integration, with an alarm line."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.quality.limits import load_limits


def summarise(shape: GroupShape, flags: NDArray[np.bool_], coherence: NDArray[np.float64]) -> dict[str, Any]:
    """Flagged fractions of the cross-correlations along each axis.

    Parameters
    ----------
    shape : GroupShape
    flags : ndarray of bool, shape ``shape.data_shape``
    coherence : ndarray, shape (n_antennas,)
        Relative to the array's median, of the antennas in the data.

    Returns
    -------
    dict
        ``by_…`` of each axis, subbands in the telescope's order; ``alarm_line``,
        the fraction at which an image would be warned about; and ``alarms``, a
        line for each axis on which something lies above it.
    """
    cross = np.flatnonzero(shape.cross)
    one, two = shape.antenna_1[cross], shape.antenna_2[cross]
    # Integration by integration: a fancy index over all would copy the whole.
    cells = np.zeros((shape.n_times, shape.n_channels))
    by_baseline = np.zeros(len(cross))
    for t in range(shape.n_times):
        plane = flags[t][cross]
        cells[t] = plane.mean(axis=(0, 2))
        by_baseline += plane.mean(axis=(1, 2)) / shape.n_times
    autos = flags[:, ~shape.cross]
    names = [shape.antenna_names[a] for a in shape.antennas]
    by_antenna = {
        name: float(by_baseline[(one == a) | (two == a)].mean())
        for name, a in zip(names, shape.antennas, strict=True)
    }
    by_subband = cells.mean(axis=0).reshape(telescope.N_SUBBANDS, -1).mean(axis=1)[::-1].tolist()
    alarm = load_limits().limits["image_qa"]["flag_fraction"].soft
    by_integration = cells.mean(axis=1).tolist()
    places = {
        "antennas": list(by_antenna.items()),
        "subbands": [(f"sb{k:02d}", value) for k, value in enumerate(by_subband)],
        "integrations": [(str(t), value) for t, value in enumerate(by_integration)],
    }
    over = {axis: [name for name, value in found if value > alarm] for axis, found in places.items()}
    return {
        "by_antenna": by_antenna,
        "coherence_by_antenna": {name: float(value) for name, value in zip(names, coherence, strict=True)},
        "by_subband": by_subband,
        "by_channel": cells.mean(axis=0).tolist(),
        "by_integration": by_integration,
        "autocorrelation_fraction": float(autos.mean()) if autos.size else float("nan"),
        "frequencies_mhz": (shape.frequencies_hz / 1e6).tolist(),
        "alarm_line": alarm,
        "alarms": [f"{axis} flagged over {alarm:.0%}: {', '.join(n)}" for axis, n in over.items() if n],
    }
