"""Visibilities of components through a whole group: they drift through the beam while the array rotates.

A group is predicted in spans of time.  Within one the array stays nearly in one
plane and a component's flux density nearly what it is, so both need few terms,
and their product none: left out over a whole group, it moved sources a degree and
a half east or west of the centre by 0.1″.

Belongs here: what puts ``drift.py`` and ``predict.py`` together.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.imaging.array_plane import Plane
from contimg_assets.radio.imaging.drift import Drift
from contimg_assets.radio.imaging.gridder import Gridder
from contimg_assets.radio.imaging.predict import Predictor

#: Integrations of a span, about: what is left out goes with its square, Fourier transforms with its inverse.
_SPAN = 6


@dataclass(frozen=True)
class DriftPredictor:
    """The visibilities' side of predictions for one group."""

    drift: Drift
    spans: tuple[tuple[slice, Predictor | None], ...]
    """Integrations, and what predicts their visibilities; None: all are flagged."""

    @classmethod
    def of(cls, gridder: Gridder, drift: Drift) -> "DriftPredictor":
        """Predictor for the visibilities of a gridder, in order of time."""
        n_times = drift.data.n_times
        uvw = gridder.uvw.reshape(n_times, -1, 3)
        weights = gridder.weights.reshape(n_times, -1)
        spans = []
        for part in np.array_split(np.arange(n_times), -(-n_times // _SPAN)):
            times = slice(int(part[0]), int(part[-1]) + 1)
            own = uvw[times].reshape(-1, 3)
            if not weights[times].any():
                spans.append((times, None))
                continue
            plane = Plane.fit(own, weights[times].reshape(-1))
            spans.append((times, Predictor.of(own, plane, gridder.threads)))
        return cls(drift, tuple(spans))

    def subtract(
        self,
        data: NDArray[np.complex64],
        l: NDArray[np.float64],
        m: NDArray[np.float64],
        flux: NDArray[np.float32],
        error: float,
    ) -> NDArray[np.complex64]:
        """Data less the visibilities of components.

        Parameters
        ----------
        data : ndarray, complex64, shape (n_visibilities,)
        l, m : ndarray, shape (n,)
            Direction cosines from the phase centre.
        flux : ndarray, shape (n,)
            Mean apparent flux densities, Jy.
        error : float
            Of a visibility, Jy.

        Returns
        -------
        ndarray, complex64, shape (n_visibilities,)
        """
        residuals = data.copy()
        accuracy = error / max(float(np.linalg.norm(flux)), error)
        responses = self.drift.relative_response(l, m)
        by_time = residuals.reshape(self.spans[-1][0].stop, -1)
        for times, predictor in self.spans:
            if predictor is None:
                continue
            mean, modes = self.drift.modes(responses, flux, times)
            by_time[times] -= predictor(l, m, mean, accuracy, modes).reshape(by_time[times].shape)
        return residuals
