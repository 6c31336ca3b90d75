"""Means over channels from values at fewer frequencies.

A baseline sees a source through a delay of at most ``T`` (its length times the source's
distance from the tracked point), so its visibility is a sum of turns slower than one in
``1 / T`` and is known everywhere from samples closer than ``1 / 2T``: on short baselines from
one in a dozen channels.  A channel's mean is a sum over its neighbouring samples with the
weights that are right, in the sense of least squares, for every turn that may occur.  Belongs
here: which frequencies, and the weights.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Turns of the fastest source from one sample to the next (0.5 at the most), and samples for a
#: channel's mean: together 4e-7 of a source at that delay, and less of the others.
_TURNS, _NEIGHBOURS = 0.25, 16
#: Steps of the shortest baselines over those of the longest.
MOST_STEPS = 8
#: Samples are no farther apart than this, Hz, on the longest baselines: spectra and beams change too.
_LARGEST_STEP_HZ = 1e6
#: Delays at which the weights are fitted.
_DELAYS = 100
#: Singular values below this part of the largest do not count: float32 visibilities bear no larger weights.
_LEAST_SINGULAR = 1e-7


@dataclass(frozen=True)
class Samples:
    """Frequencies at which a stretch of the band is computed."""

    step_hz: float
    index: NDArray[np.int64]
    """Place of each sample in steps from zero, rising, shape (n_samples,)."""
    first_hz: float
    """Of place 0."""
    steps: NDArray[np.int64]
    """Every how many places baselines of each class are computed: 1, 2, 4, 8."""
    used: NDArray[np.bool_]
    """Which samples each class uses, shape (n_classes, n_samples)."""
    weights: list[NDArray[np.float32]]
    """Of each class, shape (n_channels, number of samples used)."""

    @property
    def frequencies_hz(self) -> NDArray[np.float64]:
        """Of all samples."""
        return np.asarray(self.first_hz + self.step_hz * self.index, np.float64)


def samples_for(channels_hz: NDArray[np.float64], width_hz: float, delay_s: float) -> Samples:
    """Choose samples for all classes of baselines.

    Parameters
    ----------
    channels_hz : ndarray, shape (n_channels,)
        Centres, in any order.
    width_hz : float
        Of a channel; 0: values at the centres, no mean.
    delay_s : float
        Largest delay on the longest baselines; class k has at most a 2ᵏth of it.
    """
    longest = max(delay_s, _TURNS / _LARGEST_STEP_HZ)
    step = _TURNS / longest
    low, high = float(channels_hz.min()), float(channels_hz.max())
    steps = 2 ** np.arange(int(np.log2(MOST_STEPS)) + 1)
    half = _NEIGHBOURS // 2
    n_inside = int(np.ceil((high - low) / step))
    reach = half * MOST_STEPS
    place = np.arange(-reach, n_inside + reach + 1)
    used = np.stack([(place % s == 0) & (place >= -half * s) & (place <= n_inside + half * s) for s in steps])
    kept = used.any(axis=0)
    index, used = place[kept], used[:, kept]
    weights = [
        _weights(np.asarray(low + step * index[u], np.float64), channels_hz, width_hz, longest / s)
        for u, s in zip(used, steps, strict=True)
    ]
    return Samples(step, index - index[0], low + step * int(index[0]), steps, used, weights)


def _weights(
    samples_hz: NDArray[np.float64], channels_hz: NDArray[np.float64], width_hz: float, delay_s: float
) -> NDArray[np.float32]:
    """Weights of samples for the mean over each channel, shape (n_channels, n_samples)."""
    # Denser at the ends, where the error would be largest.
    delay = delay_s * np.cos(np.pi * (np.arange(_DELAYS) + 0.5) / _DELAYS)
    out = np.zeros((len(channels_hz), len(samples_hz)), np.float32)
    mean = np.concatenate([np.sinc(delay * width_hz), np.zeros(_DELAYS)])
    first = np.searchsorted(samples_hz, channels_hz) - _NEIGHBOURS // 2
    first = np.clip(first, 0, max(len(samples_hz) - _NEIGHBOURS, 0))
    for c, (hz, begin) in enumerate(zip(channels_hz, first, strict=True)):
        near = slice(begin, begin + _NEIGHBOURS)
        phase = 2 * np.pi * np.outer(delay, samples_hz[near] - hz)
        turns = np.concatenate([np.cos(phase), np.sin(phase)])
        out[c, near] = np.linalg.lstsq(turns, mean, rcond=_LEAST_SINGULAR)[0]
    return out
