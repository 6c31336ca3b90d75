"""What faint sources leave in an image, against skies that are drawn source by source."""

import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_assets.radio.quality.confusion import confusion_rms

N, CELL_RAD = 512, np.deg2rad(15 / 3600)
#: log10 of S^2.5 dN/dS, Jy^1.5/sr, against log10 S/mJy: Hopkins et al. 2003, table 5 of the paper.
HOPKINS = (0.859, 0.508, 0.376, -0.049, -0.121, 0.057, -0.008)
CLEANED_JY = 6e-3


def drawn_sky(rng: np.random.Generator, power: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is left of each source in the pixel where it lies, apparent Jy: 0.1 mJy to 1 Jy."""
    left = np.zeros((N, N))
    edges = np.logspace(-4, 0, 200)
    middle = np.sqrt(edges[1:] * edges[:-1])
    per_sr = 10 ** np.polynomial.polynomial.polyval(np.log10(middle * 1e3), HOPKINS) * middle**-2.5
    for flux, density in zip(middle, per_sr * np.diff(edges), strict=True):
        n = rng.poisson(density * (N * CELL_RAD) ** 2)
        x, y = rng.integers(0, N, (2, n))
        apparent = flux * power[y, x]
        rest = np.where(apparent > CLEANED_JY / 3 * 10, 0.0, np.minimum(apparent, CLEANED_JY))
        np.add.at(left, (y, x), rest)
    return left


def test_the_noise_of_a_drawn_sky() -> None:
    """Root mean square in three rings of the beam, over six skies, to a tenth: sidelobes are in it."""
    rng = np.random.default_rng(11)
    yy, xx = np.mgrid[:N, :N] - N // 2
    power = np.exp(-4 * np.log(2) * (xx**2 + yy**2) / (0.55 * N) ** 2)
    # A core of a minute of arc, and sidelobes of 5 % over the image without order.
    psf = np.exp(-4 * np.log(2) * (xx**2 + yy**2) / 4.0**2)
    psf += 0.05 * rng.normal(size=(N, N)) * np.exp(-((xx**2 + yy**2) / (0.3 * N) ** 2))
    psf[N // 2, N // 2] = 1.0
    found, block = confusion_rms(psf.astype(np.float32), power.astype(np.float32), CELL_RAD, CLEANED_JY)
    assert block == 2
    shifted = np.fft.rfft2(np.fft.ifftshift(psf), s=(N, N))
    squares = np.mean(
        [np.fft.irfft2(np.fft.rfft2(drawn_sky(rng, power)) * shifted, s=(N, N)) ** 2 for _ in range(6)],
        axis=0,
    )
    radius = np.hypot(xx, yy)
    for low, high in ((0, 60), (100, 140), (180, 230)):
        ring = (radius >= low) & (radius < high)
        true = np.sqrt(squares[ring].mean())
        told = np.sqrt((found[ring[::2, ::2]] ** 2).mean())
        assert told == pytest.approx(true, rel=0.1)


def test_deeper_cleaning_leaves_less() -> None:
    power = np.ones((64, 64), np.float32)
    psf = np.zeros((64, 64), np.float32)
    psf[32, 32] = 1.0
    deep, shallow = (confusion_rms(psf, power, CELL_RAD, jy)[0].mean() for jy in (1e-3, 4e-3))
    assert 0 < deep < 0.5 * shallow
