"""Bad spans of antennas and feeds within a group: which integrations and subbands, and what is wrong.

Three things tell, without a calibration or a model.  An antenna's *coherence* with the array, integration
by integration, is nothing where it has no signal (dead, deaf, feeds exchanged), whatever its noise does.
Its *autocorrelation*, good to a thousandth in each integration, tells when its noise or its gain changes;
whether its coherence changes as well tells which of them.  A gain that jumps in phase alone *turns* all of
the antenna's baselines between two integrations.

Belongs here: where spans begin and end.  Does not belong here: products over the data (``statistics.py``),
what becomes of a jump, for which the calibration has to be known (``radio/corrections``).
"""

import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.robust import MAD_TO_SIGMA

Kind = Literal["no signal", "noisy", "jumped", "delay changed"]
#: Names of the two feeds.
FEEDS = ("X", "Y")
#: Twice the logarithm of the odds on a span of no signal: as that of a deviation of six standard errors; more
#: of a subband, of which there are many.
_ODDS, _ODDS_OF_SUBBAND = 36.0, 45.0
#: Odds against a span that has been looked at.
_NEVER = 1e12
#: Spans of one series, at most.
_MOST_SPANS = 4
#: An antenna's own coherence is not taken to be less than this part of the array's.
_LEAST_ALIVE = 0.5
#: Steps of an autocorrelation: at least this (of power), and so many times its scatter between integrations.
_LEAST_STEP, _STEP_SIGMA = 0.08, 8.0
#: Integrations that a level, and its scatter, are told from.
_FEWEST = 4
#: Noise is over its level where the autocorrelation is by this factor, if the coherence cannot tell.
_NOISE_FACTOR = 3.0
#: Steps of the phase: at least this, rad, and so many times the scatter of the antenna's own steps.
_LEAST_TURN, _TURN_SIGMA = np.deg2rad(15.0), 7.0


@dataclass(frozen=True)
class Span:
    """Integrations in which a feed, or both, must not be used."""

    antenna: int
    """Index among the antennas of the data."""
    feed: int | None
    """None: both."""
    first: int
    last: int
    """Last integration."""
    kind: Kind
    subbands: tuple[int, ...] | None = None
    """In the order of the data, upwards in frequency; None: all."""

    def told(self, names: list[str]) -> dict[str, Any]:
        """As JSON, with names; subbands in the telescope's order."""
        return {
            **asdict(self),
            "antenna": names[self.antenna],
            "feed": "both" if self.feed is None else FEEDS[self.feed],
            "subbands": None if self.subbands is None else sorted(15 - s for s in self.subbands),
        }


@dataclass(frozen=True)
class Jump:
    """A gain that is another from an integration on."""

    antenna: int
    feed: int
    integration: int
    """The first with the new gain."""
    amplitude: float
    """New over old."""
    phase_deg: float
    """New less old, of the gain that is not conjugate in CASA's V = g g*; NaN where the sky is too faint."""

    def told(self, names: list[str]) -> dict[str, Any]:
        """As JSON, with names."""
        phase = None if np.isnan(self.phase_deg) else round(self.phase_deg, 1)
        return {
            "antenna": names[self.antenna],
            "feed": FEEDS[self.feed],
            "integration": self.integration,
            "amplitude": round(self.amplitude, 3),
            "phase_deg": phase,
        }


def spans_without_signal(
    total: NDArray[np.float64], count: NDArray[np.float64], fraction: float
) -> list[Span]:
    """Spans in which an antenna does not correlate with the array.

    Parameters
    ----------
    total, count : ndarray, shape (n_subbands, n_times, n_antennas, n_feeds)
        Sums of products over each antenna's baselines.
    fraction : float
        Of the antenna's own coherence at other times, or the array's.

    Returns
    -------
    list of Span
        None where the group is too faint for the test.
    """
    n_subbands = total.shape[0]
    found: list[Span] = []
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        # An antenna of zeros, a missing subband: no data, no number.
        warnings.simplefilter("ignore", RuntimeWarning)
        values = np.where(count > 0, total / count, np.nan)
        weight = np.isfinite(values)
        whole = np.where(weight.any(axis=0), np.nansum(total, axis=0) / count.sum(axis=0), np.nan)
        level = np.nanmedian(whole, axis=1)
        # What differs between subbands, of all integrations, is the error of one.
        between = np.nanvar(values, axis=0, ddof=1) / np.maximum(weight.sum(axis=0), 1)
        error = np.sqrt(np.nanmean(between, axis=0))
    for feed in range(total.shape[3]):
        usable = np.isfinite(level[:, feed]) & (level[:, feed] > 0)
        if not usable.any() or not np.nanmedian(error[:, feed]) < np.nanmedian(level[usable, feed]):
            continue
        for antenna in range(total.shape[2]):
            own = _relative(whole[:, antenna, feed], level[:, feed])
            sigma = error[antenna, feed] / np.where(usable, level[:, feed], np.nan)
            known = own[np.isfinite(own)]
            alive = max(float(np.quantile(known, 0.75)), _LEAST_ALIVE) if len(known) else 1.0
            spans = list(_without(own, sigma, alive, fraction, _ODDS))
            found += [Span(antenna, feed, *span, "no signal") for span in spans]
            gone = np.zeros(len(own), bool)
            for first, last in spans:
                gone[first : last + 1] = True
            for subband in range(n_subbands):
                part = _relative(values[subband, :, antenna, feed], level[:, feed])
                part[gone] = np.nan
                for span in _without(part, sigma * np.sqrt(n_subbands), alive, fraction, _ODDS_OF_SUBBAND):
                    found.append(Span(antenna, feed, *span, "no signal", (subband,)))
    return merged(found)


def _relative(values: NDArray[np.float64], level: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(values, level, out=np.full(len(values), np.nan), where=level > 0)


def _without(
    values: NDArray[np.float64], sigma: NDArray[np.float64], alive: float, fraction: float, least: float
) -> Iterator[tuple[int, int]]:
    """Spans in which a series of relative coherences is nothing rather than ``alive``, likeliest first.

    A span's integrations are weighed together: what a single one cannot tell is found if it is long.
    """
    known = np.isfinite(values) & np.isfinite(sigma) & (sigma > 0)
    if not known.any():
        return
    odds = np.where(known, ((values - alive) ** 2 - values**2) / np.where(known, sigma, 1.0) ** 2, 0.0)
    for _ in range(_MOST_SPANS):
        sums = np.concatenate([[0.0], np.cumsum(odds)])
        lowest = np.minimum.accumulate(sums)
        last = int(np.argmax(sums[1:] - lowest[:-1]))
        first = int(np.argmin(sums[: last + 1]))
        if sums[last + 1] - sums[first] < least:
            return
        inside = np.zeros(len(odds), bool)
        inside[first : last + 1] = True
        weights = np.where(inside & known, 1.0 / np.where(known, sigma, 1.0) ** 2, 0.0)
        if np.sum(weights * np.where(known, values, 0.0)) < fraction * alive * weights.sum():
            yield first, last
        odds[inside] = -_NEVER


def merged(spans: list[Span]) -> list[Span]:
    """Subbands of one span together, then feeds."""
    by_time: dict[tuple[int, int | None, int, int, Kind], set[int] | None] = {}
    for s in spans:
        key = (s.antenna, s.feed, s.first, s.last, s.kind)
        known = by_time.get(key, set())
        by_time[key] = None if known is None or s.subbands is None else known | set(s.subbands)
    whole = [
        Span(a, f, first, last, kind, None if subbands is None else tuple(sorted(subbands)))
        for (a, f, first, last, kind), subbands in by_time.items()
    ]
    feeds: dict[tuple[Any, ...], list[Span]] = {}
    for s in whole:
        feeds.setdefault((s.antenna, s.first, s.last, s.kind, s.subbands), []).append(s)
    return [
        own[0] if len(own) < len(FEEDS) else Span(own[0].antenna, None, *key[1:4], subbands=key[4])
        for key, own in feeds.items()
    ]


def changes(
    autos: NDArray[np.float64],
    total: NDArray[np.float64],
    turned: NDArray[np.complex128],
    dead: list[Span],
) -> tuple[list[Span], list[Jump]]:
    """Spans of raised noise and of another gain, and jumps that last.

    Parameters
    ----------
    autos : ndarray, shape (n_times, n_antennas, n_feeds)
        Autocorrelations; NaN without data.
    total : ndarray, same shape
        Coherence, not normalised by autocorrelations.
    turned : ndarray, complex, same shape
        Sum over the antenna's baselines of the product with the integration before, with the sign with which
        the antenna's own phase is in it.
    dead : list of Span
        Without signal: their coherence tells nothing.

    Returns
    -------
    spans, jumps : list
        A gain that jumps and comes back is a span; one that stays is a jump.
    """
    known = np.ones(autos.shape, bool)
    for s in dead:
        if s.subbands is None:
            known[s.first : s.last + 1, s.antenna, slice(None) if s.feed is None else s.feed] = False
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        # Each antenna's own level, then what the array as a whole does.
        log = np.log(autos / np.nanmedian(autos, axis=0))
        log -= np.nanmedian(log, axis=1, keepdims=True)
        seen = np.where(known, total, np.nan)
        coherence = seen / np.nanmedian(seen, axis=1, keepdims=True)
    spans: list[Span] = []
    jumps: list[Jump] = []
    for antenna, feed in np.ndindex(*autos.shape[1:]):
        place = (slice(None), antenna, feed)
        steps = _steps(log[place])
        turns = _turns(turned[place], known[place], log[place])
        edges = sorted(steps | {t for t in turns if not steps & {t - 1, t, t + 1}})
        found = _of_segments(antenna, feed, edges, log[place], coherence[place], turns)
        spans += found[0]
        jumps += found[1]
    return merged(spans), jumps


def _steps(log: NDArray[np.float64]) -> set[int]:
    """Integrations from which on an autocorrelation is at another level."""
    known = np.flatnonzero(np.isfinite(log))
    if len(known) < _FEWEST:
        return set()
    differences = np.diff(log[known])
    scatter = MAD_TO_SIGMA * float(np.median(np.abs(differences - np.median(differences))))
    limit = max(np.log1p(_LEAST_STEP), _STEP_SIGMA * scatter)
    return {int(known[k + 1]) for k in np.flatnonzero(np.abs(differences) > limit)}


def _turns(
    turned: NDArray[np.complex128], known: NDArray[np.bool_], log: NDArray[np.float64]
) -> dict[int, float]:
    """Integrations at which an antenna's baselines turn together, and by how much, rad."""
    usable = known & (turned != 0)
    usable[1:] &= known[:-1]
    at = np.flatnonzero(usable)
    if len(at) < _FEWEST:
        return {}
    phases = np.angle(turned[at] * np.exp(-1j * np.angle(np.sum(turned[at]))))
    phases -= np.median(phases)
    scatter = MAD_TO_SIGMA * float(np.median(np.abs(phases)))
    # Where the antenna's noise is up, so is the scatter of its phases.
    noise = np.exp(np.maximum(np.nan_to_num(log[at] + log[at - 1]) / 2, 0.0))
    beyond = np.abs(phases) > np.maximum(_LEAST_TURN, _TURN_SIGMA * scatter * noise)
    return {int(at[k]): float(phases[k]) for k in np.flatnonzero(beyond)}


def _of_segments(
    antenna: int,
    feed: int,
    edges: list[int],
    log: NDArray[np.float64],
    coherence: NDArray[np.float64],
    turns: dict[int, float],
) -> tuple[list[Span], list[Jump]]:
    """What the segments between steps are: noisy, of another gain for a time, or of another from then on."""
    segments = [(a, b) for a, b in pairwise([0, *edges, len(log)]) if np.isfinite(log[a:b]).any()]
    if len(segments) < 2:
        return [], []
    levels = np.array([np.nanmedian(log[a:b]) for a, b in segments])
    noisy = _noisy(segments, levels, coherence)
    spans = [
        Span(antenna, feed, a, b - 1, "noisy") for (a, b), bad in zip(segments, noisy, strict=True) if bad
    ]
    rest = [k for k, bad in enumerate(noisy) if not bad]
    # The phase of each segment is the sum of the turns before it.
    near = {t: next((turns[at] for at in (t, t - 1, t + 1) if at in turns), np.nan) for t in edges}
    phases = np.array([np.nansum([near[t] for t in edges if t <= a]) for a, _ in segments])

    def alike(k: int, other: int) -> bool:
        turn = np.angle(np.exp(1j * (phases[k] - phases[other])))
        return bool(abs(levels[k] - levels[other]) < np.log1p(_LEAST_STEP) and abs(turn) < _LEAST_TURN)

    if rest and alike(rest[0], rest[-1]):
        strange = [k for k in rest if not alike(k, rest[0])]
        return spans + [
            Span(antenna, feed, segments[k][0], segments[k][1] - 1, "jumped") for k in strange
        ], []
    jumps = []
    for before, after in pairwise(rest):
        if not alike(before, after):
            amplitude = float(np.exp((levels[after] - levels[before]) / 2))
            turn = near.get(segments[after][0], np.nan)
            jumps.append(Jump(antenna, feed, segments[after][0], amplitude, float(np.rad2deg(turn))))
    return spans, jumps


def _noisy(
    segments: list[tuple[int, int]], levels: NDArray[np.float64], coherence: NDArray[np.float64]
) -> list[bool]:
    """Which segments have more noise, and not more gain: their coherence is what it is in the quietest."""
    quiet = int(np.nanargmin(levels))
    own = [coherence[a:b] for a, b in segments]
    means = np.array([np.nanmean(c) if np.isfinite(c).any() else np.nan for c in own])
    n_known = [int(np.isfinite(c).sum()) for c in own]
    errors = np.array(
        [np.nanstd(c) / np.sqrt(n - 1) if n > 1 else np.nan for c, n in zip(own, n_known, strict=True)]
    )
    found = []
    for level, mean, error in zip(levels, means, errors, strict=True):
        factor = float(np.exp(level - levels[quiet]))
        if not factor > 1 + _LEAST_STEP:
            found.append(False)
            continue
        told = (mean - means[quiet]) / means[quiet] if means[quiet] > 0 else np.nan
        scatter = np.hypot(error, errors[quiet]) / means[quiet] if means[quiet] > 0 else np.nan
        # A gain's change shows in the coherence by the same factor.
        if np.isfinite(told) and np.isfinite(scatter) and scatter * 4 < factor - 1:
            found.append(bool(told < (factor - 1) / 2))
        else:
            found.append(factor > _NOISE_FACTOR)
    return found
