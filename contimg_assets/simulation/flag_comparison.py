"""What is flagged of a group against what the simulator made bad.

Belongs here: samples of antennas that are bad, and of data that are good, and which of either are flagged.
Does not belong here: images (``comparison.py``).
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.corrections.applied import Calibration
from contimg_assets.radio.corrections.corrections import open_corrections
from contimg_assets.radio.errors import FlaggingError
from contimg_assets.radio.flagging.bad_antennas import products_of
from contimg_assets.radio.measurement_set import GroupShape, read_shape

#: Part of a bad span's samples that is flagged where the span counts as found.
FOUND = 0.95


@dataclass(frozen=True)
class SpanFound:
    """One bad span of the truth."""

    antenna: str
    feed: str
    kind: str
    first: int
    last: int
    flagged: float
    """Part of its samples that is flagged."""


@dataclass(frozen=True)
class FlagComparison:
    """Flags as they are applied to the data that are imaged, cross-correlations only."""

    spans: tuple[SpanFound, ...]
    bad_flagged: float
    """Part of all samples of bad spans that is flagged; NaN without any."""
    interference_flagged: float
    """Of the samples with interference that both antennas hear, however weak; NaN without any."""
    good_flagged: float
    """Of the samples with which nothing is wrong."""
    good_flagged_by_antenna: float
    """The same, of antennas of whose feed nothing is left in the integration: bad ones that are none."""

    @property
    def n_found(self) -> int:
        """Spans of which at least ``FOUND`` is flagged."""
        return sum(s.flagged >= FOUND for s in self.spans)


def compare_flags(truth_file: Path, ms: Path, calibration: Calibration) -> FlagComparison:
    """Hold a group's flags against the truth of the independent simulator.

    A gain that jumps counts as bad where it is not the calibrator's, which was observed before.

    Parameters
    ----------
    truth_file : Path
    ms : Path
        The group, as converted.
    calibration : Calibration
        Its flags, and the solutions that are applied, which say on which side of a jump they hold.

    Raises
    ------
    FlaggingError
        If the truth is the other simulator's, or of other antennas or times.
    """
    shape = read_shape(ms)
    with open_corrections(shape, calibration) as corrections:
        return counted(truth_file, shape, corrections.flags_of)


def counted(
    truth_file: Path, shape: GroupShape, flags_of: Callable[[int], NDArray[np.bool_]]
) -> FlagComparison:
    """Count the flags of each integration, shape (n_baselines, n_channels, n_polarisations), on the truth."""
    truth = _Truth.read(truth_file, shape)
    of_spans = np.zeros((len(truth.faults), 2), np.int64)
    bad_of, heard_of, good_of, gone_of = (np.zeros(2, np.int64) for _ in range(4))
    for t in range(shape.n_times):
        flags = flags_of(t)[truth.cross]
        there = truth.there(t, flags.shape)
        bad = np.zeros(flags.shape, bool)
        for number, cells in truth.bad_cells(t):
            of_spans[number] += _counts(flags[cells], there[cells])
            bad[cells] = True
        heard = truth.heard(t, flags.shape) & ~bad
        good = ~bad & ~heard & there
        bad_of += _counts(flags, bad & there)
        heard_of += _counts(flags, heard & there)
        good_of += _counts(flags, good)
        gone_of += _counts(truth.antennas_gone(flags | ~there), good)
    spans = tuple(
        SpanFound(f["antenna"], f["feed"], f["kind"], f["first"], f["last"], _part(counts))
        for f, counts in zip(truth.faults, of_spans, strict=True)
    )
    return FlagComparison(spans, *(_part(counts) for counts in (bad_of, heard_of, good_of, gone_of)))


@dataclass(frozen=True)
class _Truth:
    """What is wrong with which samples of the cross-correlations, integration by integration."""

    shape: GroupShape
    told: dict[str, Any]

    @classmethod
    def read(cls, path: Path, shape: GroupShape) -> "_Truth":
        told = json.loads(path.read_text())
        if told.get("simulator") != "independent":
            raise FlaggingError(
                f"{path}: found the truth of another simulator; expected the independent one's"
            )
        names = {shape.antenna_names[a] for a in shape.antennas}
        if set(told["antennas"]) != names or len(told["times_jd"]) != shape.n_times:
            raise FlaggingError(f"{path}: found other antennas or integrations than {shape.path} has")
        return cls(shape, told)

    @cached_property
    def faults(self) -> list[dict[str, Any]]:
        """Bad spans, and antennas whose delay in the correlator is not that of the calibrator."""
        gains = self.told["gains"]
        changed = np.any(np.array(gains["delay_change_ns"]) != 0, axis=1) & gains["delays_changed"]
        whole = {"feed": "both", "first": 0, "last": self.shape.n_times - 1, "subbands": None}
        return [
            *self.told["bad_spans"],
            *(
                {"antenna": self.told["antennas"][k], "kind": "delay changed", **whole}
                for k in np.flatnonzero(changed)
            ),
        ]

    @property
    def cross(self) -> NDArray[np.bool_]:
        return self.shape.cross

    @cached_property
    def ends(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places, in the truth's order, of the two antennas of each baseline."""
        place = {name: k for k, name in enumerate(self.told["antennas"])}
        one, two = (
            np.array([place[self.shape.antenna_names[a]] for a in ids[self.cross]])
            for ids in (self.shape.antenna_1, self.shape.antenna_2)
        )
        return one, two

    def there(self, integration: int, size: tuple[int, ...]) -> NDArray[np.bool_]:
        """Samples that the correlator wrote as it should."""
        channels = np.ones(self.shape.n_channels, bool)
        for subband in self.told["missing_subbands"]:
            channels[self._channels([subband])] = False
        for glitch in self.told["glitches"]:
            if glitch["first"] <= integration <= glitch["last"]:
                channels[self._channels([glitch["subband"]])] = False
        return np.broadcast_to(channels[:, None], size)

    def bad_cells(self, integration: int) -> Iterator[tuple[int, tuple[NDArray[Any], ...]]]:
        """Numbers of the faults that an integration is in, with the samples they spoil."""
        one, two = self.ends
        for number, fault in enumerate(self.faults):
            if fault["first"] <= integration <= fault["last"]:
                place = self.told["antennas"].index(fault["antenna"])
                rows = np.flatnonzero((one == place) | (two == place))
                feed = {"X": 0, "Y": 1, "both": None}[fault["feed"]]
                products = np.array(products_of(feed, self.shape.n_polarisations))
                yield number, np.ix_(rows, self._channels(fault["subbands"]), products)

    def heard(self, integration: int, size: tuple[int, ...]) -> NDArray[np.bool_]:
        """Samples with interference that both antennas hear."""
        found = np.zeros(size, bool)
        one, two = self.ends
        for emitter in self.told["interference"]:
            hears = np.isin(one, emitter["antenna_indices"]) & np.isin(two, emitter["antenna_indices"])
            for first, last, low, high in emitter["boxes"]:
                if first <= integration <= last:
                    found[hears, low : high + 1] = True
        return found

    def antennas_gone(self, flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Samples of antennas of whose feed nothing is left, though of others there is."""
        one, two = self.ends
        left: NDArray[np.bool_] = np.any(~flags, axis=1)
        found = np.zeros(flags.shape, bool)
        for product in range(flags.shape[-1]):
            n = len(self.told["antennas"])
            seen = np.bincount(one, left[:, product], n) + np.bincount(two, left[:, product], n)
            if seen.any():
                gone = seen == 0
                found[..., product] = (gone[one] | gone[two])[:, None]
        return found

    def _channels(self, subbands: list[int] | None) -> NDArray[np.int64]:
        """Channels, upwards in frequency, of subbands in the telescope's order; None: all."""
        width = self.shape.n_channels // telescope.N_SUBBANDS
        of = np.repeat(np.arange(telescope.N_SUBBANDS)[::-1], width)
        return np.flatnonzero(np.isin(of, subbands)) if subbands is not None else np.arange(len(of))


def _counts(flags: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> tuple[int, int]:
    """Chosen samples that are flagged, and all chosen ones."""
    return int(np.count_nonzero(flags & chosen)), int(np.count_nonzero(chosen))


def _part(counts: NDArray[np.int64]) -> float:
    return float(counts[0] / counts[1]) if counts[1] else float("nan")
