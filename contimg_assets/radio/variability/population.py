"""Numbers of all light curves of a tile together, and which sources are variable.

A column a source.  Each number comes with what constant sources would have: for η its
probability, for V what noise makes of it, for Vs how many such pairs noise has, for the structure
function its noise taken off and an error.  Belongs here: vectorised formulas, and the
cuts.  Does not belong here: reading rows.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.special import chdtrc, erfc

from contimg_assets.radio.variability.options import VariabilityOptions
from contimg_assets.radio.variability.statistics import variability, whole_error

if TYPE_CHECKING:
    import pandas

#: Lags of the structure function, days, each from the first to before the next.
LAGS_DAYS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
#: Features of the library ``light-curve``, by its names.
FEATURES = ("StetsonK", "Skew", "Kurtosis", "EtaE", "Cusum", "InterPercentileRange", "LinearTrend")
#: Sources whose structure functions are made together.
_AT_A_TIME = 256
#: Rounds of clipping in the fit of the population, and where it clips, standard deviations.
_ROUNDS, _CLIP = 10, 3.0


@dataclass(frozen=True)
class Cut:
    """Above which η and V sources are variable: a Gaussian's mean and width in the logarithm."""

    eta: float
    modulation: float
    """NaN where there are too few sources to tell."""


def table_of(rows: "pandas.DataFrame", options: VariabilityOptions) -> "pandas.DataFrame":
    """Numbers of each source.

    Parameters
    ----------
    rows : pandas.DataFrame
        Measurements that count: ``source``, ``mjd``, ``flux_jy``, ``flux_error_jy``, ``ra_deg``, ``dec_deg``.
    options : VariabilityOptions

    Returns
    -------
    pandas.DataFrame
        By source: those with measurements enough.
    """
    import pandas

    # Codes in place of names: a tile has millions of rows.
    source = rows["source"].astype("category")
    order = np.lexsort((rows["mjd"].to_numpy(), source.cat.codes.to_numpy()))
    rows, codes = rows.iloc[order], source.cat.codes.to_numpy()[order]
    flux = rows["flux_jy"].to_numpy(np.float64)
    error = rows["flux_error_jy"].to_numpy(np.float64).copy()
    present, first = np.unique(codes, return_index=True)
    names = source.cat.categories.astype(str).to_numpy()[present]
    ends = np.append(first[1:], len(rows))
    enough = ends - first >= options.least_epochs
    for a, b in zip(first[enough], ends[enough], strict=True):
        error[a:b] = whole_error(flux[a:b], error[a:b], options.relative_error)
    mjd = rows["mjd"].to_numpy(np.float64)
    found = [
        _of_one(mjd[a:b], flux[a:b], error[a:b]) for a, b in zip(first[enough], ends[enough], strict=True)
    ]
    table = pandas.DataFrame(found, index=pandas.Index(names[enough], name="source"))
    for name in ("ra_deg", "dec_deg"):
        table[name] = rows[name].to_numpy()[first[enough]]
    if len(table):
        table = table.join(_structure(rows, flux, error, names[enough], first[enough], ends[enough]))
    return table


def _of_one(
    mjd: NDArray[np.float64], flux: NDArray[np.float64], error: NDArray[np.float64]
) -> dict[str, float]:
    """Statistics of one light curve with their calibration, and its features."""
    found = variability(flux, error)
    n, mean = found.n, float(flux.mean())
    noise = float(np.sqrt(np.mean(error**2)))
    excess = flux.var(ddof=1) - noise**2
    return {
        "n": n,
        "first_mjd": float(mjd[0]),
        "last_mjd": float(mjd[-1]),
        "mean_jy": found.weighted_mean_jy,
        "mean_error_jy": found.weighted_mean_error_jy,
        "eta": found.eta,
        "eta_probability": float(chdtrc(n - 1, found.eta * (n - 1))),
        "modulation": found.modulation,
        "modulation_of_noise": noise / mean if mean > 0 else np.nan,
        # Debiased: negative where there is less scatter than noise.
        "modulation_excess": float(np.sign(excess) * np.sqrt(abs(excess)) / mean) if mean > 0 else np.nan,
        "pair_sigma": found.pair_sigma,
        "pair_modulation": found.pair_modulation,
        "pairs_by_noise": float(n * (n - 1) / 2 * erfc(found.pair_sigma / np.sqrt(2))),
        **_features(mjd, flux, error),
    }


def _features(
    mjd: NDArray[np.float64], flux: NDArray[np.float64], error: NDArray[np.float64]
) -> dict[str, float]:
    extractor = _extractor()
    try:
        values = extractor(mjd, flux, error, sorted=True, check=False)
    except ValueError:
        # A light curve that is flat to the last digit, or has two epochs at one time, has none of them.
        values = np.full(len(extractor.names), np.nan)
    return dict(zip(extractor.names, map(float, values), strict=True))


_made: list = []


def _extractor():
    """The library's, made once."""
    if not _made:
        import light_curve

        _made.append(light_curve.Extractor(*(getattr(light_curve, name)() for name in FEATURES)))
    return _made[0]


def _structure(
    rows: "pandas.DataFrame",
    flux: NDArray[np.float64],
    error: NDArray[np.float64],
    names: NDArray[np.str_],
    first: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> "pandas.DataFrame":
    """D(τ) over the mean squared, of daily means, with its noise taken off, and its standard error."""
    import pandas

    day = np.floor(rows["mjd"].to_numpy()).astype(int)
    begin = int(day.min())
    n_days = int(day.max()) - begin + 1
    parts = []
    for start in range(0, len(names), _AT_A_TIME):
        some = slice(start, start + _AT_A_TIME)
        spans = list(zip(first[some], ends[some], strict=True))
        which = np.concatenate([np.arange(a, b) for a, b in spans])
        owner = np.repeat(np.arange(len(spans)), [b - a for a, b in spans])
        parts.append(_structure_of(owner, day[which] - begin, flux[which], error[which], len(spans), n_days))
    values = np.concatenate(parts)
    columns = [f"structure_{lag}d{ending}" for lag in LAGS_DAYS for ending in ("", "_error")]
    return pandas.DataFrame(values, index=pandas.Index(names, name="source"), columns=columns)


def _structure_of(
    owner: NDArray[np.int64],
    day: NDArray[np.int64],
    flux: NDArray[np.float64],
    error: NDArray[np.float64],
    n: int,
    n_days: int,
) -> NDArray[np.float64]:
    """Of some sources, shape (n, 2 × lags)."""
    at = owner * n_days + day
    weight = np.bincount(at, weights=error**-2, minlength=n * n_days).reshape(n, n_days)
    total = np.bincount(at, weights=flux * error**-2, minlength=n * n_days).reshape(n, n_days)
    seen = weight > 0
    daily = np.where(seen, total / np.where(seen, weight, 1.0), 0.0)
    variance = np.where(seen, 1 / np.where(seen, weight, 1.0), 0.0)
    mean = daily.sum(axis=1) / seen.sum(axis=1)
    daily = np.where(seen, daily - mean[:, None], 0.0)
    size = fft.next_fast_len(2 * n_days, real=True)
    there, value, square = (fft.rfft(x, size, axis=1) for x in (seen.astype(float), daily, daily**2))
    noise = fft.rfft(variance, size, axis=1)

    def by_lag(product: NDArray[np.complex128]) -> NDArray[np.float64]:
        """Sums over pairs, by lag, forwards."""
        return fft.irfft(product, size, axis=1)[:, :n_days]

    pairs = by_lag(np.conj(there) * there)
    # (f(t + τ) − f(t))², less the noise of both, over pairs of days that are both seen.
    both = np.conj(there) * square + np.conj(square) * there - 2 * np.conj(value) * value
    excess = by_lag(both) - by_lag(np.conj(there) * noise + np.conj(noise) * there)
    found = np.full((n, 2 * len(LAGS_DAYS)), np.nan)
    for i, lag in enumerate(LAGS_DAYS):
        band = slice(lag, min(2 * lag, n_days))
        count = np.rint(pairs[:, band]).sum(axis=1)
        some = count > 0
        level = excess[some, band].sum(axis=1) / count[some]
        mean_variance = variance[some].sum(axis=1) / seen[some].sum(axis=1)
        # Of pairs as many as there are days are independent, about.
        free = np.minimum(count[some], seen[some].sum(axis=1))
        spread = (2 * mean_variance + np.maximum(level, 0)) * np.sqrt(2 / free)
        found[some, 2 * i] = level / mean[some] ** 2
        found[some, 2 * i + 1] = spread / mean[some] ** 2
    return found


def cut_of(table: "pandas.DataFrame", options: VariabilityOptions) -> Cut:
    """Where variable sources begin, from all sources: Gaussians of log η and log V after clipping."""
    limits = []
    for name in ("eta", "modulation"):
        values = table[name].to_numpy(np.float64)
        log = np.log10(values[np.isfinite(values) & (values > 0)])
        for _ in range(_ROUNDS):
            if len(log) < 2:
                break
            kept = log[np.abs(log - log.mean()) <= _CLIP * log.std(ddof=1)]
            if len(kept) == len(log):
                break
            log = kept
        known = len(log) >= 2
        limits.append(float(10 ** (log.mean() + options.cut_sigma * log.std(ddof=1))) if known else np.nan)
    return Cut(*limits)


def is_variable(table: "pandas.DataFrame", cut: Cut, options: VariabilityOptions) -> NDArray[np.bool_]:
    """Sources beyond the cuts on η and V, or with a pair of epochs beyond those on Vs and m."""
    both = (table["eta"] > cut.eta) & (table["modulation"] > cut.modulation)
    pair = (table["pair_sigma"] > options.pair_sigma) & (
        table["pair_modulation"].abs() > options.pair_modulation
    )
    return (both | pair).to_numpy()
