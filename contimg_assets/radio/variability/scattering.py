"""Extreme scattering events: dips in a light curve beyond the red noise of the same source.

A dip of known shape is a linear term over a damped random walk (which scintillation looks
like) and noise.  What counts is the ratio of the likelihoods of the best walk with the
best dip and of the best walk alone: a dip must be better than a walk that is large enough
to make it.  The same search for rises, which no lens makes so often, tells how often noise
does as much.

Walks and dips are those of a grid.  The likelihood of a walk is a Kalman filter's, which
whitens data and templates alike.  Belongs here: the search in one light curve, and the
false-alarm rate.  Does not belong here: which sources are searched (``station/``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

#: Durations of dips, days.
DURATIONS_DAYS = (4, 6, 9, 13, 18, 26, 38, 55, 80, 120)
#: In the coarse grid dips begin every so many parts of their duration.
_STEPS = 5
#: Size of walks relative to the flux density, and their time scales, days.
_SIZES = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
_SCALES_DAYS = (3.0, 10.0, 30.0, 100.0)
#: Caustics at a dip's ends: how wide over its length, and how high over its depth; negative means a
#: Gaussian in place of them.  The first and the last are in the coarse grid.
_FLANK_WIDTH, _HEIGHTS = 0.1, (0.5, 0.0, 0.25, 0.75, -1.0)
#: A dip with fewer days that were observed is none.
_LEAST_DAYS = 3
#: What a template's memory in a walk has faded to where it is left off.
_FADED = 1e-3
#: Part of the rises by which the tail of their significances is told.
_TAIL = 0.1


@dataclass(frozen=True)
class Event:
    """The best dip, or rise, of one light curve."""

    significance: float
    """Square root of twice the logarithm of the likelihoods' ratio: in σ if the red noise were known."""
    depth: float
    """Over the flux density outside; negative for a rise."""
    depth_error: float
    begin_day: float
    """First day, as those of the light curve."""
    length_days: float
    shape: str
    """``caustics`` or ``gaussian``."""


@dataclass(frozen=True)
class Search:
    """What one light curve has."""

    dip: Event
    rise: Event
    walk_size: float
    """Of the walk alone that explains the light curve best, relative; 0 for none."""
    walk_days: float
    years: float
    """Time searched."""


_NONE = Event(0.0, float("nan"), float("nan"), float("nan"), float("nan"), "")


_WALKS = np.array([(0.0, 1.0), *((size, scale) for size in _SIZES for scale in _SCALES_DAYS)])


@numba.njit(cache=True)
def _filter(
    day: NDArray[np.int64], variance: NDArray[np.float64], size: float, scale: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """What of the state is kept until each epoch, its gain there, and the variance of what is new."""
    n = len(day)
    kept, gain, new = np.zeros(n), np.zeros(n), np.empty(n)
    left = size**2
    for i in range(n):
        if i:
            kept[i] = np.exp(-(day[i] - day[i - 1]) / scale)
            left = kept[i] ** 2 * left + (1 - kept[i] ** 2) * size**2
        new[i] = left + variance[i]
        gain[i] = left / new[i]
        left *= 1 - gain[i]
    return kept, gain, new


@numba.njit(cache=True)
def _whiten(
    values: NDArray[np.float64],
    kept: NDArray[np.float64],
    gain: NDArray[np.float64],
    new: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Values less what was expected, over its standard deviation."""
    out = np.empty(len(values))
    state = 0.0
    for i in range(len(values)):
        state *= kept[i]
        left = values[i] - state
        state += gain[i] * left
        out[i] = left / np.sqrt(new[i])
    return out


@numba.njit(cache=True)
def _shape(offset: int, length: int, height: float) -> float:
    """A dip at a day from its begin: with ends of a height, or a Gaussian if that is negative."""
    if height < 0:
        return -np.exp(-4 * np.log(2.0) * ((offset - length / 2) / length) ** 2)
    return -1.0 if 0 <= offset < length else height


@numba.njit(cache=True)
def _margin(length: int, height: float) -> int:
    """Days that a shape has before its begin and after its end."""
    return int(0.7 * length) if height < 0 else max(1, round(_FLANK_WIDTH * length))


@numba.njit(cache=True)
def _one(
    begin: int,
    length: int,
    height: float,
    day: NDArray[np.int64],
    index: NDArray[np.int64],
    whitened: NDArray[np.float64],
    walk: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> tuple[float, float, float]:
    """What a dip adds to twice the logarithm of the likelihood, its amplitude, and its error."""
    n, span = len(day), len(index) - 1
    margin = _margin(length, height)
    low, high = min(max(begin - margin, 0), span), min(max(begin + length + margin, 0), span)
    a, b = index[low], index[high]
    inside = index[min(max(begin + length, 0), span)] - index[min(max(begin, 0), span)]
    if inside < _LEAST_DAYS:
        return -1.0, 0.0, 1.0
    state, tt, td, to = 0.0, 0.0, 0.0, 0.0
    for i in range(a, n):
        state *= walk[0, i] if i > a else 0.0
        if i >= b and abs(state) < _FADED:
            break
        shape = _shape(day[i] - day[0] - begin, length, height) if i < b else 0.0
        left = shape - state
        state += walk[1, i] * left
        left /= walk[2, i]
        tt += left * left
        td += left * whitened[0, i]
        to += left * whitened[1, i]
    norm = tt - to**2 / sums[0]
    if norm <= 1e-6 * tt:
        return -1.0, 0.0, 1.0
    amplitude = (td - to * sums[1] / sums[0]) / norm
    return amplitude**2 * norm, amplitude, norm**-0.5


@numba.njit(cache=True)
def _search(
    day: NDArray[np.int64],
    value: NDArray[np.float64],
    variance: NDArray[np.float64],
    walks: NDArray[np.float64],
    durations: NDArray[np.int64],
    heights: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Twice the logarithm of the likelihood of each walk alone, and the best dip and rise over all walks.

    The latter as (twice the logarithm, amplitude, its error, begin, length, height).  For each walk a coarse
    grid is searched, and the best of it is moved and stretched until nothing is better.
    """
    n = len(day)
    alone, best = np.empty(len(walks)), np.full((2, 6), -1e300)
    span = day[n - 1] - day[0] + 1
    # The first epoch at or after each day.
    index = np.searchsorted(day - day[0], np.arange(span + 1))
    whitened, walk, sums = np.empty((2, n)), np.empty((3, n)), np.empty(2)
    for k in range(len(walks)):
        walk[0], walk[1], new = _filter(day, variance, walks[k, 0], walks[k, 1])
        walk[2] = np.sqrt(new)
        whitened[0] = _whiten(value, walk[0], walk[1], new)
        whitened[1] = _whiten(np.ones(n), walk[0], walk[1], new)
        sums[0], sums[1] = (whitened[1] ** 2).sum(), (whitened[1] * whitened[0]).sum()
        # The mean is fitted too.
        alone[k] = -np.log(new).sum() - (whitened[0] ** 2).sum() + sums[1] ** 2 / sums[0]
        own = np.full((2, 6), -1.0)
        for length in durations:
            for kind in (0, len(heights) - 1):
                for begin in range(-(length // 2), span - length // 2, max(1, length // _STEPS)):
                    gain, amplitude, error = _one(
                        begin, length, heights[kind], day, index, whitened, walk, sums
                    )
                    row = 0 if amplitude > 0 else 1
                    if gain > own[row, 0]:
                        own[row] = np.array([gain, amplitude, error, begin, length, kind])
        for row in range(2):
            if own[row, 0] > 0:
                _refine(own[row], row, day, index, whitened, walk, sums, durations, heights)
                if alone[k] + own[row, 0] > best[row, 0]:
                    best[row] = own[row]
                    best[row, 0] += alone[k]
    return alone, best


@numba.njit(cache=True)
def _refine(
    own: NDArray[np.float64],
    row: int,
    day: NDArray[np.int64],
    index: NDArray[np.int64],
    whitened: NDArray[np.float64],
    walk: NDArray[np.float64],
    sums: NDArray[np.float64],
    durations: NDArray[np.int64],
    heights: NDArray[np.float64],
) -> None:
    """Move and stretch the best dip, by steps that shrink, and try the other shapes."""
    step = max(1, int(own[4]) // (2 * _STEPS))
    while True:
        better = False
        begin, length, kind = int(own[3]), int(own[4]), int(own[5])
        for move in range(-1, 2):
            for stretch in range(-1, 2):
                for other in range(len(heights)):
                    if move == 0 and stretch == 0 and other == kind:
                        continue
                    long = length + stretch * step
                    if not durations[0] <= long <= durations[-1]:
                        continue
                    gain, amplitude, error = _one(
                        begin + move * step, long, heights[other], day, index, whitened, walk, sums
                    )
                    if (amplitude > 0) == (row == 0) and gain > own[0]:
                        own[:] = np.array([gain, amplitude, error, begin + move * step, long, other])
                        better = True
        if not better:
            if step == 1:
                return
            step = max(1, step // 2)


def search_events(day: NDArray[np.int64], flux: NDArray[np.float64], error: NDArray[np.float64]) -> Search:
    """Look for a dip, and for a rise, in daily flux densities.

    Parameters
    ----------
    day : ndarray of int, shape (n,)
        In order, each once.
    flux, error : ndarray, shape (n,)
        Of any unit; the errors have all that is not common to neighbouring days.

    Returns
    -------
    Search
        Nothing of significance where there are too few days.
    """
    years = (int(day[-1]) - int(day[0]) + 1) / 365.25 if len(day) else 0.0
    level = float(np.median(flux)) if len(day) else 0.0
    if len(day) < 2 * _LEAST_DAYS or level <= 0:
        return Search(_NONE, _NONE, 0.0, float("nan"), years)
    alone, best = _search(
        np.asarray(day, np.int64),
        np.asarray(flux, np.float64) / level - 1,
        (np.asarray(error, np.float64) / level) ** 2,
        _WALKS,
        np.array(DURATIONS_DAYS),
        np.array(_HEIGHTS),
    )
    walk = int(alone.argmax())
    dip, rise = (_event(row, float(alone[walk]), int(day[0])) for row in best)
    return Search(dip, rise, float(_WALKS[walk, 0]), float(_WALKS[walk, 1]) if walk else float("nan"), years)


def _event(row: NDArray[np.float64], alone: float, first_day: int) -> Event:
    total, amplitude, error, begin, length, kind = (float(value) for value in row)
    if total < -1e299:
        return _NONE
    shape = "gaussian" if _HEIGHTS[int(kind)] < 0 else "caustics"
    return Event(float(np.sqrt(max(total - alone, 0.0))), amplitude, error, first_day + begin, length, shape)


@dataclass(frozen=True)
class FalseAlarms:
    """How often noise makes a dip of a significance, as rises tell."""

    years: float
    """Searched in all."""
    tail_begin: float
    tail_width: float
    """Significances beyond the first fall off as exp(−(s − begin) / width)."""
    tail_rate: float
    """Rises beyond it in a year."""

    def per_year(self, significance: float) -> float:
        """Rises of at least a significance in a source-year; in the tail only."""
        return self.tail_rate * float(np.exp(-(significance - self.tail_begin) / self.tail_width))

    def threshold(self, per_1e4_years: float) -> float:
        """From which significance on there are fewer in 10 000 source-years."""
        ratio = max(self.tail_rate * 1e4 / per_1e4_years, 1.0)
        return self.tail_begin + self.tail_width * float(np.log(ratio))


def false_alarms(searches: Sequence[Search]) -> FalseAlarms | None:
    """The false-alarm rate from all sources' rises; None if they are too few to tell."""
    years = sum(one.years for one in searches)
    rises = np.sort([one.rise.significance for one in searches])
    n = int(_TAIL * len(rises))
    if n < 10:
        return None
    begin = float(rises[-n - 1])
    beyond = rises[-n:] - begin
    # One that rises in earnest (a flare) would hide all dips: the tail's width is from its median.
    width = float(np.median(beyond) / np.log(2))
    return FalseAlarms(years, begin, max(width, 1e-3), n / years)
