"""Solutions of a simulated calibrator scan against the gains that were put in.

    .venv/bin/python benchmarks/solutions.py TRUTH MS FLAGS SET

TRUTH is the simulator's truth file of a scan, MS its Measurement Set, FLAGS its
flags, and SET the folder that ``contimg solve`` made of them.
Each error is given over what thermal noise allows for the samples that the
flags leave: 1 is perfect.
"""

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import beam, phasing, telescope
from contimg_assets.radio.caltables.jones import read_jones
from contimg_assets.radio.caltables.set_files import TABLES
from contimg_assets.radio.flagging.flag_file import open_flags
from contimg_assets.radio.measurement_set import GroupShape, read_shape
from contimg_assets.radio.sky import Source
from contimg_assets.simulation.corruption import Gains


def true_gains(truth: dict[str, Any], shape: GroupShape) -> NDArray[np.complex128]:
    """Gains at mid-scan as CASA has them (conjugates of the voltages'), by antenna, channel and feed."""
    values: dict[str, Any] = {k: np.array(v) if isinstance(v, list) else v for k, v in truth["gains"].items()}
    gains = Gains(**values)
    drift = gains.drift(np.array([shape.times_jd.mean()]))[0][:, None]
    return np.conj(gains.bandpass(shape.frequencies_hz) * drift)


def allowed(shape: GroupShape, flags: Path, calibrator: Source) -> NDArray[np.float64]:
    """Noise of a gain: σ / √(Σ S²) over an antenna's unflagged samples, shape as the gains."""
    directions = phasing.apparent_vectors(
        shape.times_jd, np.deg2rad([calibrator.ra_deg]), np.deg2rad([calibrator.dec_deg])
    )
    power = beam.drifting_power(directions, shape.declination_rad, shape.frequencies_hz)[:, 0]
    square = (power * calibrator.flux(shape.frequencies_hz)) ** 2
    total = np.zeros((len(shape.antenna_names), shape.n_channels, 2))
    hands = [0, shape.n_polarisations - 1]
    with open_flags(flags, shape.data_shape) as flags_of:
        for t in range(shape.n_times):
            seen = (~flags_of(t)[..., hands] & shape.cross[:, None, None]) * square[t][None, :, None]
            np.add.at(total, shape.antenna_1, seen)
            np.add.at(total, shape.antenna_2, seen)
    sigma = telescope.visibility_sigma_jy(shape.channel_width_hz, shape.integration_s)
    return sigma / np.sqrt(np.where(total > 0, total, np.nan))[shape.antennas]


def errors(
    found: NDArray[np.complex64], true: NDArray[np.complex128], noise: NDArray[np.float64], hz: NDArray
) -> dict[str, float]:
    """Scatter of amplitude, phase and delay over the noise, and the mean amplitude's ratio (flux scale)."""
    solved = (found != 0) & np.isfinite(noise)
    ratio = np.where(solved, found / true, 0)
    # A phase that all antennas have in common, channel by channel, is nobody's.
    ratio *= np.exp(-1j * np.angle(ratio.sum(axis=0)))
    amplitude = np.abs(ratio[solved]) / np.mean(np.abs(ratio[solved])) - 1
    delays, expected = [], []
    for antenna, feed in zip(*np.nonzero(solved.mean(axis=1) > 0.5), strict=True):
        good = solved[antenna, :, feed]
        offset = hz[good] - hz[good].mean()
        phase = np.angle(ratio[antenna, good, feed])
        spread = 2 * np.pi * np.sum(offset**2)
        delays.append(np.sum(offset * phase) / spread)
        expected.append(np.sqrt(np.sum((offset * noise[antenna, good, feed]) ** 2)) / spread)
    return {
        "amplitude": float(np.sqrt(np.mean((amplitude / noise[solved]) ** 2))),
        "phase": float(np.sqrt(np.mean((np.angle(ratio[solved]) / noise[solved]) ** 2))),
        "delay": float(np.sqrt(np.mean((np.array(delays) / np.array(expected)) ** 2))),
        "flux_scale": float(np.mean(np.abs(ratio[solved])) ** 2),
        "noise_of_a_channel": float(np.median(noise[solved])),
    }


@click.command()
@click.argument("truth", type=click.Path(path_type=Path, exists=True))
@click.argument("ms", type=click.Path(path_type=Path, exists=True))
@click.argument("flags", type=click.Path(path_type=Path, exists=True))
@click.argument("tables", metavar="SET", type=click.Path(path_type=Path, exists=True))
def main(truth: Path, ms: Path, flags: Path, tables: Path) -> None:
    """Print the errors of a set over what noise allows."""
    known = json.loads(truth.read_text())
    sidecar = json.loads((tables / "solutions.json").read_text())
    shape = read_shape(ms)
    inverse = read_jones([tables / name for _, _, name in TABLES], shape).inverse[0][shape.antennas]
    found = np.divide(1, inverse, where=inverse != 0, out=np.zeros_like(inverse))
    source = next(s for s in known["sources"] if s["name"] == sidecar["calibrator"])
    calibrator = Source(**{k: v for k, v in source.items() if k != "mean_apparent_jy"})
    numbers = errors(found, true_gains(known, shape), allowed(shape, flags, calibrator), shape.frequencies_hz)
    print(json.dumps({**numbers, "chi_squared": sidecar["quality"]["chi_squared"]}, indent=1))


if __name__ == "__main__":
    main()
