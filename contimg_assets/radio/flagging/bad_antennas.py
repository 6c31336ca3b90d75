"""Bad antennas of a group: sums over the data by antenna, what they tell, and its flags.

Belongs here: from baselines to antennas, and from bad spans to flags and numbers.  Does not belong here:
how a span is found (``antenna_spans.py``).
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from contimg_assets.radio import telescope
from contimg_assets.radio.flagging import statistics
from contimg_assets.radio.flagging.antenna_spans import (
    FEEDS,
    Jump,
    Span,
    changes,
    merged,
    spans_without_signal,
)
from contimg_assets.radio.flagging.antennas import Coherence, antenna_coherence
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.phasing import JD_OF_MJD_0


@dataclass(frozen=True)
class AntennaProducts:
    """What the pass over baselines leaves about antennas; feeds are the first and the last polarisation."""

    shape: GroupShape
    total: NDArray[np.float32]
    """Of even and odd channels, shape (n_subbands, n_times, n_baselines, n_feeds)."""
    count: NDArray[np.int32]
    turned: NDArray[np.complex64]
    """Products with the integration before, shape (n_times, n_baselines, n_feeds)."""
    autos: NDArray[np.float32]
    """Autocorrelations over their median in time, shape (n_subbands, n_times, n_antennas, n_feeds)."""
    levels: NDArray[np.float32]
    """That median, shape (n_subbands, n_antennas, n_feeds)."""

    @classmethod
    def of(cls, shape: GroupShape) -> "AntennaProducts":
        """Zeros for a group."""
        n_feeds = min(2, shape.n_polarisations)
        size = (telescope.N_SUBBANDS, shape.n_times, shape.n_baselines, n_feeds)
        autos = np.full((*size[:2], len(shape.antennas), n_feeds), np.nan, np.float32)
        return cls(
            shape,
            np.zeros(size, np.float32),
            np.zeros(size, np.int32),
            np.zeros(size[1:], np.complex64),
            autos,
            np.full((size[0], *autos.shape[2:]), np.nan, np.float32),
        )

    @property
    def hands(self) -> list[int]:
        """Polarisations of the feeds."""
        return sorted({0, self.shape.n_polarisations - 1})

    def add_autocorrelations(
        self, part: slice, data: NDArray[np.complex64], flags: NDArray[np.bool_]
    ) -> None:
        """Add those of a slab, with flags of what is no sample."""
        own = np.flatnonzero(~self.shape.cross[part])
        if len(own):
            values = np.ascontiguousarray(data[:, own][..., self.hands])
            bad = np.ascontiguousarray(flags[:, own][..., self.hands])
            antennas = np.searchsorted(self.shape.antennas, self.shape.antenna_1[part][own])
            relative, level = statistics.autocorrelation_levels(values, bad, telescope.N_SUBBANDS)
            self.autos[:, :, antennas], self.levels[:, antennas] = relative, level

    def add(
        self,
        part: slice,
        data: NDArray[np.complex64],
        flags: NDArray[np.bool_],
        levels: NDArray[np.float32],
        width: int,
    ) -> None:
        """Add a slab of baselines; even and odd channels of a block of ``width`` are multiplied."""
        per_subband = self.shape.n_channels // telescope.N_SUBBANDS
        for subband in range(telescope.N_SUBBANDS):
            channels = slice(subband * per_subband, (subband + 1) * per_subband)
            total, count, turned = statistics.split_band_products(
                data[:, :, channels], flags[:, :, channels], levels, width
            )
            self.total[subband, :, part] = total[..., self.hands]
            self.count[subband, :, part] = count[..., self.hands]
            self.turned[:, part] += turned[..., self.hands]

    def by_antenna(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.complex128]]:
        """Sums over each antenna's cross-correlations: total, count, turned with the antenna's own sign."""
        one, two = self.ends()
        cross = self.shape.cross.astype(float)
        n, places = len(self.shape.antennas), np.arange(len(one))
        first = csr_array((cross, (one, places)), shape=(n, len(one)))
        second = csr_array((cross, (two, places)), shape=(n, len(one)))

        def summed(matrix: csr_array, values: NDArray[Any]) -> NDArray[Any]:
            moved = np.moveaxis(values, -2, 0)
            sums = matrix @ moved.reshape(len(one), -1)
            return np.moveaxis(sums.reshape(n, *moved.shape[1:]), 0, -2)

        both = first + second
        turned = summed(first, self.turned) + np.conj(summed(second, self.turned))
        return summed(both, self.total), summed(both, self.count), turned

    def ends(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        one, two = (
            np.searchsorted(self.shape.antennas, a) for a in (self.shape.antenna_1, self.shape.antenna_2)
        )
        return one, two


@dataclass(frozen=True)
class BadAntennas:
    """What is wrong with antennas of a group."""

    coherence: Coherence
    dead: NDArray[np.bool_]
    """Of no use at all, shape (n_antennas,)."""
    spans: list[Span]
    """Flagged."""
    jumps: list[Jump]
    """On which side of one the gain is that of the calibration, only who applies that knows."""

    def numbers(self, shape: GroupShape) -> dict[str, Any]:
        """As the product has them."""
        names = [shape.antenna_names[a] for a in shape.antennas]
        dead = [name for name, is_dead in zip(names, self.dead, strict=True) if is_dead]
        always = [s for s in self.spans if s.subbands and s.first == 0 and s.last == shape.n_times - 1]
        return {
            "n_dead_antennas": len(dead),
            "dead_antennas": dead,
            "dead_antenna_subbands": sorted(
                {f"{names[s.antenna]}/sb{15 - k:02d}" for s in always for k in s.subbands or ()}
            ),
            "bad_spans": [s.told(names) for s in self.spans],
            "jumps": [jump.told(names) for jump in self.jumps],
            "bad_span_fraction": self._lost(shape),
        }

    def levels(self, shape: GroupShape, products: AntennaProducts) -> dict[str, list[list[float | None]]]:
        """Autocorrelations of antennas by name, of each feed, of each subband; none of bad ones' own."""
        strange = {s.antenna for s in self.spans} | {j.antenna for j in self.jumps}
        return {
            shape.antenna_names[a]: [
                [float(f"{v:.6g}") if np.isfinite(v) else None for v in products.levels[:, place, feed]]
                for feed in range(products.levels.shape[2])
            ]
            for place, a in enumerate(shape.antennas)
            if place not in strange
        }

    def alarms(self, shape: GroupShape) -> list[str]:
        """A line for antennas that were bad for a part of the group."""
        names = [shape.antenna_names[a] for a in shape.antennas]
        partly = sorted({names[s.antenna] for s in self.spans if not self.dead[s.antenna]})
        jumped = sorted({names[j.antenna] for j in self.jumps})
        lines = [f"antennas bad for a part of the group: {', '.join(partly)}"] if partly else []
        return lines + ([f"antennas whose gain jumped: {', '.join(jumped)}"] if jumped else [])

    def _lost(self, shape: GroupShape) -> float:
        """Part of the antennas' time, feeds and subbands that is in bad spans."""
        bad = np.zeros((telescope.N_SUBBANDS, shape.n_times, len(shape.antennas), 2), bool)
        for s in self.spans:
            feed = slice(None) if s.feed is None else s.feed
            for subband in range(telescope.N_SUBBANDS) if s.subbands is None else s.subbands:
                bad[subband, s.first : s.last + 1, s.antenna, feed] = True
        return float(bad.mean())


def flag_antennas(
    shape: GroupShape, flags: NDArray[np.bool_], products: AntennaProducts, fraction: float
) -> BadAntennas:
    """Find the bad spans of a group's antennas and flag them, in place.

    Parameters
    ----------
    shape : GroupShape
    flags : ndarray of bool, shape ``shape.data_shape``
    products : AntennaProducts
    fraction : float
        An antenna with less than this part of its coherence has no signal.
    """
    total, count, turned = products.by_antenna()
    cross = shape.cross
    one, two = products.ends()
    n = len(shape.antennas)
    coherence = antenna_coherence(
        products.total[:, :, cross].sum(axis=1, dtype=np.float64),
        products.count[:, :, cross].sum(axis=1, dtype=np.float64),
        one[cross],
        two[cross],
        n,
    )
    # What the group as a whole tells is surer than where a span of it ends.
    gone = coherence.dead_feeds(fraction)
    silent = spans_without_signal(total, count, fraction) if coherence.measurable else []
    silent = merged(
        [s for s in silent if not gone[s.antenna, slice(None) if s.feed is None else s.feed].any()]
        + [
            Span(int(a), int(f), 0, shape.n_times - 1, "no signal")
            for a, f in zip(*np.nonzero(gone), strict=True)
        ]
    )
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        # An antenna of zeros has no number.
        warnings.simplefilter("ignore", RuntimeWarning)
        autos = np.nanmedian(products.autos.astype(np.float64), axis=0)
        whole = total.sum(axis=0) / count.sum(axis=0)
    changed, jumps = changes(autos, whole, turned, silent)
    spans = [*silent, *changed]
    for span in spans:
        flag_span(shape, flags, span)
    left = ~flags.all(axis=(0, 2, 3)) & cross
    n_left = np.bincount(one[left], minlength=n) + np.bincount(two[left], minlength=n)
    dead = n_left == 0
    flags[:, dead[one] | dead[two]] = True
    return BadAntennas(coherence, dead, spans, jumps)


def flag_span(shape: GroupShape, flags: NDArray[np.bool_], span: Span) -> None:
    """Flag all baselines of an antenna's feeds for a span."""
    width = shape.n_channels // telescope.N_SUBBANDS
    for t in range(span.first, span.last + 1):
        if span.subbands is None:
            flag_integration(shape, flags[t], span)
        else:
            for subband in span.subbands:
                flag_integration(shape, flags[t][:, subband * width : (subband + 1) * width], span)


def flag_integration(shape: GroupShape, flags: NDArray[np.bool_], span: Span) -> None:
    """Flag a span's antenna and feeds in an integration, shape (n_baselines, n_channels, n_polarisations)."""
    own = shape.antennas[span.antenna]
    rows = np.flatnonzero((shape.antenna_1 == own) | (shape.antenna_2 == own))
    for product in products_of(span.feed, shape.n_polarisations):
        flags[rows, :, product] = True


def beyond_jumps(told: list[dict[str, Any]], shape: GroupShape, calibrated_mjd: float) -> list[Span]:
    """Spans on the far side of gain jumps from a calibration: there its gains are another's.

    Parameters
    ----------
    told : list of dict
        ``jumps`` of the summary of a group's flags.
    shape : GroupShape
    calibrated_mjd : float
        When the calibration was solved.

    Returns
    -------
    list of Span
        From the first jump on if the calibration is the earlier, else up to the last.
    """
    earlier = calibrated_mjd <= float(np.mean(shape.times_jd)) - JD_OF_MJD_0
    names = [shape.antenna_names[a] for a in shape.antennas]
    when: dict[tuple[int, int], list[int]] = {}
    for jump in told:
        place = names.index(jump["antenna"]), FEEDS.index(jump["feed"])
        when.setdefault(place, []).append(int(jump["integration"]))
    return [
        Span(antenna, feed, min(at), shape.n_times - 1, "jumped")
        if earlier
        else Span(antenna, feed, 0, max(at) - 1, "jumped")
        for (antenna, feed), at in when.items()
    ]


def products_of(feed: int | None, n_polarisations: int) -> list[int]:
    """Polarisation products that a feed (0 X, 1 Y, None both) is in."""
    if feed is None or n_polarisations == 1:
        return list(range(n_polarisations))
    if n_polarisations == 4:
        return [0, 1, 2] if feed == 0 else [1, 2, 3]
    return [feed]
