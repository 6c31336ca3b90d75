"""Scales of a day's groups and the beam along hour angle, from the sources that groups share.

The logarithm of what is measured of source i in group j at the place x of the beam is
ln S_i + g_j + b(x) + noise, as for surveys in the optical (Padmanabhan et al. 2008, ApJ
674, 1217).  The flux densities are eliminated, and weights fall for measurements that do not
agree, so that a source which varies takes no part.  Survey flux densities fix what
overlaps cannot: the scale as a whole, and its slope along a strip that does not go
around the sky; each counts little, and one that does not agree counts nothing.

Belongs here: the fit.  Does not belong here: choosing rows from files, or applying the
result (``radio/light_curves/corrections.py``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.flux_scale.beam_terms import N_TERMS, offsets, terms
from contimg_assets.radio.flux_scale.options import FluxScaleOptions
from contimg_assets.radio.photometry.flags import Flag
from contimg_assets.radio.robust import mad_sigma

if TYPE_CHECKING:
    import pandas

#: Measurements with these flags tell nothing of a scale.
_SPOILT = int(Flag.EDGE | Flag.BLANK | Flag.LOW_BEAM | Flag.BLENDED | Flag.MERGED | Flag.ARTEFACTS)
#: Rounds with weights that fall beyond so many errors, then with those that end there.
_HUBER, _HUBER_ROUNDS = 2.0, 6
_BISQUARE, _BISQUARE_ROUNDS = 5.0, 8
#: Prior of each coefficient of the beam (20 %): those that a small field cannot tell stay at 0.
_BEAM_PRIOR = 0.2
#: A survey's flux densities are not better than this.
_LEAST_SCATTER = 0.03
#: Systematic error of a catalogue's position, arcsec.
_POSITION_ARCSEC = 1.0


@dataclass(frozen=True)
class Axis:
    """Where the beam points in the middle of a group, ICRS."""

    ra_deg: float
    dec_deg: float


@dataclass(frozen=True)
class Scales:
    """Of the groups of one day; NaN where too few sources tell."""

    groups: tuple[str, ...]
    log_scale: NDArray[np.float64]
    """Natural logarithm of measured over true flux density."""
    log_scale_error: NDArray[np.float64]
    n_sources: NDArray[np.int64]
    east_arcsec: NDArray[np.float64]
    """Median offset of measured positions from the catalogue's."""
    north_arcsec: NDArray[np.float64]
    offset_error_arcsec: NDArray[np.float64]
    beam: NDArray[np.float64]
    """Coefficients of :func:`beam_terms.terms`: logarithm of the true beam over the assumed one."""
    beam_covariance: NDArray[np.float64]
    reach_deg: float
    """How far from the axis the beam was fitted."""
    chi_squared: float
    """Of measurements that took part, reduced."""
    rejected_fraction: float
    """Part of the measurements that took none."""
    tie: float
    """Median of measured over survey flux density, all corrected: 1 by construction, nearly."""
    tie_error: float
    n_sources_in_all: int


def solve_scales(rows: "pandas.DataFrame", axes: Mapping[str, Axis], options: FluxScaleOptions) -> Scales:
    """Fit a day.

    Parameters
    ----------
    rows : pandas.DataFrame
        Measurements of all groups, with the columns of ``photometry/table.py``.
    axes : Mapping
        Of each group.
    options : FluxScaleOptions

    Raises
    ------
    MissingInputError
        If no group has sources enough.
    """
    groups = tuple(sorted(axes))
    used = _usable(rows, options)
    group = np.searchsorted(groups, used["group"].astype(str).to_numpy())
    counts = np.bincount(group, minlength=len(groups))
    enough = counts[group] >= options.least_sources
    used, group = used[enough], group[enough]
    if not len(used):
        raise MissingInputError(
            f"found no group with {options.least_sources} sources over {options.least_sigma:g} errors "
            f"among {len(groups)}; expected one at least"
        )
    at = [np.array([getattr(axes[g], name) for g in groups])[group] for name in ("ra_deg", "dec_deg")]
    east, north = offsets(used["ra_deg"].to_numpy(), used["dec_deg"].to_numpy(), *at)
    problem = _problem(used, group, len(groups), terms(east, north), options)
    fit = _fit(problem)
    return _told(groups, counts, used, group, fit, problem, float(np.hypot(east, north).max()))


def _usable(rows: "pandas.DataFrame", options: FluxScaleOptions) -> "pandas.DataFrame":
    flux, error = rows["apparent_jy"], rows["apparent_error_jy"]
    good = (
        (rows["flags"].to_numpy() & _SPOILT == 0)
        & (rows["beam"] >= options.least_beam)
        & (flux > options.least_sigma * error)
        & (rows["kind"].astype(str) != "blind")
    )
    return rows[good]


@dataclass(frozen=True)
class _Problem:
    """The linear system, a row a measurement."""

    value: NDArray[np.float64]
    error: NDArray[np.float64]
    source: NDArray[np.int64]
    design: csr_array
    """Groups, then the beam's coefficients."""
    n_groups: int
    survey: NDArray[np.float64]
    """Of each source: what the survey says that its logarithm is; NaN if it does not."""
    tie_scatter: float
    """At most."""


@dataclass(frozen=True)
class _Fit:
    solution: NDArray[np.float64]
    """Groups, then the beam's coefficients."""
    covariance: NDArray[np.float64]
    sources: NDArray[np.float64]
    weights: NDArray[np.float64]
    """Of measurements, 0 to 1."""
    tie_weights: NDArray[np.float64]
    """Of survey flux densities, over their squared error."""


def _problem(
    used: "pandas.DataFrame",
    group: NDArray[np.int64],
    n_groups: int,
    beam: NDArray[np.float64],
    options: FluxScaleOptions,
) -> _Problem:
    flux, error = (used[name].to_numpy(np.float64) for name in ("apparent_jy", "apparent_error_jy"))
    names, source = np.unique(used["source"].astype(str).to_numpy(), return_inverse=True)
    n = len(flux)
    scale = csr_array((np.ones(n), (np.arange(n), group)), shape=(n, n_groups))
    # At the catalogue's place a source shows less by the error of that place, always the same; its peak
    # is what the survey's flux density is compared with.
    free = used["free_apparent_jy"].to_numpy(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.log(used["survey_jy"].to_numpy(np.float64)) - np.where(
            free > 0, np.log(free / flux), 0.0
        )
    return _Problem(
        np.log(flux / used["beam"].to_numpy(np.float64)),
        np.hypot(error / flux, options.floor),
        source,
        hstack([scale, csr_array(beam)], format="csr"),
        n_groups,
        _mean_of(source, expected, len(names)),
        options.tie_scatter,
    )


def _mean_of(index: NDArray[np.int64], values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Mean of the values of each index that are numbers; NaN if none is."""
    good = np.isfinite(values)
    count = np.bincount(index[good], minlength=n)
    total = np.bincount(index[good], weights=values[good], minlength=n)
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / count, np.nan)


def _fit(problem: _Problem) -> _Fit:
    """Rounds of weighted least squares."""
    weights, ties = np.ones(len(problem.value)), np.full(len(problem.survey), problem.tie_scatter**-2)
    rounds = [(_HUBER, False)] * _HUBER_ROUNDS + [(_BISQUARE, True)] * _BISQUARE_ROUNDS
    fit = _solve(problem, weights, ties)
    for limit, ends in rounds:
        left = problem.value - problem.design @ fit.solution - fit.sources[problem.source]
        pull = left / problem.error
        # What a bright source's noise leaves may be more than was thought: never let half of them go.
        weights = _weight(pull / max(1.0, mad_sigma(pull)), limit, ends=ends)
        ties = _ties(fit.sources - problem.survey, problem.tie_scatter, limit, ends=ends)
        fit = _solve(problem, weights, ties)
    return fit


def _ties(off: NDArray[np.float64], most: float, limit: float, *, ends: bool) -> NDArray[np.float64]:
    """Weights of survey flux densities, by how far they are off, and how far they usually are."""
    known = np.isfinite(off)
    if not known.any():
        return np.zeros(len(off))
    off = off - np.median(off[known])
    scatter = float(np.clip(mad_sigma(off[known]), _LEAST_SCATTER, most))
    return _weight(off / scatter, limit, ends=ends) / scatter**2


def _weight(pull: NDArray[np.float64], limit: float, *, ends: bool) -> NDArray[np.float64]:
    """Weights by how far off something is, in errors: Huber's, or Tukey's bisquare which ends."""
    size = np.abs(np.where(np.isfinite(pull), pull, np.inf))
    if ends:
        return np.where(size < limit, (1 - np.minimum(size / limit, 1) ** 2) ** 2, 0.0)
    return np.minimum(1.0, limit / np.maximum(size, 1e-9))


def _solve(problem: _Problem, weights: NDArray[np.float64], ties: NDArray[np.float64]) -> _Fit:
    """Least squares for groups and beam with the sources eliminated."""
    n_sources, n = len(problem.survey), len(problem.value)
    w = weights / problem.error**2
    known = np.isfinite(problem.survey)
    tie = np.where(known, ties, 0.0)
    by_source = csr_array((w, (problem.source, np.arange(n))), shape=(n_sources, n))
    own = np.asarray(by_source.sum(axis=1)).ravel() + tie
    right_own = by_source @ problem.value + tie * np.where(known, problem.survey, 0.0)
    mixed = by_source @ problem.design
    weighted = problem.design.multiply(w[:, None]).tocsr()
    # A source of which nothing counts takes no part.
    inverse = np.where(own > 0, 1 / np.maximum(own, 1e-30), 0.0)
    scaled = mixed.multiply(inverse[:, None]).tocsr()
    normal = (weighted.T @ problem.design - mixed.T @ scaled).toarray()
    right = weighted.T @ problem.value - scaled.T @ right_own
    n_beam = problem.design.shape[1] - problem.n_groups
    prior = np.concatenate([np.zeros(problem.n_groups), np.full(n_beam, _BEAM_PRIOR**-2)])
    # Groups without a measurement have an empty row.
    empty = np.diag(normal) <= 1e-9
    normal[np.diag_indices_from(normal)] += prior + np.where(empty, 1.0, 0.0)
    covariance = np.linalg.inv(normal)
    solution = covariance @ right
    sources = inverse * (right_own - mixed @ solution)
    sources[own <= 0] = np.nan
    return _Fit(solution, covariance, sources, weights, ties)


def _told(
    groups: tuple[str, ...],
    counts: NDArray[np.int64],
    used: "pandas.DataFrame",
    group: NDArray[np.int64],
    fit: _Fit,
    problem: _Problem,
    reach_deg: float,
) -> Scales:
    n = len(groups)
    takes_part = np.bincount(group[fit.weights > 0], minlength=n) > 0
    left = problem.value - problem.design @ fit.solution - fit.sources[problem.source]
    counted = fit.weights > 0
    freedom = max(int(counted.sum()) - len(np.unique(problem.source[counted])) - n - N_TERMS, 1)
    ratio = np.exp((fit.sources - problem.survey)[np.isfinite(problem.survey)])
    ratio = ratio[np.isfinite(ratio)]
    east, north, error = _offsets_of(used, group, n)
    return Scales(
        groups,
        np.where(takes_part, fit.solution[:n], np.nan),
        np.where(takes_part, _errors(fit.covariance[:n, :n], takes_part), np.nan),
        np.where(takes_part, counts, 0),
        east,
        north,
        error,
        fit.solution[n:],
        fit.covariance[n:, n:],
        reach_deg,
        float(np.sum(fit.weights * (left / problem.error) ** 2, where=counted) / freedom),
        float(1 - counted.mean()),
        float(np.median(ratio)) if len(ratio) else float("nan"),
        float(1.25 * mad_sigma(ratio) / np.sqrt(len(ratio))) if len(ratio) else float("nan"),
        len(problem.survey),
    )


def _errors(covariance: NDArray[np.float64], takes_part: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Errors of scales against their mean: that of all together is the tie's, and the same on every day."""
    mean = np.where(takes_part, 1.0, 0.0) / max(int(takes_part.sum()), 1)
    own = covariance - np.outer(np.ones(len(mean)), mean @ covariance)
    own -= np.outer(own @ mean, np.ones(len(mean)))
    return np.sqrt(np.maximum(np.diag(own), 0.0))


def _offsets_of(
    used: "pandas.DataFrame", group: NDArray[np.int64], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Median offset of each group's positions, and its error."""
    east, north = (used[f"{axis}_arcsec"].to_numpy(np.float64) for axis in ("east", "north"))
    found = np.full((3, n), np.nan)
    for i in np.unique(group):
        own = (group == i) & np.isfinite(east) & np.isfinite(north)
        if own.any():
            spread = max(mad_sigma(east[own]), mad_sigma(north[own]), _POSITION_ARCSEC / 10)
            found[:, i] = np.median(east[own]), np.median(north[own]), 1.25 * spread / np.sqrt(own.sum())
    return found[0], found[1], found[2]
