"""Rows of photometry of a strip of the sky for any number of days, without images.

The sky passes, a group is 1.29° of it, and the grid of groups moves by 0.634 of a group
each day.  Sources have light curves (``epochs.py``), groups scales of their own, the true
beam another width and pointing than the one that is divided by, and noise is what
``radio/photometry`` is held to by the simulator of image planes: errors that hold.

Belongs here: making rows.  Does not belong here: pixels (``epochs.py``), or measuring
anything.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.beam import airy_power
from contimg_assets.radio.group_key import KEY_FORMAT
from contimg_assets.radio.healpix import nested
from contimg_assets.radio.photometry.table import COLUMNS, HEALPIX
from contimg_assets.radio.sidereal_day import sidereal_time_deg, span
from contimg_assets.radio.telescope import GROUP_S

if TYPE_CHECKING:
    import pandas

#: Turns of the sky a second of UTC, deg.
_SKY_DEG_S = 360.98564736629 / 86400
_FREQUENCY_HZ = 1.405e9
#: The beam is averaged over so many moments of a group.
_MOMENTS = 5
#: Sources beyond this part of the beam are in no image.
_LEAST_BEAM = 0.1
_REACH_DEG = 2.6
_BEAM_ARCSEC = 45.0
_UNIX_MJD = 40587.0
#: Spectral index of sources that nobody says more of; noise of a slope over that of a flux density, as the
#: telescope's band has it.
_INDEX, _SLOPE_NOISE = -0.7, 25.6


@dataclass(frozen=True)
class StripSky:
    """Sources of a strip, in the order of right ascension of date."""

    names: NDArray[np.str_]
    ra_deg: NDArray[np.float64]
    dec_deg: NDArray[np.float64]
    jy: NDArray[np.float64]
    survey_jy: NDArray[np.float64]
    """What the survey says."""

    def __len__(self) -> int:
        return len(self.names)


def strip_sky(
    declination_deg: float,
    ra_deg: tuple[float, float],
    per_square_degree: float,
    least_jy: float,
    *,
    survey_scatter: float = 0.1,
    seed: int = 1,
) -> StripSky:
    """Sources of counts like the sky's (N(>S) ∝ S^−1) within 2.5° of a declination."""
    rng = np.random.default_rng(seed)
    height = 5.0
    area = height * (ra_deg[1] - ra_deg[0]) * np.cos(np.deg2rad(declination_deg))
    n = int(per_square_degree * area)
    ra = np.sort(rng.uniform(*ra_deg, n))
    dec = declination_deg + rng.uniform(-height / 2, height / 2, n)
    jy = np.minimum(least_jy / rng.uniform(1e-4, 1, n), 2.0)
    survey = jy * np.exp(survey_scatter * rng.standard_normal(n))
    return StripSky(np.array([f"S{i:07d}" for i in range(n)]), ra, dec, jy, survey)


@dataclass(frozen=True)
class Instrument:
    """What is wrong, and is to be found."""

    noise_jy: float = 2.5e-4
    gain_scatter: float = 0.0
    """Of groups, relative."""
    width_ratio: float = 1.0
    """True over assumed width of the beam."""
    east_deg: float = 0.0
    """The true axis is so far east of the assumed one."""
    position_scatter_arcsec: float = 0.0
    """Of groups."""


@dataclass(frozen=True)
class StripDay:
    """A day of rows, and the truth."""

    rows: "pandas.DataFrame"
    groups: tuple[str, ...]
    axis_ra_deg: NDArray[np.float64]
    log_scale: NDArray[np.float64]
    """Of each group."""
    true_beam: NDArray[np.float64]
    """Of each row."""


@dataclass
class StripSimulator:
    """Makes days of a strip."""

    sky: StripSky
    declination_deg: float
    instrument: Instrument = Instrument()
    curve: Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]] | None = None
    """Flux density over the mean one at some times (MJD) of some sources."""
    seed: int = 1
    index: Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]] | None = None
    """Spectral index at some times of some sources."""
    _epoch: float = field(default=0.0, init=False)

    def day(self, day: str) -> StripDay:
        """All rows of a sidereal day."""
        import pandas

        begin, end = span(day)
        first, last = begin.timestamp(), end.timestamp()
        starts = np.arange(np.ceil(first / GROUP_S), np.ceil(last / GROUP_S)) * GROUP_S
        lst = np.array([sidereal_time_deg(_UNIX_MJD + (s + GROUP_S / 2) / 86400) for s in starts])
        reach = _REACH_DEG / np.cos(np.deg2rad(self.declination_deg))
        near = [self._near(at, reach) for at in lst]
        keep = [
            i
            for i, found in enumerate(near)
            if len(found) and self._beam(lst[i], found, 1.0, 0.0).max() >= _LEAST_BEAM
        ]
        rng = np.random.default_rng([self.seed, int(first)])
        keys, parts, scales = [], [], []
        for i in keep:
            key = np.datetime64(int(np.ceil(starts[i])), "s").astype(object).strftime(KEY_FORMAT)
            mjd = _UNIX_MJD + (starts[i] + GROUP_S / 2) / 86400
            scale = float(np.log1p(self.instrument.gain_scatter * rng.standard_normal()))
            keys.append(key)
            scales.append(scale)
            parts.append(self._group(key, mjd, lst[i], near[i], scale, rng))
        rows = pandas.concat([part for part, _ in parts], ignore_index=True)
        true = np.concatenate([beam for _, beam in parts])
        return StripDay(rows, tuple(keys), lst[keep], np.array(scales), true)

    def _near(self, lst: float, reach: float) -> NDArray[np.int64]:
        away = (self.sky.ra_deg - lst + 180) % 360 - 180
        return np.flatnonzero(np.abs(away) < reach)

    def _beam(self, lst: float, which: NDArray[np.int64], width: float, east: float) -> NDArray[np.float64]:
        """Averaged over the drift."""
        drift = np.linspace(-0.5, 0.5, 2 * _MOMENTS + 1)[1::2] * GROUP_S * _SKY_DEG_S
        cosine = np.cos(np.deg2rad(self.sky.dec_deg[which]))
        away = (self.sky.ra_deg[which] - lst + 180) % 360 - 180
        x = (away[:, None] - drift) * cosine[:, None] - east
        y = (self.sky.dec_deg[which] - self.declination_deg)[:, None]
        return airy_power(np.sin(np.deg2rad(np.hypot(x, y) / width)), _FREQUENCY_HZ).mean(axis=1)

    def _group(
        self,
        key: str,
        mjd: float,
        lst: float,
        which: NDArray[np.int64],
        scale: float,
        rng: np.random.Generator,
    ) -> "tuple[pandas.DataFrame, NDArray[np.float64]]":
        import pandas

        told = self.instrument
        beam = self._beam(lst, which, 1.0, 0.0)
        which, beam = which[beam >= _LEAST_BEAM], beam[beam >= _LEAST_BEAM]
        true = self._beam(lst, which, told.width_ratio, told.east_deg)
        jy = self.sky.jy[which]
        if self.curve is not None:
            jy = jy * self.curve(np.full(len(which), mjd), which)
        n, error = len(which), told.noise_jy * (1 + 0.05 * rng.random(len(which)))
        apparent = jy * true * np.exp(scale) + error * rng.standard_normal(n)
        sigma = np.maximum(apparent, error) / error
        fitted = sigma > 10
        offset_error = np.where(fitted, 0.42 * _BEAM_ARCSEC / sigma, np.nan)
        shift = told.position_scatter_arcsec * rng.standard_normal(2)
        east, north = (at + offset_error * rng.standard_normal(n) for at in shift)
        slope = self._slopes(key, mjd, which, jy * true * np.exp(scale), _SLOPE_NOISE * error)
        values: dict[str, Any] = {
            HEALPIX: nested(self.sky.ra_deg[which], self.sky.dec_deg[which]),
            "source": pandas.Categorical.from_codes(
                np.arange(n), categories=pandas.Index(self.sky.names[which].astype(object))
            ).astype(str),
            "kind": np.full(n, "survey", object),
            "ra_deg": self.sky.ra_deg[which],
            "dec_deg": self.sky.dec_deg[which],
            "group": np.full(n, key, object),
            "mjd": np.full(n, mjd),
            "frequency_mhz": np.full(n, _FREQUENCY_HZ / 1e6),
            "apparent_jy": apparent,
            "apparent_error_jy": error,
            "beam": beam,
            "noise_jy_beam": error / 1.03,
            "chi_squared": rng.chisquare(6, n) / 6,
            "east_arcsec": east,
            "north_arcsec": north,
            "east_error_arcsec": offset_error,
            "north_error_arcsec": offset_error,
            "free_apparent_jy": np.where(fitted, apparent, np.nan),
            "free_apparent_error_jy": np.where(fitted, error, np.nan),
            "slope_jy": np.where(fitted, slope, np.nan),
            "slope_error_jy": np.where(fitted, _SLOPE_NOISE * error, np.nan),
            "detected_apparent_jy": np.where(sigma > 5, apparent, np.nan),
            "de_ruiter_radius": np.where(sigma > 5, rng.rayleigh(1.0, n), np.nan),
            "survey_jy": self.sky.survey_jy[which],
            "n_joint": np.ones(n, np.int16),
            "flags": np.where(apparent < 3 * error, 64, 0),
        }
        frame = pandas.DataFrame({name: values[name] for name in COLUMNS})
        floats = {name: "float32" for name, (kind, _, _) in COLUMNS.items() if kind == "float32"}
        return frame.astype({**floats, "flags": "int32", "n_joint": "int16"}), true

    def _slopes(
        self,
        key: str,
        mjd: float,
        which: NDArray[np.int64],
        jy: NDArray[np.float64],
        error: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Flux densities times spectral indices, with noise of their own."""
        rng = np.random.default_rng([self.seed, zlib.crc32(key.encode())])
        index = _INDEX if self.index is None else self.index(np.full(len(which), mjd), which)
        return jy * index + error * rng.standard_normal(len(which))
