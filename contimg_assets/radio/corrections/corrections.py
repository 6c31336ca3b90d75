"""What turns the data of a group into calibrated data: flags, gains, and what follows from both.

Belongs here: putting it together.  Does not belong here: writing a calibrated Measurement Set
(``radio/calibration/apply.py``), or what else reads calibrated data (``radio/imaging``, ``radio/quality``).
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.applied_delays import changed_delays, delays_of
from contimg_assets.radio.caltables.interpolation import interpolate
from contimg_assets.radio.caltables.jones import Jones, read_jones
from contimg_assets.radio.caltables.set_files import SIDECAR, TABLES
from contimg_assets.radio.corrections.applied import Calibration
from contimg_assets.radio.corrections.levels import walk_since
from contimg_assets.radio.corrections.wrong_subbands import wrong_subbands
from contimg_assets.radio.errors import CalibrationError
from contimg_assets.radio.flagging.antenna_spans import Span
from contimg_assets.radio.flagging.bad_antennas import beyond_jumps, flag_integration
from contimg_assets.radio.flagging.flag_file import open_flags, read_summary
from contimg_assets.radio.flagging.subband_means import read_means
from contimg_assets.radio.measurement_set import GroupShape

#: The correlator's delays may have changed for this part of the antennas, which are flagged.
MOST_OTHER = 0.5


@dataclass(frozen=True)
class Corrections:
    """Flags and gains of one group, ready to be applied."""

    flags_of: Callable[[int], NDArray[np.bool_]]
    """Flags of an integration, shape (n_baselines, n_channels, n_polarisations): the group's own, and of
    antennas with another gain, or of another delay, than the calibrator saw, and of subbands that see another
    sky than the others; a new array each time."""
    jones: Jones
    """The solutions; they flag what has none."""
    numbers: dict[str, Any]
    """What there is to tell."""


@contextmanager
def open_corrections(shape: GroupShape, calibration: Calibration) -> Iterator[Corrections]:
    """Read solutions for a group, and find what is to be flagged for them.

    Data without solutions are flagged, and so are antennas whose gain has jumped between the calibration
    and the integration, those for which the correlator takes out another delay than it did for the
    calibrator, and subbands that do not see the sky that their neighbours see.

    Parameters
    ----------
    shape : GroupShape
        The group, as converted.
    calibration : Calibration

    Yields
    ------
    Corrections
        Its flags are read while they are asked for, and within the block only.

    Raises
    ------
    MissingInputError
        If a table or the flags are not there.
    CalibrationError
        If a table is of no use; if the correlator's delays are others for more than half of the antennas.
    FlaggingError
        If the flags are those of another group.
    """
    jones = read_jones([calibration.tables / name for _, _, name in TABLES], shape)
    drift: dict[str, float] = {}
    if calibration.other is not None:
        other = read_jones([calibration.other / name for _, _, name in TABLES], shape)
        jones, drift = interpolate(jones, other, calibration.weight)
    told = read_summary(calibration.flags)
    walked = walk_since(shape, told, calibration.sets, calibration.weight)
    jones = jones.changed(walked.factor)
    jumped = beyond_jumps(told.get("jumps", []), shape, _solved_mjd(calibration.tables))
    others = _other_delays(shape, calibration.sets)
    delayed = [
        Span(place, feed, 0, shape.n_times - 1, "delay changed")
        for place, antenna in enumerate(shape.antennas)
        for feed in (0, 1)
        if shape.antenna_names[antenna] in others
    ]
    spans = (*jumped, *delayed)
    means = read_means(calibration.flags)
    # Flags of earlier releases have none.
    wrong = wrong_subbands(shape, means, jones) if means else []
    without = [shape.antenna_names[a] for a in shape.antennas if jones.unsolved[a]]
    numbers = {
        "n_antennas_without_solutions": len(without),
        "antennas_without_solutions": without,
        "antennas_jumped": sorted({shape.antenna_names[shape.antennas[s.antenna]] for s in jumped}),
        "antennas_with_other_delays": others,
        "wrong_subbands": [one.told() for one in wrong],
        "bad_antenna_fraction": told.get("bad_span_fraction", 0.0) + _part(spans, shape),
        **drift,
        **walked.numbers,
    }
    with open_flags(calibration.flags, shape.data_shape) as stored:

        def flags_of(integration: int) -> NDArray[np.bool_]:
            flags = stored(integration)
            for span in spans:
                if span.first <= integration <= span.last:
                    flag_integration(shape, flags, span)
            for one in wrong:
                flags[:, one.channels(shape.n_channels)] = True
            return flags

        yield Corrections(flags_of, jones, numbers)


def _solved_mjd(set_folder: Path) -> float:
    """When a set's gains were solved."""
    from casacore.tables import table

    with table(str(set_folder / TABLES[-1][2]), ack=False) as rows:
        return float(np.mean(rows.getcol("TIME"))) / 86400.0


def _other_delays(shape: GroupShape, sets: list[Path]) -> list[str]:
    """Antennas for which the correlator takes out other delays than when sets were observed."""
    now, found = delays_of(shape.path), set[str]()
    for folder in sets:
        # Tables that were made elsewhere have none: nobody knows then.
        if (folder / SIDECAR).exists():
            then = json.loads((folder / SIDECAR).read_text(encoding="utf-8")).get("applied_delays_ns")
            found |= set(changed_delays(then, now))
    others = sorted(found & {shape.antenna_names[a] for a in shape.antennas}, key=lambda n: (len(n), n))
    if len(others) > MOST_OTHER * len(shape.antennas):
        raise CalibrationError(
            f"{shape.path}: found other correlator delays for {len(others)} of {len(shape.antennas)} "
            f"antennas than in {sets[0]}; expected the same for at least half"
        )
    return others


def _part(spans: tuple[Span, ...], shape: GroupShape) -> float:
    """Part of all antennas' time and feeds that spans of one feed are."""
    return sum(s.last + 1 - s.first for s in spans) / (2.0 * shape.n_times * len(shape.antennas))
