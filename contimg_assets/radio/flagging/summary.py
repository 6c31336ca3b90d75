"""Where a group's flags lie: by antenna, subband, channel and integration, with an alarm line."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.limits import load_limits
from contimg_assets.radio.measurement_set import GroupShape


@numba.njit(cache=True, parallel=True)
def _count(flags: NDArray[np.bool_], cross: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Flags by integration and channel, and by baseline."""
    n_times, _, n_channels, n_pols = flags.shape
    cells = np.zeros((n_times, n_channels), np.int64)
    by_baseline = np.zeros((n_times, len(cross)), np.int64)
    for t in numba.prange(n_times):
        for b in range(len(cross)):
            for c in range(n_channels):
                n = 0
                for p in range(n_pols):
                    n += flags[t, cross[b], c, p]
                cells[t, c] += n
                by_baseline[t, b] += n
    return cells, by_baseline.sum(axis=0)


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
    in_cells, of_baselines = _count(flags, cross)
    cells = in_cells / (len(cross) * shape.n_polarisations)
    by_baseline = of_baselines / (cells.size * shape.n_polarisations)
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
        # A picture's worth: a fraction in ten thousand is a sample or two of a cell.
        "by_integration_and_channel": cells.round(4).tolist(),
        "autocorrelation_fraction": float(autos.mean()) if autos.size else float("nan"),
        "frequencies_mhz": (shape.frequencies_hz / 1e6).tolist(),
        "alarm_line": alarm,
        "alarms": [f"{axis} flagged over {alarm:.0%}: {', '.join(n)}" for axis, n in over.items() if n],
    }
