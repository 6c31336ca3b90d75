"""The sky that a calibrator scan should show: every source through the drifting beam."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.constants import c as SPEED_OF_LIGHT

from contimg_assets.radio import phasing
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.prediction import Averaging, point_source_visibilities
from contimg_assets.radio.sky import Source

#: Sources whose best apparent flux density is below this are left out of a model, Jy.
_FAINTEST_APPARENT_JY = 0.02
#: So few sources are summed in every channel: interpolation costs as much as some.
_FEW_SOURCES = 6
#: Nodes that a channel is interpolated from, and by how much a source's phase turns from one to the next at
#: most, rad: coefficients are good to 6·10⁻⁵ there, and better for what turns less.
_TAPS, _TURN = 8, 1.1
#: Channels from node to node at most, 8 MHz: beams and spectra do not bend in it.
_LARGEST_STRIDE = 32


def visible_sources(shape: GroupShape, sources: Sequence[Source], part: float = 1.0) -> list[Source]:
    """Those of ``sources`` that the beam lets through during the group: all that a model takes.

    With a ``part``, fainter ones too: from this part of the faintest that a model takes on.
    """
    if not sources:
        return []
    ends = shape.times_jd[[0, shape.n_times // 2, -1]]
    directions = phasing.apparent_vectors(
        ends, np.deg2rad([s.ra_deg for s in sources]), np.deg2rad([s.dec_deg for s in sources])
    )
    middle = np.array([shape.frequencies_hz.mean()])
    power = shape.beam.drifting_power(directions, shape.declination_rad, middle)[..., 0].max(axis=0)
    return [
        s
        for s, p in zip(sources, power, strict=True)
        if p * float(s.flux(middle)[0]) >= part * _FAINTEST_APPARENT_JY
    ]


@dataclass(frozen=True)
class _Part:
    """Baselines whose visibilities are summed at every so many-th channel, and interpolated between."""

    rows: NDArray[np.int64]
    stride: int
    frequencies_hz: NDArray[np.float64]
    """Of the nodes, shape (n_nodes,)."""
    amplitude_jy: NDArray[np.float64]
    """Of the sources there, shape (n_times, n_sources, n_nodes)."""


@dataclass(frozen=True)
class SkyModel:
    """Visibilities that sources make in a group, integration by integration.

    A short baseline is summed at few frequencies: between them it changes no faster than the largest delay
    of a source has it, and is interpolated by the coefficients that do so best, to 10⁻⁴ of a source.
    """

    shape: GroupShape
    baselines_m: NDArray[np.float64]
    """Antenna 2 less antenna 1, meridian frame, shape (n_baselines, 3)."""
    offsets: NDArray[np.float64]
    """Directions less that of the phase centre, shape (n_times, n_sources, 3)."""
    averaging: Averaging
    parts: tuple[_Part, ...]

    @classmethod
    def of(cls, shape: GroupShape, sources: Sequence[Source]) -> "SkyModel":
        """Sources as a group sees them through its beam; unpolarised."""
        directions = phasing.apparent_vectors(
            shape.times_jd, np.deg2rad([s.ra_deg for s in sources]), np.deg2rad([s.dec_deg for s in sources])
        )
        positions = phasing.to_meridian_frame(shape.antenna_positions)
        baselines = positions[shape.antenna_2] - positions[shape.antenna_1]
        offsets = directions - shape.axes()[:, 2][:, None]
        tracked = phasing.pointing_vector(shape.declination_rad)
        strides = np.ones(len(baselines), np.int64)
        if len(sources) > _FEW_SOURCES:
            strides = _strides(shape, baselines, offsets)
        parts = []
        for stride in np.unique(strides):
            hz = _nodes_hz(shape, int(stride))
            power = shape.beam.drifting_power(directions, shape.declination_rad, hz)
            amplitude = power * np.array([s.flux(hz) for s in sources])
            parts.append(_Part(np.flatnonzero(strides == stride), int(stride), hz, amplitude))
        averaging = Averaging.of(directions - tracked, shape.integration_s)
        return cls(shape, baselines, offsets, averaging, tuple(parts))

    def integration(self, t: int) -> NDArray[np.complex64]:
        """Visibilities of one integration in the Measurement Set's sign convention.

        Returns
        -------
        ndarray, complex64, shape (n_baselines, n_channels)
            The same for XX and YY.
        """
        now = slice(t, t + 1)
        within = Averaging(self.averaging.offsets[now], self.averaging.turns[now])
        out = np.empty((self.shape.n_baselines, self.shape.n_channels), np.complex64)
        for part in self.parts:
            nodes = point_source_visibilities(
                self.baselines_m[part.rows],
                self.offsets[now],
                part.frequencies_hz,
                part.amplitude_jy[now],
                within,
                self.shape.channel_width_hz,
            )
            if part.stride == 1:
                out[part.rows] = nodes
            else:
                _interpolate(nodes, _coefficients(part.stride), part.rows, out)
        return out


def _strides(
    shape: GroupShape, baselines_m: NDArray[np.float64], offsets: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Channels from node to node of each baseline, powers of two."""
    farthest = float(np.linalg.norm(offsets, axis=-1).max())
    turn = (
        2 * np.pi * np.linalg.norm(baselines_m, axis=1) * farthest * shape.channel_width_hz / SPEED_OF_LIGHT
    )
    most = np.clip(_TURN / np.maximum(turn, 1e-9), 1, _LARGEST_STRIDE)
    # A few taps more than there are channels would save nothing.
    most = np.minimum(most, max(1, shape.n_channels // _TAPS))
    return 2 ** np.floor(np.log2(most)).astype(np.int64)


def _nodes_hz(shape: GroupShape, stride: int) -> NDArray[np.float64]:
    """Frequencies at which a baseline is summed: all channels, or nodes around every ``stride`` of them."""
    if stride == 1:
        return shape.frequencies_hz
    n_nodes = -(-shape.n_channels // stride) + _TAPS - 1
    numbers = (np.arange(n_nodes) - (_TAPS // 2 - 1)) * stride
    step_hz = float(shape.frequencies_hz[-1] - shape.frequencies_hz[0]) / (shape.n_channels - 1)
    return shape.frequencies_hz[0] + numbers * step_hz


@cache
def _coefficients(stride: int) -> NDArray[np.float32]:
    """Of the nodes around each channel between two, shape (_TAPS, stride).

    They make errors least, in the mean of squares, for phases that turn by up to ``_TURN`` from node to node.
    """
    nodes = np.arange(_TAPS) - (_TAPS // 2 - 1)
    channels = np.arange(stride) / stride
    together = np.sinc(_TURN * (nodes[:, None] - nodes) / np.pi) + 1e-12 * np.eye(_TAPS)
    wanted = np.sinc(_TURN * (nodes[:, None] - channels) / np.pi)
    return np.linalg.solve(together, wanted).astype(np.float32)


@numba.njit(cache=True, parallel=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _interpolate(
    nodes: NDArray[np.complex64],
    coefficients: NDArray[np.float32],
    rows: NDArray[np.int64],
    out: NDArray[np.complex64],
) -> None:
    n_taps, stride = coefficients.shape
    n_channels = out.shape[1]
    for b in numba.prange(len(rows)):
        real, imag = np.empty(stride, np.float32), np.empty(stride, np.float32)
        for first in range(0, n_channels, stride):
            real[:], imag[:] = 0, 0
            for tap in range(n_taps):
                node = nodes[b, first // stride + tap]
                for k in range(stride):
                    real[k] += coefficients[tap, k] * node.real
                    imag[k] += coefficients[tap, k] * node.imag
            for k in range(min(stride, n_channels - first)):
                out[rows[b], first + k] = complex(real[k], imag[k])
