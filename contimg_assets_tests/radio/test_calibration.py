"""Solving and applying with CASA, against the gains that the simulator put in."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.time import Time
from numpy.typing import NDArray

from contimg_assets.radio import casa, telescope
from contimg_assets.radio.applied_delays import keep_delays
from contimg_assets.radio.beam import ASSUMED, Beam, Pattern, airy_power, half_power_radius
from contimg_assets.radio.calibration.apply import apply, look
from contimg_assets.radio.calibration.calibrators import named_calibrator
from contimg_assets.radio.calibration.field import FieldImaging, solve_with_field
from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.calibration.reference import choose_reference
from contimg_assets.radio.calibration.scan import sum_scan
from contimg_assets.radio.calibration.solve import solve
from contimg_assets.radio.caltables.jones import delay_factors
from contimg_assets.radio.caltables.solutions import read_table
from contimg_assets.radio.conversion.convert import convert
from contimg_assets.radio.corrections.applied import Calibration
from contimg_assets.radio.corrections.corrections import open_corrections
from contimg_assets.radio.errors import CalibrationError, MissingInputError
from contimg_assets.radio.files import clone_tree, tree_sha256
from contimg_assets.radio.flagging.flag import flag
from contimg_assets.radio.flagging.flag_file import read_flags, write_flags
from contimg_assets.radio.flagging.options import FlaggingOptions
from contimg_assets.radio.images.local_noise import local_noise
from contimg_assets.radio.imaging.image import make_planes
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.imaging.prepared import prepare
from contimg_assets.radio.imaging.visibilities import channels_to_average, read_stokes_i
from contimg_assets.radio.measurement_set import (
    GroupShape,
    add_data_column,
    read_column,
    read_shape,
    write_column,
)
from contimg_assets.radio.model_visibilities import visible_sources
from contimg_assets.radio.quality.calibration import calibration_numbers, grade
from contimg_assets.radio.quality.visibility_sample import sample_visibilities
from contimg_assets.radio.sky import Source
from contimg_assets.simulation.corruption import Gains
from contimg_assets.simulation.night import transit_start
from contimg_assets.simulation.observation import simulate
from contimg_assets.simulation.presets import UNCORRUPTED, Corruption
from contimg_assets_tests.radio.averaged_scan import write_averaged
from contimg_assets_tests.radio.skies import TINY, around, observe
from contimg_assets_tests.radio.whole_models import model_visibilities

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

    def solve(
        self,
        name: str,
        *,
        calibrator: Source = CALIBRATOR,
        field_sources: Sequence[Source] = FIELD,
        **options: Any,
    ) -> dict[str, Any]:
        """Solve into a folder of that name."""
        return solve(
            self.ms,
            self.flags,
            self.folder / name,
            CalibrationOptions(**options),
            group=KEY,
            calibrator=calibrator,
            field_sources=field_sources,
        )


def scan_of(
    folder: Path, sources: list[Source], corruption: Corruption, start: Time = START, seed: int = 1
) -> Scan:
    observation = observe(sources, DEC_DEG, corruption, start, seed=seed, night_epoch_jd=float(START.jd))
    truth = simulate(observation, folder / "in")
    convert(sorted((folder / "in").glob("*.hdf5")), folder / "group.ms")
    flag(folder / "group.ms", folder / "flags", FlaggingOptions())
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
    return apply(
        scan.ms, Calibration(flags=scan.flags, tables=scan.folder / "set"), scan.folder / "calibrated.ms"
    )


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
    assert np.all(np.abs(delays[0]) < 1e-9)
    assert np.all(delays[1] != 0)


def test_a_reference_antenna_that_does_not_exist_is_refused(scan: Scan) -> None:
    """CASA would silently take another."""
    with pytest.raises(CalibrationError, match="no antenna is named '200'"):
        scan.solve("refused", reference_antenna="200")


def test_a_reference_antenna_without_data_is_replaced_and_the_set_says_so(scan: Scan) -> None:
    """Station 10 is not in the data: a night's calibration does not fail for the user's choice."""
    sidecar = scan.solve("replaced", reference_antenna="10")
    assert sidecar["refant"] != "10"
    assert sidecar["refant_reason"].startswith("10, the user's choice, has no unflagged data")


def test_the_chosen_reference_is_central_and_unflagged(scan: Scan) -> None:
    """Of the antennas with hardly any flags, the one nearest to the others; a flagged one is passed over."""
    shape = scan.shape
    flags = read_flags(scan.flags, shape.data_shape)
    first = choose_reference(shape, flags[:, shape.cross].mean(axis=(0, 2, 3)))
    positions = shape.antenna_positions[shape.antennas]
    distance = np.median(np.linalg.norm(positions[:, None] - positions[None], axis=-1), axis=1)
    assert first == shape.antenna_names[shape.antennas[np.argmin(distance)]]
    index = shape.antenna_names.index(first)
    flags[:, (shape.antenna_1 == index) | (shape.antenna_2 == index)] = True
    assert choose_reference(shape, flags[:, shape.cross].mean(axis=(0, 2, 3))) != first


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
    result = apply(
        target.ms, Calibration(flags=target.flags, tables=calibrator.folder / "set"), tmp_path / "out.ms"
    )
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
        apply(scan.ms, Calibration(flags=scan.flags, tables=tmp_path / "set"), tmp_path / "out.ms")
    assert not (tmp_path / "out.ms").exists()


def numbers_of(scan: Scan, name: str) -> dict[str, Any]:
    """Quality numbers of a set that was solved into that folder."""
    (scan.folder / f"{name}.qa").mkdir()
    return calibration_numbers(scan.folder / name, scan.folder / f"{name}.qa")


def test_the_averaged_scan_gives_the_solutions_of_the_whole(scan: Scan, tmp_path: Path) -> None:
    """The bandpass that CASA solves on every integration, and that on the scan's average, are one.

    They differ by a fifth of a solution's noise in the median: weights of the whole scan do not follow
    the model through the beam and its fringes, those of the average do.
    """
    from casatasks import bandpass

    shape = scan.shape
    clone = tmp_path / "whole.ms"
    clone_tree(scan.ms, clone)
    add_data_column(clone, "MODEL_DATA")
    model = model_visibilities(shape, [CALIBRATOR, *visible_sources(shape, FIELD)])
    write_column(read_shape(clone), "MODEL_DATA", np.repeat(model[..., None], 2, axis=-1))
    flags = read_flags(scan.flags, shape.data_shape)
    flags[:, ~shape.cross] = True
    write_column(read_shape(clone), "FLAG", flags)
    sums = sum_scan(shape, scan.flags, [CALIBRATOR, *visible_sources(shape, FIELD)], 1)
    write_averaged(shape, sums, tmp_path / "averaged.ms")
    options: dict[str, Any] = {"refant": "43", "solint": "inf", "bandtype": "B", "minblperant": 4}
    found = []
    for name in ("whole", "averaged"):
        bandpass(vis=str(tmp_path / f"{name}.ms"), caltable=str(tmp_path / f"{name}.cal"), **options)
        found.append(read_table(tmp_path / f"{name}.cal"))
    good = ~found[0].flags & ~found[1].flags
    assert np.mean(found[0].flags != found[1].flags) < 0.01
    ratio = found[0].values[good] / found[1].values[good]
    assert np.median(np.abs(ratio - 1)) < 0.3 * expected_error(scan)


def test_the_quality_of_a_good_set(scan: Scan, solved: dict[str, Any]) -> None:
    """χ² of one, closure as noise has it, the true ripple and delays, a good grade; all per antenna too."""
    assert solved["quality"]["chi_squared"] == pytest.approx(1.0, abs=0.05)
    numbers = numbers_of(scan, "set")
    assert numbers["grade"] in ("excellent", "good")
    assert abs(numbers["closure_excess"]) < 0.15
    assert numbers["delay_scatter_ns"] == pytest.approx(
        1e9 * np.std(scan.truth["gains"]["delay_s"], axis=0).mean(), rel=0.05
    )
    # Ripples of 0.03 ± 0.015 are 0.02 rms, and the noise of a solution is as much.
    assert 0.01 < numbers["bandpass_ripple"] < 0.05
    assert numbers["phase_wander_deg"] < 2.0
    assert set(numbers["antennas"]) == {str(s) for s in TINY.stations}
    for antenna in numbers["antennas"].values():
        assert antenna["chi_squared"] == pytest.approx([1.0, 1.0], abs=0.15)
        assert set(antenna["grade"]) <= {"excellent", "good", "marginal"}
    assert solved["delays"].startswith("kept")


def test_grades_are_by_the_limits() -> None:
    """Half of a soft limit, the soft one and the hard one part them; the worst number decides."""
    assert grade({"phase_scatter_deg": 7.0}) == "excellent"
    assert grade({"phase_scatter_deg": 14.0}) == "good"
    assert grade({"phase_scatter_deg": 7.0, "gain_amplitude_scatter": 0.2}) == "marginal"
    assert grade({"phase_scatter_deg": 46.0}) == "poor"
    assert grade({"phase_scatter_deg": float("nan")}) == "poor"


def test_gains_in_intervals_and_in_phase_only(scan: Scan) -> None:
    """Three intervals give three rows an antenna, two integrations apart; phases alone have amplitude 1."""
    from casacore.tables import table

    scan.solve("parts", gain_interval_s=2 * telescope.INTEGRATION_S, fast=True)
    with table(str(scan.folder / "parts" / "G.cal"), ack=False) as rows:
        times, gains, flags = rows.getcol("TIME"), rows.getcol("CPARAM"), rows.getcol("FLAG")
    assert np.diff(np.unique(times)) == pytest.approx(2 * telescope.INTEGRATION_S, abs=1e-3)
    assert np.abs(gains[~flags]) == pytest.approx(1.0, abs=1e-5)


def test_a_dead_reference_antenna_is_replaced(tmp_path: Path) -> None:
    """The user's choice is alive in other scans; in this one it hears nothing, and another is taken."""
    dead = str(TINY.stations[4])
    scan = scan_of(tmp_path, [CALIBRATOR], Corruption(rfi=False, dead_antennas=(dead,)))
    sidecar = scan.solve("set", field_sources=[], reference_antenna=dead)
    assert sidecar["refant"] != dead
    assert dead in sidecar["refant_reason"]


def test_an_antenna_that_hears_nothing_has_no_solutions_though_nobody_flagged_it(tmp_path: Path) -> None:
    """Noise passes the least S/N in single channels, which must not become its bandpass."""
    dead = str(TINY.stations[4])
    scan = scan_of(tmp_path, [CALIBRATOR], Corruption(rfi=False, dead_antennas=(dead,)))
    shape = scan.shape
    write_flags(scan.flags, np.zeros(shape.data_shape, bool))
    sidecar = scan.solve("set", field_sources=[], minimum_snr=1.5)
    assert dead in sidecar["antennas"]
    solutions = read_table(tmp_path / "set" / "B.cal")
    index = shape.antenna_names.index(dead)
    assert np.any(solutions.snr[index] > 1.5)
    assert solutions.flags[index].all()
    result = apply(scan.ms, Calibration(flags=scan.flags, tables=tmp_path / "set"), tmp_path / "out.ms")
    assert result["antennas_without_solutions"] == [dead]


def test_half_of_the_antennas_dead(tmp_path: Path) -> None:
    """Eleven of 24 hear nothing: found, flagged, and the other 13 have a set of their own."""
    dead = tuple(str(s) for s in TINY.stations[1::2][:11])
    scan = scan_of(tmp_path, [CALIBRATOR], Corruption(rfi=False, dead_antennas=dead))
    sidecar = scan.solve("set", field_sources=[])
    assert set(sidecar["antennas"]) == {str(s) for s in TINY.stations} - set(dead)
    assert sidecar["quality"]["n_antennas_solved"] == 13


def test_a_calibrator_of_half_a_jansky_is_no_excellent_set(tmp_path: Path) -> None:
    """Its solutions have a signal-to-noise ratio of 8: a set with a warning on it, or none."""
    faint = replace(CALIBRATOR, flux_jy=0.5)
    scan = scan_of(tmp_path, [faint], Corruption(rfi=False))
    sidecar = scan.solve("set", calibrator=faint, field_sources=[])
    assert sidecar["quality"]["median_snr"] < 15
    assert numbers_of(scan, "set")["grade"] in ("marginal", "poor")


def test_a_calibrator_that_is_flagged_whole_is_refused(scan: Scan, tmp_path: Path) -> None:
    """Nothing to solve on: said in so many words, before CASA is asked."""
    write_flags(tmp_path, np.ones(scan.shape.data_shape, bool))
    with pytest.raises(CalibrationError, match="every visibility of the scan is flagged"):
        solve(
            scan.ms,
            tmp_path,
            tmp_path / "set",
            CalibrationOptions(),
            group=KEY,
            calibrator=CALIBRATOR,
        )


def test_two_calibrators_in_one_beam(tmp_path: Path) -> None:
    """Both in the model: a good set. One alone: χ² tells, and the set is not called good."""
    second = around(START, DEC_DEG, [(0.5, -0.3, 9.0)])
    scan = scan_of(tmp_path, [CALIBRATOR, *second], Corruption(rfi=False))
    both = scan.solve("both", field_sources=second)
    assert both["quality"]["chi_squared"] == pytest.approx(1.0, abs=0.05)
    assert numbers_of(scan, "both")["grade"] in ("excellent", "good")
    scan.solve("one", field_sources=[])
    assert numbers_of(scan, "one")["grade"] in ("marginal", "poor")


def test_four_missing_subbands(tmp_path: Path) -> None:
    """Twelve subbands are solved, four have no solutions, and the numbers say how many."""
    scan = scan_of(tmp_path, [CALIBRATOR], Corruption(rfi=False, missing_subbands=(0, 5, 6, 15)))
    sidecar = scan.solve("set", field_sources=[])
    assert sidecar["quality"]["failed_solution_fraction"] == pytest.approx(0.25, abs=0.01)
    assert sidecar["quality"]["chi_squared"] == pytest.approx(1.0, abs=0.05)
    assert numbers_of(scan, "set")["grade"] == "marginal"


#: Lacks the brightest neighbour, has the second too bright, and one that is not there.
WRONG = (replace(FIELD[1], flux_jy=1.7), FIELD[2], *around(START, DEC_DEG, [(-0.5, -0.8, 1.0, -0.7)]))


@pytest.mark.parametrize("catalogue", [(), WRONG], ids=["none", "wrong"])
def test_the_field_is_found_in_an_image_of_the_scan(
    scan: Scan, catalogue: tuple[Source, ...], request: pytest.FixtureRequest
) -> None:
    """Three neighbours that no catalogue names, or a wrong one: imaged, put into the model, solved again.

    χ² goes from what 3 Jy of unknown sources make of it to 1 within 10 %, and the set says how.  From a
    catalogue, one major cycle does it.
    """
    name = f"field-{request.node.callspec.id}"
    work = scan.folder / f"{name}.work"
    work.mkdir()
    sky = [replace(source, name=f"C{k}") for k, source in enumerate(catalogue)]
    sidecar = solve_with_field(
        scan.ms,
        scan.flags,
        scan.folder / name,
        work,
        FieldImaging(ImagingOptions(), threads=2, sky=sky),
        CalibrationOptions(),
        group=KEY,
        calibrator=CALIBRATOR,
    )
    model = sidecar["field_model"]
    assert model["rounds_kept"] >= 1
    assert model["misfit"][1] < 0.8
    # Each true neighbour is among the sources found, within 2″ and 4 %.
    for source in FIELD:
        found = min(
            model["sources"],
            key=lambda f: np.hypot(f["ra_deg"] - source.ra_deg, f["dec_deg"] - source.dec_deg),
        )
        assert found["flux_jy"] == pytest.approx(source.flux_jy, rel=0.04)
        assert found["ra_deg"] == pytest.approx(source.ra_deg, abs=2 / 3600)
        assert found["dec_deg"] == pytest.approx(source.dec_deg, abs=2 / 3600)
    assert sidecar["quality"]["chi_squared"] == pytest.approx(1.0, abs=0.1)
    assert json.loads((scan.folder / name / "solutions.json").read_text())["field_model"] == model
    assert sum(f["flux_jy"] > 0.3 for f in model["sources"]) == len(FIELD)
    # The image in which the sources are found shows nothing of the calibrator.
    planes = make_planes(
        prepare(
            scan.ms,
            work,
            ImagingOptions(field_deg=5.2, major_cycles=2, outside_sigma=None, spectra_sigma=None),
            None,
            2,
            Calibration(flags=scan.flags, tables=scan.folder / name),
            sky=[],
            less=[CALIBRATOR],
        )
    )
    image, residual = planes["image"], planes["residual"].pixels
    noise = local_noise(image, residual, planes["psf"].pixels, planes["pb"].pixels)
    x, y = (round(v) for v in image.pixel(CALIBRATOR.ra_deg, CALIBRATOR.dec_deg))
    near = np.s_[y - 10 : y + 11, x - 10 : x + 11]
    assert np.abs(image.pixels[near] / noise[near]).max() < 5


def test_what_gains_take_of_a_neighbour_is_given_back(tmp_path: Path) -> None:
    """At the calibrator's declination the N–S arm cannot tell them apart, and 24 antennas take half of it.

    Two rounds alone leave it 22 % too faint and χ² at 1.022; where they go is known to 6 % and 1.001.
    """
    calibrator, neighbour, other = around(
        START, DEC_DEG, [(0.0, 0.1, 12.0), (1.0, 0.1, 1.5, -0.7), (-0.5, 0.5, 1.0, -0.7)]
    )
    scan = scan_of(tmp_path, [calibrator, neighbour, other], Corruption(rfi=False))
    (tmp_path / "work").mkdir()
    imaging = FieldImaging(ImagingOptions(), threads=2)
    sidecar = solve_with_field(
        scan.ms,
        scan.flags,
        tmp_path / "set",
        tmp_path / "work",
        imaging,
        CalibrationOptions(),
        group=KEY,
        calibrator=calibrator,
    )
    found = min(sidecar["field_model"]["sources"], key=lambda f: abs(f["ra_deg"] - neighbour.ra_deg))
    assert found["flux_jy"] == pytest.approx(neighbour.flux_jy, rel=0.08)
    assert sidecar["quality"]["chi_squared"] == pytest.approx(1.0, abs=0.01)


def test_nothing_of_the_calibrator_is_left_in_what_its_field_is_imaged_from(tmp_path: Path) -> None:
    """Not in any integration and subband, though the beam drifts and the spectrum falls by an eighth.

    The fringe-stopped mean of what is left, against its noise: below 1/500 of the calibrator, so that a model
    constant in time or in frequency would leave 6 % of it.
    Alone in the sky, as else its neighbours' sidelobes would be what is left.
    """
    (bright,) = around(START, DEC_DEG, [(0.4, 0.3, 15.0, -0.7)])
    scan = scan_of(tmp_path, [bright], Corruption(rfi=False))
    scan.solve("set", calibrator=bright, field_sources=[])
    shape, calibration = read_shape(scan.ms), Calibration(flags=scan.flags, tables=tmp_path / "set")
    model = model_visibilities(shape, [bright])[:, shape.cross]

    def means(less: Sequence[Source]) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
        """Mean of visibilities over the model's, shape (n_times, n_subbands), and how many."""
        single = np.ones(np.count_nonzero(shape.cross), np.int64)
        with open_corrections(shape, calibration) as corrections:
            data = read_stokes_i(shape, "DATA", single, corrections, less)
        split = (shape.n_times, len(single), telescope.N_SUBBANDS, -1)
        samples = data.counts.reshape(split).sum(axis=(1, 3), dtype=np.float64)
        ratio = data.counts.reshape(model.shape) * data.values.reshape(model.shape) / model
        return ratio.reshape(split).sum(axis=(1, 3), dtype=np.complex128) / samples, samples

    assert np.abs(means([])[0]) == pytest.approx(1.0, abs=0.02)
    left, n = means([bright])
    sigma = telescope.visibility_sigma_jy(shape.channel_width_hz, shape.integration_s)
    noise = sigma * np.sqrt(2 / n) / np.abs(model).mean()
    assert (np.abs(left) / noise).max() < 4
    assert noise.max() < 0.002


def test_a_calibrator_without_neighbours_keeps_its_first_solution(tmp_path: Path) -> None:
    """What the calibrator leaves of itself in its field's image is no source; the set says why it ended.

    6 Jy with a spectrum as steep as they come, half a degree off the axis, where the beam steepens it.
    """
    (steep,) = around(START, DEC_DEG, [(0.1, 0.5, 6.0, -1.2)])
    scan = scan_of(tmp_path, [steep], Corruption(rfi=False))
    (tmp_path / "work").mkdir()
    imaging = FieldImaging(ImagingOptions(), threads=2)
    sidecar = solve_with_field(
        scan.ms,
        scan.flags,
        tmp_path / "set",
        tmp_path / "work",
        imaging,
        CalibrationOptions(),
        group=KEY,
        calibrator=steep,
    )
    model = sidecar["field_model"]
    assert (model["rounds_kept"], model["ended"]) == (0, "no other source in the image")
    assert model["sources"] == []
    assert sidecar["quality"]["chi_squared"] == pytest.approx(1.0, abs=0.02)


def test_an_antenna_of_other_delays_is_flagged_and_told(
    scan: Scan, solved: dict[str, Any], calibrated: dict[str, Any], tmp_path: Path
) -> None:
    """Of the correlator's, since the calibrator's scan: its solutions are not its own any more.

    Where that is so for most antennas, the set is of no use.
    """
    from casacore.tables import table

    assert calibrated["antennas_with_other_delays"] == []
    names = solved["antennas"]
    then = {name: [0.0, 0.0] for name in names}
    sidecar = scan.folder / "set" / "solutions.json"
    copy = tmp_path / "set"
    shutil.copytree(scan.folder / "set", copy)
    (copy / "solutions.json").write_text(
        json.dumps(json.loads(sidecar.read_text()) | {"applied_delays_ns": then})
    )
    ms = tmp_path / "scan.ms"
    shutil.copytree(scan.ms, ms)
    keep_delays(ms, then | {names[3]: [0.0, 5.0]})
    result = apply(ms, Calibration(flags=scan.flags, tables=copy), tmp_path / "one.ms")
    assert result["antennas_with_other_delays"] == [names[3]]
    assert result["bad_antenna_fraction"] == pytest.approx(
        calibrated["bad_antenna_fraction"] + 1 / len(read_shape(ms).antennas)
    )
    shape = read_shape(ms)
    own = shape.antenna_names.index(names[3])
    with table(str(tmp_path / "one.ms"), ack=False) as main:
        flags = main.getcol("FLAG").reshape(shape.data_shape)
    concerned = (shape.antenna_1 == own) | (shape.antenna_2 == own)
    assert flags[:, concerned].all()
    assert not flags[:, shape.cross & ~concerned].all()
    keep_delays(ms, {name: [20.0 * k, 0.0] for k, name in enumerate(names)})
    with pytest.raises(CalibrationError, match="other correlator delays"):
        apply(ms, Calibration(flags=scan.flags, tables=copy), tmp_path / "most.ms")


def test_applied_on_the_way_is_what_a_calibrated_measurement_set_holds(
    scan: Scan, calibrated: dict[str, Any]
) -> None:
    """Values and flags of what is imaged, and of the report's sample, to the last bit."""
    calibration = Calibration(flags=scan.flags, tables=scan.folder / "set")
    assert calibrated["flag_fraction"] > 0
    written = read_shape(scan.folder / "calibrated.ms")
    factors = channels_to_average(scan.shape, 0.02)
    beforehand = read_stokes_i(written, "CORRECTED_DATA", factors)
    with open_corrections(scan.shape, calibration) as corrections:
        on_the_way = read_stokes_i(scan.shape, "DATA", factors, corrections)
    assert np.array_equal(beforehand.counts, on_the_way.counts)
    assert np.array_equal(beforehand.values, on_the_way.values)
    one, other = sample_visibilities(written.path), sample_visibilities(scan.ms, calibration)
    assert one.column == other.column == "CORRECTED_DATA"
    assert np.array_equal(one.values, other.values, equal_nan=True)


def test_a_look_says_what_applying_would(scan: Scan, calibrated: dict[str, Any]) -> None:
    told = look(scan.ms, Calibration(flags=scan.flags, tables=scan.folder / "set"))
    written = {"flag_fraction", "corrected_median_amplitude_jy", "wall_seconds"}
    assert {**told, "wall_seconds": 0} == {
        name: value for name, value in calibrated.items() if name not in written
    } | {"wall_seconds": 0}


def test_the_beam_of_a_set_goes_with_what_it_calibrates(
    scan: Scan, solved: dict[str, Any], tmp_path: Path
) -> None:
    """A set that was solved with another pattern says so, and its target is seen through that, clones too."""
    assert solved["beam"]["used"] == ASSUMED.as_json()
    assert len(solved["beam"]["dishes"]) == len(TINY.stations)
    radii = np.linspace(0, 0.15, 300)
    narrow = airy_power(1.1 * np.sin(radii), 1.405e9)[None]
    beam = Beam(Pattern("a narrow one", np.array([1.405e9]), radii, narrow))
    places = scan.ms, scan.flags, tmp_path / "set"
    told = solve(*places, CalibrationOptions(), group=KEY, calibrator=CALIBRATOR, beam=beam)
    assert told["beam"]["used"]["version"] == "a narrow one"
    calibration = Calibration(flags=scan.flags, tables=tmp_path / "set")
    apply(scan.ms, calibration, tmp_path / "out.ms")
    clone_tree(tmp_path / "out.ms", tmp_path / "clone.ms")
    shape = read_shape(tmp_path / "clone.ms")
    assert shape.beam.version == "a narrow one"
    assert shape.beam.half_power_radius(1.405e9) == pytest.approx(half_power_radius(1.405e9) / 1.1, rel=2e-3)
    assert scan.shape.beam == ASSUMED


def _chi_squared(averaged: Path, delays: Path, band: Path) -> float:
    """Σ w |V − g g*|² of the averaged data that both tables have solutions for."""
    from casacore.tables import table

    with table(str(averaged), ack=False) as main:
        data, weights, flags = (main.getcol(name) for name in ("DATA", "WEIGHT_SPECTRUM", "FLAG"))
        one, two = main.getcol("ANTENNA1"), main.getcol("ANTENNA2")
    with table(f"{band}::SPECTRAL_WINDOW", ack=False) as window:
        frequencies = window.getcell("CHAN_FREQ", 0)
    with table(f"{delays}::SPECTRAL_WINDOW", ack=False) as window:
        middle = window.getcell("CHAN_FREQ", 0)
    known, solved = read_table(delays), read_table(band)
    gains = np.where(solved.flags, 0, solved.values) * delay_factors(
        known.values[:, 0].real, frequencies - middle
    )
    product = gains[one] * gains[two].conj()
    used = ~flags & (np.abs(product) > 0)
    return float(np.sum(weights * np.abs(data - product) ** 2, where=used, dtype=np.float64))


@pytest.fixture(scope="module")
def averaged(scan: Scan) -> Path:
    """The scan's sums as a Measurement Set for CASA's tasks."""
    sums = sum_scan(scan.shape, scan.flags, [CALIBRATOR, *visible_sources(scan.shape, FIELD)], 1)
    write_averaged(scan.shape, sums, scan.folder / "averaged.ms")
    return scan.folder / "averaged.ms"


def _casa(averaged: Path, reference: str) -> dict[str, Any]:
    """What CASA's tasks are told alike."""
    casa.load_tools()
    return {"vis": str(averaged), "refant": reference, "minsnr": 3.0, "minblperant": 4, "parang": False}


def test_casa_finds_the_same_bandpass(scan: Scan, solved: dict[str, Any], averaged: Path) -> None:
    """The same solutions are flagged; gains differ by a tenth of their errors, and χ² is not CASA's or less.

    CASA ends its iterations earlier.  CASA's gaincal takes our tables, and finds nothing left to do.
    """
    shared, tables = _casa(averaged, solved["refant"]), scan.folder / "set"
    from casatasks import bandpass, gaincal

    theirs, ours, delays = scan.folder / "theirs.B", tables / "B.cal", tables / "K.cal"
    bandpass(
        caltable=str(theirs), bandtype="B", solint="inf", solnorm=False, gaintable=[str(delays)], **shared
    )
    one, other = read_table(theirs), read_table(ours)
    assert np.mean(one.flags != other.flags) < 1e-3
    both = ~one.flags & ~other.flags
    assert both.mean() > 0.15
    # What the transit tells of the beam is in the set's amplitudes, and not in CASA's.
    scale = np.median(np.abs(other.values[both] / one.values[both]))
    difference = np.abs(other.values / scale - one.values)[both] * one.snr[both] / np.abs(one.values[both])
    assert scale == pytest.approx(1.0, abs=3e-3)
    assert np.sqrt(np.mean(difference**2)) < 0.2
    assert np.median(other.snr[both] / one.snr[both]) == pytest.approx(1.0, abs=0.05)
    assert _chi_squared(averaged, delays, ours) <= _chi_squared(averaged, delays, theirs) * (1 + 1e-5)
    rest = scan.folder / "rest.G"
    gaincal(caltable=str(rest), gaintype="G", solint="inf", gaintable=[str(delays), str(ours)], **shared)
    left = read_table(rest)
    assert np.abs(left.values[~left.flags]) == pytest.approx(1.0, abs=5e-3)


def test_casa_finds_the_same_delays(scan: Scan, solved: dict[str, Any], averaged: Path) -> None:
    """CASA looks at the baselines to the reference antenna alone: the difference is noise, and ripples."""
    shared = _casa(averaged, solved["refant"])
    from casatasks import gaincal

    theirs = scan.folder / "theirs.K"
    gaincal(caltable=str(theirs), gaintype="K", solint="inf", **shared)
    one, other = read_table(theirs), read_table(scan.folder / "set" / "K.cal")
    assert np.array_equal(one.flags, other.flags)
    assert np.std((one.values - other.values)[~one.flags]) < 0.3


def test_casa_finds_the_same_gains_of_intervals(scan: Scan, solved: dict[str, Any], tmp_path: Path) -> None:
    """Amplitudes and phases of two intervals differ by a fifth of their errors, and S/N by a tenth."""
    reference = solved["refant"]
    scan.solve(
        "halves",
        gain_interval_s=TINY.n_integrations * telescope.INTEGRATION_S / 2,
        reference_antenna=reference,
    )
    tables = scan.folder / "halves"
    sums = sum_scan(scan.shape, scan.flags, [CALIBRATOR, *visible_sources(scan.shape, FIELD)], 2)
    write_averaged(scan.shape, sums, tmp_path / "halves.ms")
    shared = _casa(tmp_path / "halves.ms", reference)
    from casacore.tables import table
    from casatasks import gaincal

    before = [str(tables / "K.cal"), str(tables / "B.cal")]
    gaincal(caltable=str(tmp_path / "theirs.G"), gaintype="G", solint="int", gaintable=before, **shared)
    found = []
    for path in (tmp_path / "theirs.G", tables / "G.cal"):
        with table(str(path), ack=False) as rows:
            order = np.lexsort([rows.getcol("ANTENNA1"), rows.getcol("TIME")])
            found.append([rows.getcol(name)[order] for name in ("CPARAM", "FLAG", "SNR", "TIME", "ANTENNA2")])
    (theirs, lost, their_snr, their_times, their_reference), (ours, flags, snr, times, ours_reference) = found
    assert np.array_equal(lost, flags)
    assert times == pytest.approx(their_times, abs=0.1)
    assert set(ours_reference) == set(their_reference)
    good = ~flags
    assert np.median(snr[good] / their_snr[good]) == pytest.approx(1.0, abs=0.1)
    scale = np.median(np.abs(ours[good] / theirs[good]))
    assert scale == pytest.approx(1.0, abs=3e-3)
    assert np.sqrt(np.mean((np.abs(ours[good] / scale - theirs[good]) * their_snr[good]) ** 2)) < 0.3
