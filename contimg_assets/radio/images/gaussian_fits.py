"""Gaussian sources seen through a beam, fitted to pixels; what a free Gaussian is known to.

The beam may be any image, the dirty beam for one: a source is made in the Fourier plane, with its
derivatives, so that a fit takes milliseconds.

Belongs here: fits to an array of pixels.  Does not belong here: which pixels are a source's, and what a
source is (``source_finding.py``, ``resolved_sources.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.optimize import least_squares

from contimg_assets.radio.images.restore import FWHM_TO_SIGMA

#: Pixels are chosen anew while a full width is over that of the last choice by this, so many times.
_GROWTH, _CHOICES = 1.05, 8
#: Most evaluations of a fit.
_EVALUATIONS = 60


def gaussian(
    xx: NDArray[np.float64], yy: NDArray[np.float64], major: float, minor: float, angle: float
) -> NDArray[np.float64]:
    """Unit Gaussian of given full widths; the angle turns from north (+y) to east (−x)."""
    sin, cos = np.sin(angle), np.cos(angle)
    along, across = yy * cos - xx * sin, xx * cos + yy * sin
    return np.exp(-4 * np.log(2) * ((along / major) ** 2 + (across / minor) ** 2))


@dataclass(frozen=True)
class Ellipse:
    """A Gaussian's shape: full widths at half maximum, pixels; angle from north (+y) to east (−x), rad."""

    major: float
    minor: float
    angle: float

    @property
    def area(self) -> float:
        """Sum over pixels over the peak."""
        return float(np.pi * self.major * self.minor / (4 * np.log(2)))

    @property
    def covariance(self) -> NDArray[np.float64]:
        """In x and y, pixels²."""
        sin, cos = np.sin(self.angle), np.cos(self.angle)
        turn = np.array([[-sin, cos], [cos, sin]])
        return np.asarray(turn @ np.diag((np.array([self.major, self.minor]) * FWHM_TO_SIGMA) ** 2) @ turn.T)

    @classmethod
    def of(cls, covariance: NDArray[np.float64]) -> "Ellipse | None":
        """Of a covariance; None where it is none."""
        values, vectors = np.linalg.eigh(covariance)
        if not values[0] > 0:
            return None
        minor, major = np.sqrt(values) / FWHM_TO_SIGMA
        return cls(float(major), float(minor), float(np.arctan2(-vectors[0, 1], vectors[1, 1])))

    def profile(self, dx: NDArray[np.float64], dy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Value over the peak at offsets from it."""
        return gaussian(dx, dy, self.major, self.minor, self.angle)


@dataclass(frozen=True)
class Source:
    """A Gaussian on the sky; pixels of the image, zero-based."""

    flux: float
    x: float
    y: float
    size: tuple[float, float, float] | None = None
    """Covariance xx, yy, xy, pixels²; None: a point.  Noise makes it negative as often as it is positive if
    the source is one."""

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Of the source itself, pixels²."""
        xx, yy, xy = self.size or (0.0, 0.0, 0.0)
        return np.array([[xx, xy], [xy, yy]])

    def seen(self, beam: Ellipse) -> Ellipse | None:
        """Its shape through a Gaussian beam."""
        return Ellipse.of(self.covariance + beam.covariance)


@dataclass(frozen=True)
class Cut:
    """Pixels around a place, and where they are in the image."""

    pixels: NDArray[np.float64]
    xx: NDArray[np.float64]
    yy: NDArray[np.float64]
    where: tuple[slice, slice]

    @classmethod
    def of(cls, image: NDArray[np.floating], x: float, y: float, half: int) -> "Cut | None":
        """Square of ``2 half + 1`` pixels; None where it is not within the image or not finite."""
        x0, y0 = round(x), round(y)
        ny, nx = image.shape
        if not (half <= x0 < nx - half and half <= y0 < ny - half):
            return None
        where = slice(y0 - half, y0 + half + 1), slice(x0 - half, x0 + half + 1)
        pixels = image[where].astype(np.float64)
        if not np.isfinite(pixels).all():
            return None
        yy, xx = np.mgrid[where].astype(np.float64)
        return cls(pixels, xx, yy, where)


class Beam:
    """What a point looks like, and what it is like.

    Parameters
    ----------
    image : ndarray
        Peak 1 in the middle, at ``n // 2``; zero beyond.
    ellipse : Ellipse
        The Gaussian that fits its core.
    """

    def __init__(self, image: NDArray[np.floating], ellipse: Ellipse) -> None:
        self.image, self.ellipse = image, ellipse
        self._known: dict[int, tuple[NDArray[np.complex128], NDArray[np.float64], NDArray[np.float64]]] = {}

    def middle(self, half: int) -> NDArray[np.float64]:
        """The middle 2 half + 1 pixels square."""
        n = 2 * half + 1
        out = np.zeros((n, n))
        target, source = [], []
        for size in self.image.shape:
            low = size // 2 - half
            source.append(slice(max(low, 0), min(low + n, size)))
            target.append(slice(max(-low, 0), max(-low, 0) + source[-1].stop - source[-1].start))
        out[tuple(target)] = self.image[tuple(source)]
        return out

    def transform(self, half: int) -> tuple[NDArray[np.complex128], NDArray[np.float64], NDArray[np.float64]]:
        """Transform of the beam for a cut of ``2 half + 1`` pixels; frequencies u and v, cycles a pixel."""
        if half not in self._known:
            # A source in the cut is right to the cut's far end; what comes round from beyond is not in it.
            n = fft.next_fast_len(3 * half + 2, real=True)
            wide = np.zeros((n, n))
            reach = (n - 1) // 2
            wide[: 2 * reach + 1, : 2 * reach + 1] = self.middle(reach)
            wide = np.roll(wide, (-reach, -reach), axis=(0, 1))
            self._known[half] = fft.rfft2(wide), fft.rfftfreq(n)[None, :], fft.fftfreq(n)[:, None]
        return self._known[half]

    def convolved(self, cut: Cut, flux: NDArray[np.float64]) -> NDArray[np.float64]:
        """Components on a cut's pixels (Jy) as the beam shows them there."""
        transform, _, v = self.transform(cut.xx.shape[0] // 2)
        n, m = v.size, cut.xx.shape[0]
        return fft.irfft2(fft.rfft2(flux, s=(n, n)) * transform, s=(n, n))[:m, :m]

    def seen(self, cut: Cut, sources: Sequence[Source]) -> NDArray[np.float64]:
        """What sources show in a cut."""
        transform, u, v = self.transform(cut.xx.shape[0] // 2)
        total = sum(s.flux * _phases(s, cut, u, v) for s in sources)
        return _image(total * transform, cut)

    def fit(
        self, cut: Cut, sources: Sequence[Source], inside: NDArray[np.bool_]
    ) -> tuple[list[Source], NDArray[np.float64]] | None:
        """Fit sources together; free are flux densities, places, and the sizes of those that have one.

        Parameters
        ----------
        cut : Cut
        sources : sequence of Source
            To start from.
        inside : ndarray of bool
            Pixels of the cut that are fitted.

        Returns
        -------
        list of Source, ndarray
            Fitted, and what they leave of the whole cut; None where the fit fails.
        """
        values = cut.pixels[inside]
        start = np.concatenate([_numbers(s) for s in sources])
        if len(values) <= len(start):
            return None
        transform, u, v = self.transform(cut.xx.shape[0] // 2)
        width = self.ellipse.covariance[0, 0] + self.ellipse.covariance[1, 1]
        scale = np.concatenate(
            [[max(abs(s.flux), 1e-30), 1.0, 1.0, *([width] * 3 if s.size else [])] for s in sources]
        )

        def residual(p: NDArray[np.float64]) -> NDArray[np.float64]:
            return self.seen(cut, _sources(p, sources))[inside] - values

        def jacobian(p: NDArray[np.float64]) -> NDArray[np.float64]:
            columns = [
                _image(derivative * transform, cut)[inside]
                for s in _sources(p, sources)
                for derivative in _derivatives(s, cut, u, v)
            ]
            return np.stack(columns, axis=1)

        with np.errstate(over="ignore", invalid="ignore"):
            try:
                fit = least_squares(
                    residual,
                    start,
                    jacobian,
                    x_scale=scale,
                    method="lm",
                    ftol=1e-6,
                    xtol=1e-5,
                    max_nfev=_EVALUATIONS,
                )
            except ValueError:
                # A size without bounds made what is not finite.
                return None
        fitted = _sources(fit.x, sources)
        return (fitted, cut.pixels - self.seen(cut, fitted)) if fit.success else None


def _numbers(source: Source) -> list[float]:
    return [source.flux, source.x, source.y, *(source.size or ())]


def _sources(p: NDArray[np.float64], like: Sequence[Source]) -> list[Source]:
    found, at = [], 0
    for one in like:
        n = 6 if one.size else 3
        flux, x, y, *size = map(float, p[at : at + n])
        found.append(Source(flux, x, y, (size[0], size[1], size[2]) if size else None))
        at += n
    return found


def _image(transform: NDArray[np.complex128], cut: Cut) -> NDArray[np.float64]:
    n, m = transform.shape[0], cut.xx.shape[0]
    return fft.irfft2(transform, s=(n, n))[:m, :m]


def _phases(
    source: Source, cut: Cut, u: NDArray[np.float64], v: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Transform of a source of unit flux density, the cut's first pixel at the origin."""
    dx, dy = source.x - cut.xx[0, 0], source.y - cut.yy[0, 0]
    shift = np.exp(-2j * np.pi * u * dx) * np.exp(-2j * np.pi * v * dy)
    if source.size is None:
        return shift
    xx, yy, xy = source.size
    return shift * np.exp(-2 * np.pi**2 * (xx * u**2 + yy * v**2 + 2 * xy * u * v))


def _derivatives(
    source: Source, cut: Cut, u: NDArray[np.float64], v: NDArray[np.float64]
) -> list[NDArray[np.complex128]]:
    """Of a source's transform, by its numbers."""
    unit = _phases(source, cut, u, v)
    full = source.flux * unit
    found = [unit, -2j * np.pi * u * full, -2j * np.pi * v * full]
    if source.size is not None:
        square = -2 * np.pi**2 * full
        found += [u**2 * square, v**2 * square, 2 * u * v * square]
    return found


def fit_size(
    beam: Beam, cut: Cut, first: Source, others: Sequence[Source], level: float
) -> tuple[Source, NDArray[np.float64], NDArray[np.bool_]] | None:
    """Fit a source with a size, and points beside it, to the pixels that it covers itself.

    A fit of fixed pixels about a peak sees the top only of what is wider than they are.

    Parameters
    ----------
    beam : Beam
    cut : Cut
    first : Source
        To start from, a point or with a size.
    others : sequence of Source
        Points.
    level : float
        Pixels where a source as it is seen is over this part of its peak are fitted.

    Returns
    -------
    Source, ndarray, ndarray of bool
        What was fitted, what all leave, and which pixels were fitted.  None when that does not end near
        the start with a Gaussian of at least half the beam's width, in the cut.
    """
    ellipse = beam.ellipse
    start = first if first.size else replace(first, size=(0.0, 0.0, 0.0))
    pixels, fitted = ellipse, [start, *others]
    for _ in range(_CHOICES):
        inside = pixels.profile(cut.xx - fitted[0].x, cut.yy - fitted[0].y) > level
        for other in others:
            inside |= ellipse.profile(cut.xx - other.x, cut.yy - other.y) > level
        found = beam.fit(cut, fitted, inside)
        if found is None:
            return None
        fitted, rest = found
        seen = fitted[0].seen(ellipse)
        away = np.hypot(fitted[0].x - first.x, fitted[0].y - first.y)
        if seen is None or seen.minor < ellipse.minor / 2 or fitted[0].flux <= 0:
            return None
        if away > max(seen.major, ellipse.major) / 2 or seen.major * 1.5 > cut.xx.shape[0] - 2 * away:
            return None
        if seen.major <= _GROWTH * pixels.major and seen.minor <= _GROWTH * pixels.minor:
            break
        # Pixels are never fewer than the beam's own.
        pixels = Ellipse(max(seen.major, ellipse.major), max(seen.minor, ellipse.minor), seen.angle)
    return fitted[0], rest, inside


@dataclass(frozen=True)
class Errors:
    """Standard errors of a fitted Gaussian (Condon 1997, PASP 109, 166, equations 20, 21 and 41)."""

    peak: float
    """Relative."""
    along: float
    """Of the position along the major axis, in the unit of the axes."""
    across: float
    major: float
    """Relative."""
    minor: float
    integrated: float
    """Relative."""


def condon_errors(
    signal_to_noise: float, major: float, minor: float, beam_major: float, beam_minor: float
) -> Errors:
    """Errors of a Gaussian fit in noise that has the beam's correlation.

    Parameters
    ----------
    signal_to_noise : float
        Peak over local noise.
    major, minor, beam_major, beam_minor : float
        Full widths of source and beam, one unit.
    """

    def rho2(alpha_major: float, alpha_minor: float) -> float:
        area = major * minor / (4 * beam_major * beam_minor)
        return float(
            area
            * (1 + (beam_major / major) ** 2) ** alpha_major
            * (1 + (beam_minor / minor) ** 2) ** alpha_minor
            * signal_to_noise**2
        )

    peak = np.sqrt(2 / rho2(1.5, 1.5))
    size_major, size_minor = np.sqrt(2 / rho2(2.5, 0.5)), np.sqrt(2 / rho2(0.5, 2.5))
    beams = beam_major * beam_minor / (major * minor)
    return Errors(
        float(peak),
        float(size_major * major * FWHM_TO_SIGMA),
        float(size_minor * minor * FWHM_TO_SIGMA),
        float(size_major),
        float(size_minor),
        float(np.sqrt(peak**2 + beams * (size_major**2 + size_minor**2))),
    )
