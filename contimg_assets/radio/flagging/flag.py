"""The flags of one group: everything that must not be used, in one sidecar.

Order: what the files flag, exact zeros and non-finite values; interference per
subband; antennas without coherence; autocorrelations (kept in the data,
never imaged).
"""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.errors import FlaggingError
from contimg_assets.radio.flagging import antennas, rfi, statistics
from contimg_assets.radio.flagging.flag_file import write_flags
from contimg_assets.radio.measurement_set import GroupShape, read_column, read_shape
from contimg_assets.radio.plots.flags import plot_flags

#: Channels of a coherence block at the telescope's resolution: 2 MHz, over which
#: a source 1.5° off on the longest baseline turns half a cycle.
_BLOCK_HZ = 2.0e6
#: A subband with more of its samples flagged than this goes whole.
_SUBBAND_LIMIT = 0.7


def flag(
    ms: Path,
    out: Path,
    *,
    sigma: float,
    common_sigma: float,
    growth_fraction: float,
    dead_coherence: float,
) -> dict[str, Any]:
    """Flag a group and write the sidecar, its summary and a picture.

    Parameters
    ----------
    ms : Path
        Uncalibrated Measurement Set; not touched.
    out : Path
        Folder for ``flags.h5``, ``summary.json`` and ``thumbnail.png``.
    sigma, common_sigma, growth_fraction, dead_coherence : float
        See ``FlaggingSettings``.

    Returns
    -------
    dict
        Fractions and the names of dead antennas.

    Raises
    ------
    FlaggingError
        If nothing is left.
    """
    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    shape = read_shape(ms)
    data = read_column(shape, "DATA")
    flags = read_column(shape, "FLAG").astype(bool)
    cross = shape.cross
    known = float(flags[:, cross].mean())
    zero = (data == 0) | ~np.isfinite(data)
    zero_fraction = float((zero & ~flags)[:, cross].mean())
    flags |= zero
    del zero
    per_subband = shape.n_channels // telescope.N_SUBBANDS
    before = flags[:, cross].mean()
    n_pols = shape.n_polarisations
    total = np.zeros((telescope.N_SUBBANDS, shape.n_baselines, n_pols))
    count = np.zeros_like(total)
    width = max(2, 2 * int(_BLOCK_HZ / shape.channel_width_hz / 2))
    common = np.zeros((shape.n_times, shape.n_channels), bool)
    for subband in range(telescope.N_SUBBANDS):
        channels = slice(subband * per_subband, (subband + 1) * per_subband)
        part = np.ascontiguousarray(data[:, :, channels])
        part_flags = np.ascontiguousarray(flags[:, :, channels])
        if part_flags.all():
            continue
        common[:, channels], level = rfi.flag_subband(
            part, part_flags, cross, sigma, common_sigma, growth_fraction
        )
        if part_flags[:, cross].mean() > _SUBBAND_LIMIT:
            part_flags[:] = True
        flags[:, :, channels] = part_flags
        total[subband], count[subband] = statistics.split_band_products(
            part, part_flags, level, min(width, per_subband)
        )
    rfi_fraction = _flagged(ms, flags, cross) - float(before)
    dead, coherence, measurable = _dead_antennas(shape, total, count, flags, dead_coherence)
    ids = shape.antennas[dead]
    flags[:, np.isin(shape.antenna_1, ids) | np.isin(shape.antenna_2, ids)] = True
    flags[:, ~cross] = True
    fraction = _flagged(ms, flags, cross)
    write_flags(out, flags)
    summary = _summary(shape, flags, coherence)
    (out / "summary.json").write_text(json.dumps(summary, indent=1))
    plot_flags(out / "thumbnail.png", summary)
    return {
        "flag_fraction": fraction,
        "known_bad_fraction": known,
        "zero_fraction": zero_fraction,
        "rfi_fraction": rfi_fraction,
        "common_rfi_fraction": float(common.mean()),
        "n_dead_antennas": int(dead.sum()),
        "dead_antennas": [shape.antenna_names[i] for i in ids],
        "coherence_measurable": measurable,
        "wall_seconds": time.monotonic() - began,
    }


def _flagged(ms: Path, flags: NDArray[np.bool_], cross: NDArray[np.bool_]) -> float:
    """Fraction of cross-correlations that is flagged, which must not be all."""
    fraction = float(flags[:, cross].mean())
    if fraction >= 1.0:
        raise FlaggingError(f"{ms}: every visibility is flagged; expected some to be left")
    return fraction


def _dead_antennas(
    shape: GroupShape,
    total: NDArray[np.float64],
    count: NDArray[np.float64],
    flags: NDArray[np.bool_],
    fraction: float,
) -> tuple[NDArray[np.bool_], NDArray[np.float64], bool]:
    cross = shape.cross
    ids = shape.antennas
    one = np.searchsorted(ids, shape.antenna_1[cross])
    two = np.searchsorted(ids, shape.antenna_2[cross])
    coherence = antennas.antenna_coherence(total[:, cross], count[:, cross], one, two, len(ids))
    dead = coherence.dead(fraction)
    baseline_gone = flags[:, cross].all(axis=(0, 2, 3))
    left = np.bincount(one[~baseline_gone], minlength=len(ids)) + np.bincount(
        two[~baseline_gone], minlength=len(ids)
    )
    median = np.nanmedian(coherence.value)
    relative = np.nanmin(np.where(np.isfinite(coherence.value), coherence.value, 0.0), axis=1) / median
    return dead | (left == 0), relative, coherence.measurable


def _summary(shape: GroupShape, flags: NDArray[np.bool_], coherence: NDArray[np.float64]) -> dict[str, Any]:
    cross = shape.cross
    used = flags[:, cross]
    by_baseline = used.mean(axis=(0, 2, 3))
    one, two = shape.antenna_1[cross], shape.antenna_2[cross]
    by_channel = used.mean(axis=(0, 1, 3))
    return {
        "by_antenna": {
            shape.antenna_names[a]: float(by_baseline[(one == a) | (two == a)].mean()) for a in shape.antennas
        },
        "coherence_by_antenna": {
            shape.antenna_names[a]: float(c) for a, c in zip(shape.antennas, coherence, strict=True)
        },
        "by_subband": by_channel.reshape(telescope.N_SUBBANDS, -1).mean(axis=1)[::-1].tolist(),
        "by_channel": by_channel.tolist(),
        "by_integration": used.mean(axis=(1, 2, 3)).tolist(),
        "frequencies_mhz": (shape.frequencies_hz / 1e6).tolist(),
    }
