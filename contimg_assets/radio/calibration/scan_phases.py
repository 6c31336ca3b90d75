"""Phases of antennas that move within a calibrator scan, and the scan's sums without that.

An ionosphere whose gradient changes moves the sky within minutes, and phases of antennas walk.  Gains that
are constant over an interval are then a mean over phases that turn, and their amplitudes too low: most on
long baselines, for which a target comes out too bright.  The calibrator tells the phases of each antenna at
each integration, or some of them together if it is faint, from the whole band.  A baseline's sum over an
interval has lost by them what their phasors have lost in the mean, and so much is put back.

Gains are those of the antenna's mean phase over the interval: what a target at another time is given.

Belongs here: measuring how phases move, and what that does to sums.  Does not belong here: gains
(``scan_gains.py``).
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import phasing
from contimg_assets.radio.calibration.fit_gains import fit_gains
from contimg_assets.radio.calibration.scan import ScanSums
from contimg_assets.radio.caltables.new_tables import NewTable, write_table
from contimg_assets.radio.caltables.set_files import TABLES
from contimg_assets.radio.measurement_set import GroupShape

#: Phases that move by less, rms over antennas and integrations, take 10⁻⁴ of a baseline, rad; …
_LEAST_MOTION = 0.01
#: … and by less than this part of their errors, noise might.  They are left alone.
_LEAST_OF_ERROR = 0.5
#: So many integrations make a step, the fewest by which half of the antennas' phases are this good, rad.
_STEPS, _WORST_ERROR = (1, 2, 3, 4), 0.05
#: Antennas that a phase is solved with at least.
_MIN_BASELINES = 4


@dataclass(frozen=True)
class ScanPhases:
    """How phases of antennas move within a scan; arrays of shape (n_times, n_antennas)."""

    values: NDArray[np.float64]
    """About the mean over the interval of the gains, and over all antennas, rad; zero where unknown."""
    errors: NDArray[np.float64]
    """rad."""

    @property
    def motion_rad(self) -> float:
        """Rms over antennas and integrations, less what noise has in it."""
        known = self.errors > 0
        excess = self.values[known] ** 2 - self.errors[known] ** 2
        return float(np.sqrt(max(0.0, excess.mean()))) if known.any() else 0.0


def scan_phases(shape: GroupShape, sums: ScanSums, reference: int) -> ScanPhases | None:
    """Measure how the phases of a scan move; None if they do not, or nobody can tell.

    Parameters
    ----------
    shape : GroupShape
    sums : ScanSums
    reference : int
        Id of the reference antenna.
    """
    for step in _STEPS:
        if shape.n_times // step < 2:
            break
        found = _measure(shape, sums, reference, step)
        known = found.errors > 0
        error = float(np.median(found.errors[known])) if known.any() else np.inf
        if error <= _WORST_ERROR:
            return found if found.motion_rad >= max(_LEAST_MOTION, _LEAST_OF_ERROR * error) else None
    return None


def _measure(shape: GroupShape, sums: ScanSums, reference: int, step: int) -> ScanPhases:
    """Phases of antennas in steps of some integrations each."""
    product, model = sums.by_time, sums.model_by_time.astype(np.float64)
    mean = product.sum(axis=0)
    total = np.maximum(model.sum(axis=0), 1e-300)
    # What a phasor of each baseline is measured with, and what it is if nothing moves.
    turned = (product * np.conj(mean)).sum(axis=(1, 3))
    still = (model * (np.abs(mean) ** 2 / total)).sum(axis=(1, 3))
    starts = np.arange(0, shape.n_times - step + 1, step)
    scale = max(float(still.max()), 1e-300)
    fitted = fit_gains(
        (np.add.reduceat(turned, starts, axis=0) / scale).T[..., None].astype(np.complex64),
        (np.add.reduceat(still, starts, axis=0) / scale).T[..., None].astype(np.float32),
        *(shape.antenna_1[shape.cross], shape.antenna_2[shape.cross]),
        reference,
        n_antennas=len(shape.antenna_names),
        minimum_baselines=_MIN_BASELINES,
        phases_only=True,
    )
    step_of = np.minimum(np.arange(shape.n_times) // step, len(starts) - 1)
    phases = np.angle(fitted.values[shape.antennas, :, 0]).T[step_of]
    # Of a complex gain's error the phase has one part, the amplitude the other.
    errors = (fitted.errors[shape.antennas, :, 0] / np.sqrt(2)).T[step_of]
    known = errors > 0
    phases -= _mean(phases, known, axis=1)
    for times in sums.intervals:
        phases[times] = np.angle(np.exp(1j * phases[times]) * _towards_mean(phases[times], known[times]))
        phases[times] -= _mean(phases[times], known[times], axis=0)
    return ScanPhases(np.where(known, phases, 0.0), errors)


def _mean(values: NDArray[np.float64], known: NDArray[np.bool_], axis: int) -> NDArray[np.float64]:
    number = np.maximum(known.sum(axis=axis, keepdims=True), 1)
    return np.where(known, values, 0.0).sum(axis=axis, keepdims=True) / number


def _towards_mean(phases: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.complex128]:
    """What turns each antenna's mean phasor to zero phase: phases about it do not wrap."""
    total = np.where(known, np.exp(1j * phases), 0).sum(axis=0, keepdims=True)
    return np.exp(-1j * np.angle(total))


def steadied(shape: GroupShape, sums: ScanSums, phases: ScanPhases) -> ScanSums:
    """The sums as they were if phases had not moved within the intervals."""
    ends = np.searchsorted(shape.antennas, [shape.antenna_1[shape.cross], shape.antenna_2[shape.cross]])
    change = np.exp(1j * (phases.values[:, ends[0]] - phases.values[:, ends[1]]))
    # Noise of the phases takes its part of what they say is lost.
    noise = np.exp((phases.errors[:, ends[0]] ** 2 + phases.errors[:, ends[1]] ** 2) / 2)
    product = sums.product.copy()
    per_subband = sums.product.shape[2] // sums.by_time.shape[1]
    for k, times in enumerate(sums.intervals):
        weight = sums.model_by_time[times]
        kept = np.einsum("tsbp,tb->sbp", weight, change[times] * noise[times])
        total = weight.sum(axis=0, dtype=np.float64)
        # A baseline of which nothing is left is as it is.
        kept = np.divide(kept, total, where=total > 0, out=np.ones_like(kept))
        kept = np.where(np.abs(kept) > 0.1, kept, 1)
        product[k] /= np.repeat(kept.swapaxes(0, 1), per_subband, axis=1)
    by_time = sums.by_time / change[:, None, :, None]
    return replace(sums, product=product, by_time=by_time)


def write_moving(tables: Path, out: Path, ms: Path, shape: GroupShape, phases: ScanPhases) -> None:
    """Write a set for the scan itself: the same, with gains that move as the scan's phases do.

    Parameters
    ----------
    tables : Path
        Folder of the set.
    out : Path
        Folder of the new one.
    ms : Path
        The scan's Measurement Set.
    shape : GroupShape
    phases : ScanPhases
    """
    from casacore.tables import table

    path = out / TABLES[-1][2]
    shutil.copytree(tables, out)
    times_s = (shape.times_jd - phasing.JD_OF_MJD_0) * 86400.0
    n_antennas = len(shape.antenna_names)
    with table(str(path), ack=False) as rows:
        middles_s = rows.getcol("TIME").reshape(-1, n_antennas)[:, 0]
        nearest = np.abs(times_s[:, None] - middles_s).argmin(axis=1)
        values, errors, snr, flags = (
            rows.getcol(name).reshape(-1, n_antennas, 1, 2)[nearest]
            for name in ("CPARAM", "PARAMERR", "SNR", "FLAG")
        )
        reference = int(rows.getcell("ANTENNA2", 0))
    turn = np.ones((shape.n_times, n_antennas), np.complex128)
    turn[:, shape.antennas] = np.exp(1j * phases.values)
    lengths = np.full(shape.n_times, shape.integration_s)
    moving = values * turn[:, :, None, None]
    shutil.rmtree(path)
    write_table(path, ms, NewTable("G Jones", moving, errors, snr, flags, times_s, lengths, reference))
