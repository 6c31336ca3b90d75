"""The flags of one group: everything that must not be used, in one sidecar.

Order: what the files flag, exact zeros and non-finite values; repeated
integrations; interference that the whole array hears; interference on single baselines; subbands that are
mostly gone; antennas (or subbands of them) without coherence.  Two passes over
the data, by slabs of baselines, so that memory is bounded by a slab and the
flags themselves.

Autocorrelations are searched like the rest.  That they are not imaged is the
business of what images, not of the flags.
"""

import json
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.errors import FlaggingError
from contimg_assets.radio.flagging import baselines, statistics
from contimg_assets.radio.flagging.bad_antennas import AntennaProducts, flag_antennas
from contimg_assets.radio.flagging.common import common_interference
from contimg_assets.radio.flagging.flag_file import SUMMARY_NAME, write_flags
from contimg_assets.radio.flagging.options import FlaggingOptions
from contimg_assets.radio.flagging.repeats import Repeats
from contimg_assets.radio.flagging.slabs import Slabs
from contimg_assets.radio.flagging.subband_means import SubbandMeans
from contimg_assets.radio.flagging.summary import summarise
from contimg_assets.radio.measurement_set import GroupShape, read_shape

#: Channels of a block at the telescope's resolution: 2 MHz, over which
#: a source 1.5° off on the longest baseline turns half a cycle.
_BLOCK_HZ = 2.0e6
#: Neighbours that foretell a sample lie within this, over which it turns a quarter.
_NEIGHBOUR_HZ = 1.0e6
#: A subband with more of its samples flagged than this goes whole.
_SUBBAND_LIMIT = 0.7


@dataclass
class _Found:
    """What the passes leave."""

    flags: NDArray[np.bool_]
    levels: NDArray[np.float32]
    common: NDArray[np.bool_]
    products: AntennaProducts
    means: SubbandMeans
    repeats: Repeats


def flag(ms: Path, out: Path, options: FlaggingOptions, marked: Collection[str] = ()) -> dict[str, Any]:
    """Flag a group and write the sidecar and its summary.

    Parameters
    ----------
    ms : Path
        Uncalibrated Measurement Set; not touched.
    out : Path
        Folder for ``flags.h5``, ``summary.json`` and ``subband_means.h5``.
    options : FlaggingOptions
    marked : collection of str
        Names of antennas that a person says are bad: nothing of them is used, or looked at.

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
    cross = shape.cross
    with Slabs(shape) as slabs:
        found = _Found(
            np.zeros(shape.data_shape, bool),
            np.zeros((shape.n_baselines, shape.n_polarisations), np.float32),
            np.zeros((shape.n_times, shape.n_channels), bool),
            AntennaProducts.of(shape),
            SubbandMeans.of(shape),
            Repeats.of(shape),
        )
        known, zero_fraction = _look_at_the_array(slabs, found, options, _of_antennas(shape, marked))
        found.repeats.flag(found.flags)
        before = _flagged(ms, found.flags, cross)
        _look_at_baselines(slabs, found, options)
    rfi_fraction = _flagged(ms, found.flags, cross) - before
    bad = flag_antennas(shape, found.flags, found.products, options.dead_coherence)
    summary = summarise(shape, found.flags, bad.coherence.relative())
    summary["autocorrelation_levels"] = bad.levels(shape, found.products)
    numbers = {
        "flag_fraction": _flagged(ms, found.flags, cross),
        "known_bad_fraction": known,
        "marked_antennas": [name for name in shape.antenna_names if name in marked],
        "zero_fraction": zero_fraction,
        "rfi_fraction": rfi_fraction,
        "common_rfi_fraction": float(found.common.mean()),
        **bad.numbers(shape),
        "coherence_measurable": bad.coherence.measurable,
        "repeated_fraction": float(found.repeats.found().mean()),
        "alarms": [*summary["alarms"], *found.repeats.alarms(), *bad.alarms(shape)],
    }
    write_flags(out, found.flags)
    found.means.drop(found.flags)
    found.means.write(out)
    (out / SUMMARY_NAME).write_text(json.dumps({**summary, **numbers}, indent=1))
    return {**numbers, "wall_seconds": time.monotonic() - began}


def _of_antennas(shape: GroupShape, names: Collection[str]) -> NDArray[np.bool_]:
    """Whether each baseline has one of some antennas."""
    wanted = [k for k, name in enumerate(shape.antenna_names) if name in names]
    return np.isin(shape.antenna_1, wanted) | np.isin(shape.antenna_2, wanted)


def _look_at_the_array(
    slabs: Slabs, found: _Found, options: FlaggingOptions, marked: NDArray[np.bool_]
) -> tuple[float, float]:
    """Levels of all baselines, and what the whole array hears; fractions known bad, and zero."""
    shape = slabs.shape
    sums = np.zeros((3, shape.n_times, shape.n_channels, shape.n_polarisations))
    known = zeros = 0
    for part, data, flags in slabs.read():
        cross = shape.cross[part]
        flags[:, marked[part]] = True
        before, new = statistics.flag_unusable(data, flags)
        found.repeats.add(part, data, flags)
        known += int(before[cross].sum())
        zeros += int(new[cross].sum())
        levels = statistics.baseline_levels(data, flags)
        statistics.add_to_array(data, flags, levels, cross, *sums)
        found.levels[part] = levels
        found.flags[:, part] = flags
    found.common |= common_interference(
        sums[0], sums[1], sums[2], options.common_sigma, options.growth_fraction
    )
    n_cross = found.flags.size * float(shape.cross.mean())
    return known / n_cross, zeros / n_cross


def _look_at_baselines(slabs: Slabs, found: _Found, options: FlaggingOptions) -> None:
    """Common interference into the flags, then each baseline's own, subbands, and coherence."""
    shape = slabs.shape
    per_subband = shape.n_channels // telescope.N_SUBBANDS
    block = min(max(1, int(_BLOCK_HZ / shape.channel_width_hz)), per_subband)
    half = int(_NEIGHBOUR_HZ / shape.channel_width_hz)
    thresholds = baselines.chance_thresholds(
        baselines.longest_window(shape.n_times, shape.n_polarisations), options.false_alarm
    )
    for part, data, _ in slabs.read(with_flags=False):
        flags = np.ascontiguousarray(found.flags[:, part])
        found.products.add_autocorrelations(part, data, flags)
        flags |= found.common[:, None, :, None]
        baselines.flag_baselines(
            data, flags, shape.cross[part], half, block, options.sigma, thresholds, options.growth_fraction
        )
        found.flags[:, part] = flags
        found.products.add(part, data, flags, found.levels[part], max(2, block // 2 * 2))
        found.means.add(part, data, flags)
    for subband in range(telescope.N_SUBBANDS):
        channels = slice(subband * per_subband, (subband + 1) * per_subband)
        if found.flags[:, shape.cross, channels].mean() > _SUBBAND_LIMIT:
            found.flags[:, :, channels] = True


def _flagged(ms: Path, flags: NDArray[np.bool_], cross: NDArray[np.bool_]) -> float:
    """Fraction of cross-correlations that is flagged, which must not be all."""
    fraction = float(np.mean([plane[cross].mean() for plane in flags]))
    if fraction >= 1.0:
        raise FlaggingError(f"{ms}: every visibility is flagged; expected some to be left")
    return fraction
