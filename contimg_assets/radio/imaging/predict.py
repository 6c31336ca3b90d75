"""Visibilities of CLEAN components: from a list of points to every baseline.

A component's phase is 2π(ul + vm + w(n−1)).  Most of w is that of one plane,
a·u + b·v, which the components' sheared coordinates take in (``array_plane.py``);
the phase w'(n−1) of what is left, a fraction of a radian, is a short Chebyshev
series, of which each term is a two-dimensional Fourier sum between points
(``ducc0``'s type 3).  The components being few, that costs a quarter of a
prediction from an image, and how they change through the group is more terms of
the same kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import ducc0
import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import jv

from contimg_assets.radio.imaging.array_plane import Plane

#: Fourier sums made at once: each holds as much as the visibilities themselves.
_AT_ONCE = 3
#: More accuracy than this is not to be had in single precision.
_FINEST = 2e-6
#: The series ends with a bound on what it leaves; this many terms are beyond any array on the ground.
_MOST_TERMS = 400

#: Coefficient of each component, Jy, and factor of each visibility.
Mode = tuple[NDArray[np.float32], NDArray[np.float32]]


@numba.njit(cache=True, parallel=True)
def _add_term(
    total: NDArray[np.complex64], visibilities: NDArray[np.complex64], x: NDArray[np.float32], order: int
) -> None:
    """Add a sum times the Chebyshev polynomial T of an order at each visibility's x."""
    for i in numba.prange(len(total)):
        before, now = np.float32(1.0), np.float32(1.0)
        for k in range(order):
            before, now = now, x[i] if k == 0 else 2 * x[i] * now - before
        total[i] += now * visibilities[i]


@numba.njit(cache=True, parallel=True)
def _add_mode(
    total: NDArray[np.complex64], visibilities: NDArray[np.complex64], factor: NDArray[np.float32]
) -> None:
    for i in numba.prange(len(total)):
        total[i] += factor[i] * visibilities[i]


@dataclass(frozen=True)
class Predictor:
    """The visibilities' side of a prediction."""

    uvw: NDArray[np.float64]
    """Wavelengths, shape (n_visibilities, 3)."""
    plane: Plane
    rest: NDArray[np.float32]
    """w' = w − a·u − b·v in units of its largest, shape (n_visibilities,)."""
    largest: float
    """|w'| at most, wavelengths."""
    threads: int

    @classmethod
    def of(cls, uvw: NDArray[np.float64], plane: Plane, threads: int) -> "Predictor":
        """Predictor for visibilities at ``uvw``, wavelengths, shape (n_visibilities, 3)."""
        rest = uvw[:, 2] - plane.a * uvw[:, 0]
        rest -= plane.b * uvw[:, 1]
        largest = float(np.abs(rest).max())
        return cls(uvw, plane, (rest / (largest or 1.0)).astype(np.float32), largest, threads)

    def __call__(
        self,
        l: NDArray[np.float64],
        m: NDArray[np.float64],
        flux: NDArray[np.float32],
        accuracy: float,
        modes: Sequence[Mode] = (),
    ) -> NDArray[np.complex64]:
        """Visibilities of points.

        Parameters
        ----------
        l, m : ndarray, shape (n,)
            Direction cosines from the phase centre.
        flux : ndarray, shape (n,)
            Jy.
        accuracy : float
            Error relative to the root of the sum of the flux densities' squares.
        modes : sequence of (ndarray of shape (n,), ndarray of shape (n_visibilities,))
            Each adds ``factor × Σ coefficient …``, coefficients in Jy; its w' is left out.

        Returns
        -------
        ndarray, complex64, shape (n_visibilities,)
        """
        total = np.zeros(len(self.uvw), np.complex64)
        if not len(flux):
            return total
        n1 = np.sqrt(1.0 - l * l - m * m) - 1.0
        points = 2 * np.pi * np.stack([l + self.plane.a * n1, m + self.plane.b * n1], axis=-1)
        series = self._series(n1, flux, accuracy)
        coefficients = [*series, *(part.astype(np.complex64) for part, _ in modes)]
        for start in range(0, len(coefficients), _AT_ONCE):
            sums = ducc0.nufft.experimental.nu2nu(
                points_in=np.array(coefficients[start : start + _AT_ONCE]),
                coord_in=points,
                coord_out=self.uvw[:, :2],
                forward=False,
                epsilon=max(accuracy, _FINEST),
                nthreads=self.threads,
            )
            for k, visibilities in enumerate(sums, start):
                if k < len(series):
                    _add_term(total, visibilities, self.rest, k)
                else:
                    _add_mode(total, visibilities, modes[k - len(series)][1])
        return total

    def _series(
        self, n1: NDArray[np.float64], flux: NDArray[np.float32], accuracy: float
    ) -> list[NDArray[np.complex64]]:
        """Coefficients of T_k(w'/largest) in exp(2πi w'(n−1)) (Jacobi and Anger), of each component."""
        z = 2 * np.pi * self.largest * n1
        allowed = accuracy * float(np.linalg.norm(flux))
        terms: list[NDArray[np.complex64]] = []
        for k in range(_MOST_TERMS):
            term = (1 if k == 0 else 2) * 1j**k * jv(k, z) * flux
            # The terms fall faster than geometrically once they are small.
            if k > np.abs(z).max() and float(np.linalg.norm(term)) < allowed:
                break
            terms.append(term.astype(np.complex64))
        return terms
