"""Forced flux densities: all places of an image fitted together, each with its true error.

What is fitted is the image before CLEAN: the residual, to which the components of the
places are added back as dirty beams, with dirty beams at the places.  Components of
nothing that is measured stay subtracted.  So how deep CLEAN went, and how it shared a
source out to pixels, changes nothing, and a source that it never touched is measured
with the shape that it has.  The estimator is linear, d = P a + noise, a = A d with
A = (PᵀP)⁻¹Pᵀ on the pixels of the beams' cores, and its covariance A C Aᵀ is that of
the noise C as the residual has it.

Belongs here: the fit.  Does not belong here: which places (``places.py``), or what the
numbers mean (``flags.py``, ``table.py``).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from contimg_assets.radio.photometry.autocorrelation import NoiseCorrelation
from contimg_assets.radio.photometry.dirty_beam import DirtyBeam

#: Pixels where the restoring beam is over this are fitted: in noise that is correlated as the beam, that
#: loses 3 % of the signal-to-noise ratio, where a wide box loses 15 %.
_CORE = 0.5
#: … and over this they are in χ².
_AROUND = 0.15
#: Places nearer than this (full widths) are one to the image.
MERGED_BEAMS = 0.3
#: Components within this of a place (full widths) are of it.
_OWN_BEAMS = 1.0
#: Steps of a fit with the position free: from half a beam to a hundredth of the error.
_STEPS = 5
#: A place whose fit leaves by more than this (full widths) is another source.
_FARTHEST_BEAMS = 0.5
#: Places with more pixels than these in one group of neighbours are worked on a few groups at a time.
_MOST_PIXELS = 2_000_000


@dataclass(frozen=True)
class Points:
    """Places or components: zero-based pixels, not rounded, and apparent flux densities, Jy."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    flux: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Plane:
    """What an image knows of its pixels."""

    residual: NDArray[np.floating]
    """What CLEAN left, Jy/beam, shape (ny, nx)."""
    noise: NDArray[np.floating]
    """Local noise, same shape."""
    components: Points
    beam: DirtyBeam
    correlation: NoiseCorrelation


@dataclass(frozen=True)
class Fits:
    """Of each place; NaN where there is nothing to measure."""

    flux: NDArray[np.float64]
    """Apparent flux density of a point at the place, Jy."""
    error: NDArray[np.float64]
    alone_error: NDArray[np.float64]
    """What the error would be without neighbours."""
    noise: NDArray[np.float64]
    """Local noise, Jy/beam."""
    chi2: NDArray[np.float64]
    """Of what the fit leaves around the place, over its expectation: 1 for a point in noise."""
    chi2_error: float
    """Its standard error, for noise alone."""
    dx: NDArray[np.float64]
    """Offset from the place with the position free, pixels; NaN where it was not fitted."""
    dy: NDArray[np.float64]
    dx_error: NDArray[np.float64]
    dy_error: NDArray[np.float64]
    free_flux: NDArray[np.float64]
    """Flux density there."""
    free_error: NDArray[np.float64]
    n_joint: NDArray[np.int64]
    """Places that were fitted together with this one, with it."""
    merged: NDArray[np.bool_]
    """One with a brighter place (whose numbers it has) or with a fainter one."""
    edge: NDArray[np.bool_]
    """Too near the image's edge."""
    blank: NDArray[np.bool_]
    """Beside blank pixels."""

    def first(self, n: int) -> "Fits":
        """Of the first places alone."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return Fits(**{name: v if name == "chi2_error" else v[:n] for name, v in values.items()})


def fit_places(plane: Plane, places: Points, *, join_beams: float, offset_sigma: float) -> Fits:
    """Measure all places.

    Parameters
    ----------
    plane : Plane
    places : Points
        With the flux densities that they are expected to have, by which the brighter of two merged ones
        is known.
    join_beams : float
        Places nearer than this (full widths of the restoring beam) are fitted together.
    offset_sigma : float
        The position is fitted too from this signal-to-noise ratio on.

    Returns
    -------
    Fits
        In the order of the places.
    """
    work = _Work(plane, places)
    leader = _leaders(work.scaled, places.flux)
    use = work.good & (leader == np.arange(len(places)))
    chosen = np.flatnonzero(use)
    group, first = _groups(work.scaled[chosen], join_beams)
    own = plane.components
    by_component = owners(work.scaled[chosen], plane.beam.in_beams(own.x, own.y))
    for size in np.unique(np.diff(first)):
        rows = np.flatnonzero(np.diff(first) == size)
        step = max(1, int(_MOST_PIXELS // (size * work.n_around) ** 2))
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            members = chosen[group[first[some][:, None] + np.arange(size)]]
            work.fit(members, by_component, chosen, offset_sigma)
    return work.result(leader)


def _leaders(scaled: NDArray[np.float64], flux: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each place the brightest of those that are one with it; itself as a rule."""
    leader = np.arange(len(scaled))
    order = np.argsort(-np.nan_to_num(flux), kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    pairs = cKDTree(scaled).query_pairs(MERGED_BEAMS, output_type="ndarray") if len(scaled) else []
    near: dict[int, list[int]] = {}
    for i, j in pairs:
        near.setdefault(int(i), []).append(int(j))
        near.setdefault(int(j), []).append(int(i))
    for i in sorted(near, key=lambda k: rank[k]):
        if leader[i] == i:
            for j in near[i]:
                if leader[j] == j and rank[j] > rank[i]:
                    leader[j] = i
    return leader


def _groups(scaled: NDArray[np.float64], join_beams: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places in the order of their groups of neighbours, and where each group begins."""
    n = len(scaled)
    if n == 0:
        return np.zeros(0, np.int64), np.zeros(1, np.int64)
    pairs = cKDTree(scaled).query_pairs(join_beams, output_type="ndarray")
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    count, label = connected_components(graph, directed=False)
    order = np.argsort(label, kind="stable")
    return order, np.searchsorted(label[order], np.arange(count + 1))


def owners(places: NDArray[np.float64], components: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each component the place that it belongs to, all in beams; −1 if it belongs to none."""
    if not len(places) or not len(components):
        return np.full(len(components), -1)
    away, nearest = cKDTree(places).query(components)
    return np.where(away <= _OWN_BEAMS, nearest, -1)


class _Work:
    """Arrays of all places while they are being filled, and the pixels around a place."""

    def __init__(self, plane: Plane, places: Points) -> None:
        self.plane, self.places = plane, places
        n = len(places)
        self.dx, self.dy, shape = plane.beam.stencil(_AROUND)
        # The core's pixels first.
        order = np.argsort(shape <= _CORE, kind="stable")
        self.dx, self.dy = self.dx[order], self.dy[order]
        self.n_core, self.n_around = int((shape > _CORE).sum()), len(shape)
        self.scaled = plane.beam.in_beams(places.x, places.y)
        self.column, self.row = np.rint(places.x).astype(np.int64), np.rint(places.y).astype(np.int64)
        self._look()
        self.core = plane.correlation.matrix(self.dx[: self.n_core], self.dy[: self.n_core])
        around = plane.correlation.matrix(self.dx, self.dy)
        self.chi2_error = float(np.sqrt(2 * (around**2).sum()) / self.n_around)
        self.flux, self.error, self.alone, self.chi2 = np.full((4, n), np.nan)
        self.free = np.full((6, n), np.nan)
        self.n_joint = np.ones(n, np.int64)

    def _look(self) -> None:
        """Which places can be measured, the local noise, and the pixels' values."""
        ny, nx = self.plane.residual.shape
        reach_x, reach_y = np.abs(self.dx).max(), np.abs(self.dy).max()
        self.edge = (self.column < reach_x) | (self.column >= nx - reach_x)
        self.edge |= (self.row < reach_y) | (self.row >= ny - reach_y)
        x = np.where(self.edge, reach_x, self.column)
        y = np.where(self.edge, reach_y, self.row)
        self.noise = np.where(self.edge, np.nan, np.asarray(self.plane.noise[y, x], np.float64))
        self.values = np.asarray(
            self.plane.residual[y[:, None] + self.dy, x[:, None] + self.dx], np.float64
        ).reshape(-1, self.n_around)
        self.blank = ~self.edge & ~(np.isfinite(self.values).all(axis=1) & (self.noise > 0))
        self.good = ~(self.edge | self.blank)

    def fit(
        self,
        members: NDArray[np.int64],
        by_component: NDArray[np.int64],
        chosen: NDArray[np.int64],
        offset_sigma: float,
    ) -> None:
        """Fit groups of equally many places, members of shape (n_groups, size)."""
        n, size = members.shape
        px = (self.column[members][:, :, None] + self.dx).reshape(n, -1)
        py = (self.row[members][:, :, None] + self.dy).reshape(n, -1)
        data = self.values[members].reshape(n, -1)
        self._put_back(members, by_component, chosen, px, py, data)
        x, y = self.places.x[members], self.places.y[members]
        design = self.plane.beam.at(px[:, :, None] - x[:, None, :], py[:, :, None] - y[:, None, :])
        inside = np.tile(np.arange(self.n_around) < self.n_core, size)
        core = design[:, inside]
        estimator = np.linalg.solve(core.transpose(0, 2, 1) @ core, core.transpose(0, 2, 1))
        flux = (estimator @ data[:, inside, None])[..., 0]
        sigma = np.repeat(self.noise[members], self.n_around, axis=1)
        if size == 1:
            correlation = self.plane.correlation.matrix(self.dx, self.dy)[None]
        else:
            correlation = self.plane.correlation.matrix(px, py)
        weighed = estimator * sigma[:, None, inside]
        # Covariance of the estimates with every pixel, and with one another.
        towards = (weighed @ correlation[:, inside]) * sigma[:, None, :]
        covariance = towards[:, :, inside] @ estimator.transpose(0, 2, 1)
        self.flux[members] = flux
        self.error[members] = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        self.n_joint[members] = size
        self._alone(members, design)
        left = data - (design @ flux[..., None])[..., 0]
        expected = sigma**2 - 2 * np.einsum("npk,nkp->np", design, towards)
        expected += np.einsum("npk,nkl,npl->np", design, covariance, design)
        by_place = (n, size, self.n_around)
        self.chi2[members] = (left**2).reshape(by_place).sum(-1) / expected.reshape(by_place).sum(-1)
        self._free(members, data, design, flux, offset_sigma)

    def _put_back(
        self,
        members: NDArray[np.int64],
        by_component: NDArray[np.int64],
        chosen: NDArray[np.int64],
        px: NDArray[np.int64],
        py: NDArray[np.int64],
        data: NDArray[np.float64],
    ) -> None:
        """Undo CLEAN: add the dirty beams of the members' components to the data."""
        row = np.full(len(self.places), -1)
        row[members] = np.arange(len(members))[:, None]
        of_row = np.where(by_component >= 0, row[chosen[by_component]] if len(chosen) else -1, -1)
        which = np.flatnonzero(of_row >= 0)
        which = which[np.argsort(of_row[which], kind="stable")]
        first = np.searchsorted(of_row[which], np.arange(len(members) + 1))
        own = self.plane.components
        self.plane.beam.add_points(px, py, first, own.x[which], own.y[which], own.flux[which], data)

    def _alone(self, members: NDArray[np.int64], design: NDArray[np.float64]) -> None:
        """Errors without neighbours."""
        n, size = members.shape
        own = design.reshape(n, size, self.n_around, size)[:, np.arange(size), : self.n_core, np.arange(size)]
        own = own.transpose(1, 0, 2)
        variance = np.einsum("nkp,pq,nkq->nk", own, self.core, own, optimize=True)
        self.alone[members] = self.noise[members] * np.sqrt(variance) / (own**2).sum(-1)

    def _free(
        self,
        members: NDArray[np.int64],
        data: NDArray[np.float64],
        design: NDArray[np.float64],
        flux: NDArray[np.float64],
        offset_sigma: float,
    ) -> None:
        """Fit positions too where the signal allows, the neighbours as they were found."""
        n, size = members.shape
        left = (data - (design @ flux[..., None])[..., 0]).reshape(n, size, self.n_around)
        own = np.einsum("nkpk->nkp", design.reshape(n, size, self.n_around, size)) * flux[..., None]
        alone = left + own
        bright = flux > offset_sigma * self.error[members]
        which, values, a = members[bright], alone[bright][:, : self.n_core], flux[bright]
        if not len(which):
            return
        px = self.column[which][:, None] + self.dx[: self.n_core]
        py = self.row[which][:, None] + self.dy[: self.n_core]
        x, y = self.places.x[which].copy(), self.places.y[which].copy()
        estimator = np.zeros((len(which), 3, self.n_core))
        with np.errstate(all="ignore"):
            for _ in range(_STEPS):
                shape = self.plane.beam.with_slopes(px - x[:, None], py - y[:, None])
                jacobian = np.stack([shape[0], -a[:, None] * shape[1], -a[:, None] * shape[2]], axis=-1)
                estimator = np.linalg.pinv(jacobian)
                step = (estimator @ (values - a[:, None] * shape[0])[..., None])[..., 0]
                limit = self.plane.beam.minor_pixels / 3
                a = a + step[:, 0]
                x, y = x + np.clip(step[:, 1], -limit, limit), y + np.clip(step[:, 2], -limit, limit)
        variance = np.einsum("nkp,pq,nkq->kn", estimator, self.core, estimator, optimize=True)
        errors = np.sqrt(variance) * self.noise[which]
        dx, dy = x - self.places.x[which], y - self.places.y[which]
        away = np.hypot(*self.plane.beam.in_beams(dx, dy).T)
        kept = (away < _FARTHEST_BEAMS) & (a > 0)
        self.free[:, which[kept]] = np.stack([dx, dy, errors[1], errors[2], a, errors[0]])[:, kept]

    def result(self, leader: NDArray[np.int64]) -> Fits:
        """All numbers; a place that is one with a brighter one has those of that one."""
        follower = leader != np.arange(len(leader))
        merged = follower.copy()
        merged[leader[follower]] = True
        dx, dy, dx_error, dy_error, free, free_error = self.free[:, leader]
        # From its own place.
        dx = dx + (self.places.x[leader] - self.places.x)
        dy = dy + (self.places.y[leader] - self.places.y)
        return Fits(
            flux=self.flux[leader],
            error=self.error[leader],
            alone_error=self.alone[leader],
            noise=self.noise[leader],
            chi2=self.chi2[leader],
            chi2_error=self.chi2_error,
            dx=dx,
            dy=dy,
            dx_error=dx_error,
            dy_error=dy_error,
            free_flux=free,
            free_error=free_error,
            n_joint=self.n_joint[leader],
            merged=merged,
            edge=self.edge[leader],
            blank=self.blank[leader],
        )
