"""Gains that walked since the calibrator, from autocorrelations.

An autocorrelation is the power of an antenna's system times its gain, good to a thousandth in one
integration.  Systems are steadier than gains: at one elevation, half an hour apart, the noise of a receiver
changes by less than its amplification does.  So the change of an antenna's autocorrelation between
the calibrator's scan and a group is taken for that of its gain, as correlation
coefficients have always been used.

What all antennas have in common may be the sky's, the air's or the ground's.  Walks of single antennas leave
something in the mean, too: their scatter over the root of their number.  A common change within three times
that is theirs and goes with them; a larger one is nobody's, is left, and told.

Belongs here: from levels to factors.  Does not belong here: measuring levels (``radio/flagging``).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.caltables.set_files import SIDECAR
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.robust import mad_sigma
from contimg_assets.radio.telescope import SEFD_JY

#: Key of the levels in the summary of flags and in a set's sidecar.
LEVELS = "autocorrelation_levels"
#: A gain that differs by more (amplitude) has not walked: something happened, and noise may be all that did.
_LARGEST = 0.25
#: Walks of less than this, rms, are left alone: systems are not steadier than that.  Corrected by the 0.2 %
#: of a quiet full group, its noise rose from 1.008 to 1.0135 times the expected one.
_LEAST_SCATTER = 0.01
#: Antennas and feeds that tell what they have in common.
_FEWEST = 16
#: A common change of so many of its errors is not of the antennas' own walks.
_BY_CHANCE = 3.0

#: By antenna name: of each feed, of each subband, the median level; None where it is not to be used.
Levels = Mapping[str, list[list[float | None]]]


@dataclass(frozen=True)
class Walk:
    """How gains have changed since the calibrator."""

    factor: NDArray[np.float64]
    """Amplitude now over then, shape (n_antennas_telescope, 2); 1 where nothing is known."""
    numbers: dict[str, float]
    """``gain_walk_scatter`` (of amplitudes), ``gain_walk_mean``, ``gain_common_change`` (what is left
    alone), and ``n_gains_walked``, of antennas and feeds that are corrected; nothing where the set has no
    levels."""


def walk_since(shape: GroupShape, summary: Mapping[str, Any], sets: list[Path], weight: float) -> Walk:
    """Compare a group's levels with those of the calibrator's scan.

    Parameters
    ----------
    shape : GroupShape
        The group.
    summary : mapping
        Of its flags.
    sets : list of Path
        Calibration sets: the nearer, and another to interpolate towards, if there is one.
    weight : float
        Part of the way to the other.
    """
    untouched = Walk(np.ones((len(shape.antenna_names), 2)), {})
    sidecars = [json.loads((s / SIDECAR).read_text()) for s in sets if (s / SIDECAR).exists()]
    if LEVELS not in summary or len(sidecars) < len(sets) or any(LEVELS not in s for s in sidecars):
        # Tables that were made elsewhere, or flags of before, have none.
        return untouched
    now = _array(shape, summary[LEVELS])
    # The calibrator is in its own autocorrelations.
    then = [
        _array(shape, s[LEVELS]) - np.log1p(float(s["calibrator_apparent_jy"]) / SEFD_JY) for s in sidecars
    ]
    before = then[0] if len(then) == 1 else (1 - weight) * then[0] + weight * then[1]
    return _walk(now - before)


def _array(shape: GroupShape, levels: Levels) -> NDArray[np.float64]:
    """Logarithms of levels, shape (n_antennas_telescope, 2, n_subbands); NaN where there are none."""
    n_subbands = max((len(feed) for one in levels.values() for feed in one), default=1)
    out = np.full((len(shape.antenna_names), 2, n_subbands), np.nan)
    for row, name in enumerate(shape.antenna_names):
        for feed, values in enumerate(levels.get(name, [])):
            out[row, feed] = [np.nan if v is None or v <= 0 else np.log(v) for v in values]
    return out


def _walk(change: NDArray[np.float64]) -> Walk:
    """From changes of the logarithm of power, shape (n_antennas, 2, n_subbands)."""
    known = np.isfinite(change).any(axis=2)
    half = np.zeros(known.shape)
    half[known] = 0.5 * np.nanmedian(change[known], axis=-1)
    known &= np.abs(half) < np.log1p(_LARGEST)
    n = int(known.sum())
    if n < _FEWEST:
        return Walk(np.ones(known.shape), {})
    mean, scatter = float(half[known].mean()), mad_sigma(half[known])
    common = mean if abs(mean) > _BY_CHANCE * scatter / np.sqrt(n) else 0.0
    walked = known & (scatter >= _LEAST_SCATTER)
    factor = np.where(walked, np.exp(half - common), 1.0)
    numbers = {
        "gain_walk_scatter": scatter,
        "gain_walk_mean": float(np.expm1(mean)),
        "gain_common_change": float(np.expm1(common)),
        "n_gains_walked": float(walked.sum()),
    }
    return Walk(factor, numbers)
