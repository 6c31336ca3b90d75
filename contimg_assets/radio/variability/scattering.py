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
#: Dips begin every so many parts of their duration.
_STEPS = 5
#: Size of walks relative to the flux density, and their time scales, days.
_SIZES = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
_SCALES_DAYS = (3.0, 10.0, 30.0, 100.0)
#: Caustics at a dip's ends: how high over its depth, and how wide over its length.
_FLANK_HEIGHT, _FLANK_WIDTH = 0.4, 0.1
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


def _templates() -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Shapes by days from their begin, one after another; where each starts, its steps and its duration."""
    shapes, steps, durations = [], [], []
    for length in DURATIONS_DAYS:
        flank = max(1, round(_FLANK_WIDTH * length))
        caustics = np.full(length + 2 * flank, -1.0)
        caustics[:flank] = caustics[-flank:] = _FLANK_HEIGHT
        # A Gaussian of this length at half its depth, to where it is 2 %.
        days = np.arange(-int(1.2 * length), int(1.2 * length) + 1)
        shapes += [caustics, -np.exp(-4 * np.log(2) * (days / length) ** 2)]
        steps += [max(1, length // _STEPS)] * 2
        durations += [length] * 2
    first = np.concatenate([[0], np.cumsum([len(shape) for shape in shapes])])
    return np.concatenate(shapes), first, np.array(steps), np.array(durations)


_VALUES, _FIRST, _EVERY, _DURATION = _templates()
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
def _search(
    day: NDArray[np.int64],
    value: NDArray[np.float64],
    variance: NDArray[np.float64],
    walks: NDArray[np.float64],
    shapes: NDArray[np.float64],
    first: NDArray[np.int64],
    every: NDArray[np.int64],
    least_days: int,
    faded: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Twice the logarithm of the likelihood of each walk alone, and the best dip and rise over all walks.

    The latter as (twice the logarithm, amplitude, its error, template, begin) for dips and for rises.
    """
    n = len(day)
    alone = np.empty(len(walks))
    best = np.full((2, 5), -1e300)
    # Where each day's epoch is: the first one at or after it.
    span = day[n - 1] - day[0] + 1
    index = np.empty(span + 1, np.int64)
    at = 0
    for d in range(span + 1):
        while at < n and day[at] - day[0] < d:
            at += 1
        index[d] = at
    for k in range(len(walks)):
        kept, gain, new = _filter(day, variance, walks[k, 0], walks[k, 1])
        data, ones = _whiten(value, kept, gain, new), _whiten(np.ones(n), kept, gain, new)
        root = np.sqrt(new)
        one_one, one_data, data_data = (ones * ones).sum(), (ones * data).sum(), (data * data).sum()
        # The mean is fitted too.
        alone[k] = -np.log(new).sum() - data_data + one_data**2 / one_one
        for t in range(len(every)):
            length = first[t + 1] - first[t]
            begin = -length // 2
            while begin < span - length // 2:
                low, high = max(begin, 0), min(begin + length, span)
                a, b = index[low], index[high]
                if b - a >= least_days:
                    state, tt, td, to = 0.0, 0.0, 0.0, 0.0
                    for i in range(a, n):
                        state *= kept[i] if i > a else 0.0
                        shape = shapes[first[t] + day[i] - day[0] - begin] if i < b else 0.0
                        if i >= b and abs(state) < faded:
                            break
                        left = shape - state
                        state += gain[i] * left
                        left /= root[i]
                        tt += left * left
                        td += left * data[i]
                        to += left * ones[i]
                    norm = tt - to**2 / one_one
                    if norm > 1e-6 * tt:
                        amplitude = (td - to * one_data / one_one) / norm
                        total = alone[k] + amplitude**2 * norm
                        # Shapes are dips.
                        row = 0 if amplitude > 0 else 1
                        if total > best[row, 0]:
                            best[row, 0], best[row, 1], best[row, 2] = total, amplitude, norm**-0.5
                            best[row, 3], best[row, 4] = t, begin
                begin += every[t]
    return alone, best


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
        *(_WALKS, _VALUES, _FIRST, _EVERY, _LEAST_DAYS, _FADED),
    )
    walk = int(alone.argmax())
    dip, rise = (_event(row, float(alone[walk]), int(day[0])) for row in best)
    return Search(dip, rise, float(_WALKS[walk, 0]), float(_WALKS[walk, 1]) if walk else float("nan"), years)


def _event(row: NDArray[np.float64], alone: float, first_day: int) -> Event:
    total, amplitude, error, template, begin = (float(value) for value in row)
    if total < -1e299:
        return _NONE
    number = int(template)
    # A Gaussian's shape begins before its half depth.
    length, gaussian = int(_DURATION[number]), number % 2 == 1
    margin = (int(_FIRST[number + 1] - _FIRST[number]) - length) / 2
    return Event(
        float(np.sqrt(max(total - alone, 0.0))),
        amplitude,
        error,
        first_day + begin + margin,
        float(length),
        "gaussian" if gaussian else "caustics",
    )


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
