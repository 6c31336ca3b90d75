"""Gains of a calibrator scan, from its sums against a model: of each channel, and of each interval.

The bandpass is a complex gain of each antenna, feed and channel over the whole scan.  With that divided out,
all channels together tell the gain of each interval.

Belongs here: what of the sums goes into which gains.  Does not belong here: the fit (``fit_gains.py``),
delays (``delays.py``), tables (``solve.py``).
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.calibration.fit_gains import Gains, fit_gains
from contimg_assets.radio.calibration.scan import ScanSums
from contimg_assets.radio.measurement_set import GroupShape

#: What is left of a feed is dropped if it has less than this part of the channels of the feed that has most.
_LEAST_CHANNELS = 0.5


@dataclass(frozen=True)
class ScanGains:
    """How the gains of one scan are solved."""

    shape: GroupShape
    product: NDArray[np.complex64]
    """Σ V M*, shape (n_intervals, n_cross, n_channels, 2 feeds)."""
    model: NDArray[np.float32]
    """Σ|M|²; zero on baselines that are not to be used."""
    reference: int
    """Id of the reference antenna."""
    minimum_snr: float
    """Solutions below this are flagged."""
    minimum_baselines: int
    """An antenna with fewer baselines to others that take part has no solution."""

    @classmethod
    def of(
        cls,
        shape: GroupShape,
        sums: ScanSums,
        *,
        reference: str,
        minimum_snr: float,
        minimum_baselines: int,
        minimum_uv_m: float = 0.0,
    ) -> "ScanGains":
        """From sums; projected baselines no longer than ``minimum_uv_m`` are not used."""
        hands = slice(None, None, shape.n_polarisations - 1)
        product = np.ascontiguousarray(sums.product[..., hands])
        model = np.ascontiguousarray(sums.model[..., hands])
        if minimum_uv_m > 0:
            model = np.where(_projected_m(shape)[:, None, None] > minimum_uv_m, model, np.float32(0))
        number = shape.antenna_names.index(reference)
        return cls(shape, product, model, number, minimum_snr, minimum_baselines)

    @property
    def antennas(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Both antennas of each cross-correlation."""
        return self.shape.antenna_1[self.shape.cross], self.shape.antenna_2[self.shape.cross]

    @property
    def whole(self) -> NDArray[np.complex64]:
        """Σ V M* over all intervals."""
        return self.product[0] if len(self.product) == 1 else self.product.sum(axis=0)

    def of_channels(self) -> tuple[Gains, NDArray[np.bool_]]:
        """Gains of each channel over the whole scan, and which of them are no solutions."""
        model = self.model[0] if len(self.model) == 1 else self.model.sum(axis=0)
        found = self._fit(self.whole, model)
        return found, _with_strays(~(found.snr >= self.minimum_snr))

    def of_intervals(
        self, band: Gains, flags: NDArray[np.bool_], *, phases_only: bool
    ) -> tuple[Gains, NDArray[np.bool_]]:
        """Gains of each interval with those of the channels divided out, and which are no solutions."""
        inverse = np.divide(1, band.values, where=~flags, out=np.zeros_like(band.values))
        shape = (*self.product.shape[1::-1], self.product.shape[-1])
        product, model = np.zeros(shape, np.complex64), np.zeros(shape, np.float32)
        _divide(self.product, self.model, *self.antennas, inverse.astype(np.complex64), product, model)
        found = self._fit(product, model, phases_only=phases_only)
        return found, ~(found.snr >= self.minimum_snr)

    def _fit(
        self, product: NDArray[np.complex64], model: NDArray[np.float32], *, phases_only: bool = False
    ) -> Gains:
        return fit_gains(
            product,
            model,
            *self.antennas,
            self.reference,
            n_antennas=len(self.shape.antenna_names),
            minimum_baselines=self.minimum_baselines,
            phases_only=phases_only,
        )


def _projected_m(shape: GroupShape) -> NDArray[np.float64]:
    """Projected baselines at the scan's middle, shape (n_cross,)."""
    from casacore.tables import table

    with table(str(shape.path), ack=False) as main:
        uvw = main.getcol("UVW", shape.n_times // 2 * shape.n_baselines, shape.n_baselines)
    return np.hypot(uvw[:, 0], uvw[:, 1])[shape.cross]


def _with_strays(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A feed's last few solutions, too: an antenna that hears nothing passes the least S/N here and there."""
    n_solved = (~flags).sum(axis=1)
    return flags | (n_solved < _LEAST_CHANNELS * n_solved.max(axis=0))[:, None]


@numba.njit(cache=True, parallel=True)
def _divide(
    product: NDArray[np.complex64],
    model: NDArray[np.float32],
    one: NDArray[np.int32],
    two: NDArray[np.int32],
    inverse: NDArray[np.complex64],
    out: NDArray[np.complex64],
    weights: NDArray[np.float32],
) -> None:
    """Sums over the band, with gains divided out; shape (n_cross, n_intervals, 2)."""
    n_intervals, n_rows, n_channels, n_feeds = product.shape
    for b in numba.prange(n_rows):
        for k in range(n_intervals):
            for p in range(n_feeds):
                total, weight = 0j, 0.0
                for f in range(n_channels):
                    factor = inverse[one[b], f, p] * inverse[two[b], f, p].conjugate()
                    if factor != 0 and model[k, b, f, p] > 0:
                        total += np.complex128(product[k, b, f, p]) * factor
                        weight += model[k, b, f, p]
                out[b, k, p], weights[b, k, p] = total, weight
