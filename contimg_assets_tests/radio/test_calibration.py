"""Solving and applying with CASA, against the gains that the simulator put in."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.time import Time
from numpy.typing import NDArray

from contimg_assets.radio import telescope
from contimg_assets.radio.calibration.apply import apply
from contimg_assets.radio.calibration.calibrators import named_calibrator
from contimg_assets.radio.calibration.hashing import tree_sha256
from contimg_assets.radio.calibration.model import model_visibilities, visible_sources
from contimg_assets.radio.calibration.solutions import read_table
from contimg_assets.radio.calibration.solve import choose_reference, solve
from contimg_assets.radio.conversion.convert import convert
from contimg_assets.radio.errors import CalibrationError, MissingInputError
from contimg_assets.radio.flagging.flag import flag
from contimg_assets.radio.flagging.flag_file import read_flags
from contimg_assets.radio.measurement_set import GroupShape, read_column, read_shape
from contimg_assets.radio.sky import Source
from contimg_assets.settings import FlaggingSettings
from contimg_assets.simulation.corruption import Gains
from contimg_assets.simulation.night import transit_start
from contimg_assets.simulation.observation import simulate
from contimg_assets.simulation.presets import UNCORRUPTED, Corruption
from contimg_assets_tests.radio.skies import TINY, around, observe

pytestmark = [
    pytest.mark.usefixtures("casa_data"),
    pytest.mark.filterwarnings("ignore:Recalculating uvw_array:UserWarning"),
]

DEC_DEG = 16.27
CALIBRATOR = named_calibrator("3C454.3")
GROUP_S = TINY.n_integrations * telescope.INTEGRATION_S
START = transit_start(CALIBRATOR, Time("2025-06-01T00:00:00", scale="utc"), GROUP_S)
#: Others in the field, which the model knows.
FIELD = around(START, DEC_DEG, [(0.8, 0.6, 1.5, -0.8), (-0.9, 0.2, 1.0, -0.7), (0.2, -1.0, 0.8, -0.9)])
KEY = START.strftime("%Y-%m-%dT%H:%M:%S")


@dataclass(frozen=True)
class Scan:
    """A converted and flagged group."""

    folder: Path
    truth: dict[str, Any]

    @property
    def ms(self) -> Path:
        """Its Measurement Set."""
        return self.folder / "group.ms"

    @property
    def flags(self) -> Path:
        """Its flags."""
        return self.folder / "flags"

    @property
    def shape(self) -> GroupShape:
        """Its axes."""
        return read_shape(self.ms)

    def solve(self, name: str, **options: Any) -> dict[str, Any]:
        """Solve into a folder of that name."""
        work = self.folder / f"{name}.work"
        work.mkdir()
        settings = {"group": KEY, "calibrator": CALIBRATOR, "field_sources": FIELD, **options}
        return solve(self.ms, self.flags, self.folder / name, work, **settings)


def scan_of(
    folder: Path, sources: list[Source], corruption: Corruption, start: Time = START, seed: int = 1
) -> Scan:
    observation = observe(sources, DEC_DEG, corruption, start, seed=seed, night_epoch_jd=float(START.jd))
    truth = simulate(observation, folder / "in")
    convert(sorted((folder / "in").glob("*.hdf5")), folder / "group.ms")
    flag(folder / "group.ms", folder / "flags", **FlaggingSettings().model_dump())
    return Scan(folder, json.loads(truth.read_text()))


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """A transit of 3C454.3 with gains, delays, ripples, drift and noise."""
    return scan_of(tmp_path_factory.mktemp("scan"), [CALIBRATOR, *FIELD], Corruption(rfi=False))


@pytest.fixture(scope="module")
def solved(scan: Scan) -> dict[str, Any]:
    """Its solutions, with a reference antenna chosen from the data."""
    return scan.solve("set")


@pytest.fixture(scope="module")
def calibrated(scan: Scan, solved: dict[str, Any]) -> dict[str, Any]:
    """The scan calibrated by itself."""
    assert solved["calibrator"] == "3C454.3"
    return apply(scan.ms, scan.flags, scan.folder / "set", scan.folder / "calibrated.ms")


def true_gains(scan: Scan) -> NDArray[np.complex128]:
    """Gain at mid-group, shape (n_antennas, n_channels, n_polarisations), antennas as in the truth.

    The correlator multiplies conj(V₁) V₂, and CASA models g₁ conj(g₂): CASA's gains are the
    conjugates of those of the voltages.
    """
    values: dict[str, Any] = {
        k: np.array(v) if isinstance(v, list) else v for k, v in scan.truth["gains"].items()
    }
    gains = Gains(**values)
    shape = scan.shape
    drift = gains.drift(np.array([shape.times_jd.mean()]))[0][:, None]
    return np.conj(gains.bandpass(shape.frequencies_hz) * drift)


def expected_error(scan: Scan) -> float:
    """Noise of an antenna's gain in one channel, relative: σ / (S √(N−1)) over the scan."""
    shape = scan.shape
    sigma = telescope.visibility_sigma_jy(shape.channel_width_hz, shape.integration_s * shape.n_times)
    source = next(s for s in scan.truth["sources"] if s["name"] == "3C454.3")
    return sigma / source["mean_apparent_jy"] / np.sqrt(len(shape.antennas) - 1)


def applied_errors(scan: Scan, reference: str) -> NDArray[np.complex128]:
    """What CASA divided out on each baseline to the reference, over the true gains' product.

    Shape (n_antennas − 1, n_channels, n_polarisations); 1 for perfect solutions.
    """
    shape = scan.shape
    data = read_column(shape, "DATA")
    corrected = read_column(read_shape(scan.folder / "calibrated.ms"), "CORRECTED_DATA")
    used = ~read_column(read_shape(scan.folder / "calibrated.ms"), "FLAG").astype(bool)
    names = [shape.antenna_names[a] for a in shape.antennas]
    assert names == sorted(scan.truth["antennas"], key=int)
    gains = true_gains(scan)
    ref = shape.antenna_names.index(reference)
    found = []
    for b, (one, two) in enumerate(zip(shape.antenna_1, shape.antenna_2, strict=True)):
        if one == two or ref not in (one, two):
            continue
        product = gains[names.index(shape.antenna_names[one])] * np.conj(
            gains[names.index(shape.antenna_names[two])]
        )
        weight = used[:, b].astype(float)
        total = np.sum(np.where(used[:, b], data[:, b] / corrected[:, b], 0), axis=0)
        # What is flagged throughout has no error to speak of.
        mean = np.where(weight.any(axis=0), total / np.maximum(weight.sum(axis=0), 1) / product, 1.0)
        found.append(mean if two == ref else np.conj(mean))
    return np.array(found)


def test_what_is_divided_out_are_the_true_gains(
    scan: Scan, solved: dict[str, Any], calibrated: dict[str, Any]
) -> None:
    """K·B·G as CASA applies it, per antenna, channel and feed, against the truth file.

    Up to the reference antenna's phase, which a baseline to it does not show.  The error of a
    product of two gains is √2 that of one, which noise, flux density and number of antennas give.
    The overall factor is the flux scale, to 0.2 %.  (Measured: 0.69 % in amplitude, 0.0069 rad
    in phase, where 0.72 % are expected; flux scale 1.0007.)
    """
    errors = applied_errors(scan, solved["refant"])
    expected = np.sqrt(2) * expected_error(scan)
    assert calibrated["n_antennas_without_solutions"] == 0
    assert np.mean(np.abs(errors)) == pytest.approx(1.0, abs=2e-3)
    assert np.std(np.abs(errors)) < 1.25 * expected
    assert np.std(np.angle(errors)) < 1.25 * expected
    # No antenna stands out: its mean over 128 channels and feeds is within 1 % and 1°.
    by_antenna = np.mean(errors, axis=(1, 2))
    assert np.abs(np.abs(by_antenna) - 1).max() < 0.01
    assert np.abs(np.angle(by_antenna, deg=True)).max() < 1.0


def test_delays_are_the_true_ones(scan: Scan, solved: dict[str, Any]) -> None:
    """K, in ns relative to the reference antenna, with the sign of conjugate gains.

    0.04 ns is 2.7° over the band.

    K alone is the peak of a transform; what it leaves, B takes up.
    """
    shape = scan.shape
    table = read_table(scan.folder / "set" / "K.cal")
    found = table.values[shape.antennas, 0]
    delays = 1e9 * np.array(scan.truth["gains"]["delay_s"])
    ref = [shape.antenna_names[a] for a in shape.antennas].index(solved["refant"])
    difference = (found - found[ref]) + (delays - delays[ref])
    assert np.abs(difference).max() < 0.04


def test_calibrated_data_are_the_model_and_noise(scan: Scan, calibrated: dict[str, Any]) -> None:
    """CORRECTED_DATA less the model of the field is noise of one SEFD, to 1.5 %.

    1.0 % is what the 24 gains fitted to 1 656 visibilities take away, with their square.  The
    model's own sign and phases are tested elsewhere; a wrong one would leave janskys here.
    """
    shape = read_shape(scan.folder / "calibrated.ms")
    model = model_visibilities(shape, [CALIBRATOR, *visible_sources(shape, FIELD)])
    left = read_column(shape, "CORRECTED_DATA") - model[..., None]
    used = ~read_column(shape, "FLAG").astype(bool)
    used[:, ~shape.cross] = False
    sigma = telescope.visibility_sigma_jy(shape.channel_width_hz, shape.integration_s)
    ratio = np.sqrt(np.mean(np.abs(left[used]) ** 2) / 2) / sigma
    assert ratio == pytest.approx(0.995, abs=0.015)
    assert calibrated["corrected_median_amplitude_jy"] == pytest.approx(12.5, rel=0.03)
    # Nothing is added to the flags but for solutions that failed, of which there are few.
    assert np.mean(~used[:, shape.cross]) < 0.02


def test_the_scan_is_not_touched(scan: Scan, calibrated: dict[str, Any]) -> None:
    """Solving and applying work on clones: the group's set has neither new columns nor flags."""
    from casacore.tables import table

    assert calibrated["flag_fraction"] < 0.02
    with table(str(scan.ms), ack=False) as main:
        assert not {"CORRECTED_DATA", "MODEL_DATA"} & set(main.colnames())
        assert not main.getcol("FLAG").any()
    with table(str(scan.folder / "calibrated.ms"), ack=False) as main:
        assert "CORRECTED_DATA" in main.colnames()


def test_the_sidecar_says_what_was_solved_from_what(scan: Scan, solved: dict[str, Any]) -> None:
    """Calibrator and its flux density, antennas, band, and each table by the hash of its content."""
    assert json.loads((scan.folder / "set" / "solutions.json").read_text()) == json.loads(json.dumps(solved))
    assert [(t["type"], t["order"]) for t in solved["tables"]] == [("K", 10), ("BA", 20), ("GA", 40)]
    for entry in solved["tables"]:
        assert entry["sha256"] == tree_sha256(scan.folder / "set" / entry["file"])
    assert sorted(solved["antennas"], key=int) == [str(s) for s in TINY.stations]
    assert solved["flux_model"]["flux_jy_at_1.4ghz"] == 12.5
    assert solved["mid_mjd"] == pytest.approx(START.mjd + GROUP_S / 2 / 86400, abs=1e-8)
    assert solved["declination_deg"] == pytest.approx(DEC_DEG)
    assert solved["n_model_sources"] == 1 + len(FIELD)


def test_the_user_s_reference_antenna_is_taken_by_name(scan: Scan) -> None:
    """Antenna ``1`` has id 0, and an antenna with id 1 is there too: the one *named* 1 has no phase.

    A float32 phase of zero is exact but for rounding, 1e-6 rad.
    """
    assert {"1", "2"} <= set(scan.truth["antennas"])
    sidecar = scan.solve("named", reference_antenna="1")
    assert sidecar["refant"] == "1"
    bandpass = read_table(scan.folder / "named" / "B.cal")
    assert np.abs(np.angle(bandpass.values[0][~bandpass.flags[0]])).max() < 1e-6
    assert np.abs(np.angle(bandpass.values[1][~bandpass.flags[1]])).max() > 0.01
    delays = read_table(scan.folder / "named" / "K.cal").values
    assert np.all(delays[0] == 0)
    assert np.all(delays[1] != 0)


@pytest.mark.parametrize(
    ("name", "reason"), [("200", "no antenna is named '200'"), ("10", "has no unflagged data")]
)
def test_an_impossible_reference_antenna_is_refused(scan: Scan, name: str, reason: str) -> None:
    """A name that does not exist, and a station that is not in the data; CASA would silently take another."""
    with pytest.raises(CalibrationError, match=reason):
        scan.solve(f"refused-{name}", reference_antenna=name)


def test_the_chosen_reference_is_central_and_unflagged(scan: Scan) -> None:
    """Of the antennas with hardly any flags, the one nearest to the others; a flagged one is passed over."""
    shape = scan.shape
    flags = read_flags(scan.flags, shape.data_shape)
    first = choose_reference(shape, flags)
    positions = shape.antenna_positions[shape.antennas]
    distance = np.median(np.linalg.norm(positions[:, None] - positions[None], axis=-1), axis=1)
    assert first == shape.antenna_names[shape.antennas[np.argmin(distance)]]
    index = shape.antenna_names.index(first)
    flags[:, (shape.antenna_1 == index) | (shape.antenna_2 == index)] = True
    assert choose_reference(shape, flags) != first


def test_a_dead_antenna_gets_no_solutions_and_is_flagged_in_targets(tmp_path: Path) -> None:
    """Dead in the calibrator's group, alive in the target's: without solutions its data are flagged."""
    dead = str(TINY.stations[4])
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    calibrator = scan_of(tmp_path / "a", [CALIBRATOR], Corruption(rfi=False, dead_antennas=(dead,)))
    later = Time(START.jd + 600 / 86400, format="jd", scale="utc")
    sources = around(later, DEC_DEG, [(0.1, 0.1, 4.0)])
    target = scan_of(tmp_path / "b", sources, Corruption(rfi=False), later, seed=2)
    sidecar = calibrator.solve("set", field_sources=[])
    assert dead not in sidecar["antennas"]
    result = apply(target.ms, target.flags, calibrator.folder / "set", tmp_path / "out.ms")
    assert result["antennas_without_solutions"] == [dead]
    shape = read_shape(tmp_path / "out.ms")
    flags = read_column(shape, "FLAG").astype(bool)
    index = shape.antenna_names.index(dead)
    theirs = (shape.antenna_1 == index) | (shape.antenna_2 == index)
    assert flags[:, theirs].all()
    assert flags[:, shape.cross & ~theirs].mean() < 0.02
    assert result["corrected_median_amplitude_jy"] == pytest.approx(4.0, rel=0.05)


def test_noise_is_not_calibrated_on(tmp_path: Path) -> None:
    """A calibrator that is not in the data gives no set: too few solutions stand out of the noise."""
    scan = scan_of(tmp_path, around(START, DEC_DEG, [(0.0, 0.0, 1e-6)]), UNCORRUPTED)
    with pytest.raises(CalibrationError, match="solutions"):
        scan.solve("set", field_sources=[])


def test_a_set_without_one_of_its_tables_is_refused(scan: Scan, tmp_path: Path) -> None:
    """The missing table is named, and nothing is written."""
    (tmp_path / "set").mkdir()
    with pytest.raises(MissingInputError, match=r"K\.cal"):
        apply(scan.ms, scan.flags, tmp_path / "set", tmp_path / "out.ms")
    assert not (tmp_path / "out.ms").exists()
