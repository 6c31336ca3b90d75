"""Two simulators that share no code, held against each other and against plain sums."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_assets.radio.sky import Source as OtherSource
from contimg_assets.radio.uvh5 import check_data, read_header
from contimg_assets.simulation import presets as other_presets
from contimg_assets.simulation.independent import geometry, group, instrument
from contimg_assets.simulation.independent.instrument import SIZES
from contimg_assets.simulation.independent.options import (
    AtmosphereOptions,
    BeamOptions,
    GainOptions,
    Options,
)
from contimg_assets.simulation.independent.scene import Observation, Scene
from contimg_assets.simulation.independent.sky import Source
from contimg_assets.simulation.observation import Observation as OtherObservation
from contimg_assets.simulation.observation import simulate as other_simulate
from contimg_assets_tests.simulation.skies import (
    DECLINATION_RAD,
    FEW,
    START,
    centre,
    perfect,
    scene,
    source_at,
)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same three points by both simulators: no noise, no gains, no averaging."""
    return _by_both(tmp_path_factory, smearing=False)


def _by_both(tmp_path_factory: pytest.TempPathFactory, *, smearing: bool) -> tuple[Path, Path]:
    """Folders of the quick simulator and of the independent one."""
    ra, dec = centre()
    points = [(ra + 1.2, dec - 0.8, 1.0), (ra - 0.5, dec + 1.9, 2.0), (ra, dec, 3.0)]
    folders = tmp_path_factory.mktemp("other"), tmp_path_factory.mktemp("independent")
    theirs = [OtherSource(f"S{k}", *p, -0.7) for k, p in enumerate(points)]
    preset, corruption = other_presets.PRESETS["tiny"], other_presets.PERFECT
    other = OtherObservation(preset, START, DECLINATION_RAD, theirs, corruption, smearing=smearing)
    other_simulate(other, folders[0])
    ours = [Source(f"S{k}", *p, -0.7) for k, p in enumerate(points)]
    options = Options(noise=False, smearing=smearing, tolerance_jy=1e-6)
    group.simulate(Observation(SIZES["tiny"], START, DECLINATION_RAD, ours, options), folders[1])
    return folders


@pytest.mark.parametrize("subband", [0, 7, 15])
def test_both_simulators_give_the_same_visibilities(both: tuple[Path, Path], subband: int) -> None:
    """Geometry by astropy's HADec and by ERFA's azimuths, beam by Bessel function and by aperture: one sky.

    The phases of 1 km at 20 cm turn by 5 rad an arcminute, so 1e-4 rad is a milliarcsecond.  Measured:
    2e-6 of the sum of flux densities, which is float32's rounding.
    """
    with (
        h5py.File(next(both[0].glob(f"*_sb{subband:02d}.hdf5"))) as theirs,
        h5py.File(next(both[1].glob(f"*_sb{subband:02d}.hdf5"))) as ours,
    ):
        for name in ("ant_1_array", "ant_2_array", "time_array", "freq_array", "polarization_array"):
            assert np.array_equal(theirs[f"Header/{name}"][()], ours[f"Header/{name}"][()]), name
        for name in ("uvw_array", "antenna_positions"):
            assert np.allclose(theirs[f"Header/{name}"][()], ours[f"Header/{name}"][()], rtol=0, atol=1e-6)
        assert theirs["Header"].keys() == ours["Header"].keys()
        assert theirs["Header/extra_keywords"].keys() == ours["Header/extra_keywords"].keys()
        one, two = theirs["Data/visdata"][()], ours["Data/visdata"][()]
    assert np.abs(one).max() > 3
    assert np.abs(one - two).max() < 1e-5 * 6.0


def test_both_simulators_average_alike(tmp_path_factory: pytest.TempPathFactory) -> None:
    """By formula and by nodes: to 1e-3 Jy, where averaging takes a hundred times that.

    The formula leaves out that a source's flux density has a slope within a channel, here of 2.9 MHz.
    """
    folders = _by_both(tmp_path_factory, smearing=True)
    data = []
    for folder in folders:
        with h5py.File(next(folder.glob("*_sb07.hdf5"))) as file:
            data.append(file["Data/visdata"][()])
    assert np.abs(data[0] - data[1]).max() < 2e-3


def test_the_pipeline_reads_the_files(both: tuple[Path, Path]) -> None:
    """Header and data of every subband pass the pipeline's own scrutiny."""
    files = sorted(both[1].glob("*.hdf5"))
    assert len(files) == 16
    for path in files:
        header = read_header(path)
        assert header.group_key == "2025-06-01T12:00:00"
        assert header.n_antennas == 24
        check_data(path, header)


def test_compiled_sums_are_plain_sums() -> None:
    """Every baseline and channel against numpy in double precision, with all that bends a phase or a beam.

    The plain average takes 16 × 16 moments and frequencies; ours may err by the tolerance for each source,
    and by float32's rounding of the sum.
    """
    options = perfect(
        beam=BeamOptions(
            pointing_rms_deg=0.2, width_scatter=0.05, feed_ellipticity=0.05, feed_squint_deg=0.1
        ),
        gains=GainOptions(position_error_m=0.01),
        atmosphere=AtmosphereOptions(refractivity=2.8e-4),
        tolerance_jy=1e-6,
    )
    sources = [source_at(1.1, -0.8, 2.0), source_at(-0.4, 2.0, 1.0, polarisation=0.1, spectral_index=-0.8)]
    made = scene(sources, options)
    frequencies = instrument.subband_hz(7, FEW.n_channels)
    found = group.simulate_subband(made, 7)[0][1]
    for feed in (0, 1):
        expected = _plain(made, sources, 1, feed, frequencies)
        assert np.abs(found[..., feed] - expected).max() < 2e-6 * 3


def _plain(
    made: Scene, sources: list[Source], integration: int, feed: int, frequencies: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Mean over moments and frequencies of Σ S E₁E₂ exp(2πi (delay₂ − delay₁) ν).

    Shape (n_baselines, n_channels).
    """
    node, weight = np.polynomial.legendre.leggauss(16)
    after = node * instrument.INTEGRATION_S / 2
    ra, dec = np.deg2rad([[getattr(s, k) for s in sources] for k in ("ra_deg", "dec_deg")])
    time = made.times_jd[integration : integration + 1]
    total = np.zeros((len(made.one), len(frequencies)), complex)
    for moment, w_time in zip(after, weight / 2, strict=True):
        where = geometry.directions(time, np.array([moment]), ra, dec)[0, 0]
        seen = geometry.lifted(where, made.array.refractivity)
        stopped = made.array.nominal_m @ geometry.tracked(DECLINATION_RAD, np.array([moment]))[0]
        path = made.array.true_m @ where.T - stopped[:, None]
        path = path + geometry.air_path(made.array.true_m, where, made.array.refractivity)
        for c, frequency in enumerate(frequencies):
            inside = frequency + node * instrument.channel_width_hz(FEW.n_channels) / 2
            beam = made.array.dishes.voltages(feed, DECLINATION_RAD, seen, inside)
            part = [1 + (1 - 2 * feed) * s.polarisation for s in sources]
            beam = beam * np.sqrt(np.array([s.flux(inside) for s in sources]) * np.array(part)[:, None])
            voltage = beam * np.exp(2j * np.pi * path[..., None] / 299792458.0 * inside)
            product = np.conj(voltage[made.one]) * voltage[made.two]
            total[:, c] += w_time * (product.sum(axis=1) @ weight / 2)
    return total


def test_smearing_is_the_sinc_of_what_turns() -> None:
    """A point 1° from the axis: amplitude on each baseline is sinc(turns in time) · sinc(turns in frequency).

    The rates are finite differences of the delays.  The beam changes by 1 % in an integration, of which
    the mean feels the square.
    """
    source = source_at(1.0, 0.3)
    smeared = scene([source], perfect())
    still = scene([source], perfect(smearing=False))
    ratio = np.abs(group.simulate_subband(smeared, 7)[0][1, :, 0, 0]) / np.abs(
        group.simulate_subband(still, 7)[0][1, :, 0, 0]
    )
    ra, dec = np.deg2rad([source.ra_deg]), np.deg2rad([source.dec_deg])
    seconds = np.array([-1.0, 1.0])
    where = geometry.directions(still.times_jd[1:2], seconds, ra, dec)[0, :, 0]
    path = still.array.nominal_m @ (where - geometry.tracked(DECLINATION_RAD, seconds)).T / 299792458.0
    delay = path[still.two] - path[still.one]
    frequency = instrument.subband_hz(7, FEW.n_channels)[0]
    in_time = (delay[:, 1] - delay[:, 0]) / 2.0 * frequency * instrument.INTEGRATION_S
    in_frequency = delay.mean(axis=1) * instrument.channel_width_hz(FEW.n_channels)
    expected = np.sinc(in_time) * np.sinc(in_frequency)
    assert expected.min() < 0.95
    assert np.abs(ratio - expected).max() < 3e-4


def test_noise_is_the_radiometers() -> None:
    """Real and imaginary parts of cross-correlations, and the mean and scatter of autocorrelations.

    10 000 samples and more: the scatter is known to 1 %, tolerances are four times that.
    """
    size = instrument.Size(tuple(range(24, 52)), 4, 8)
    made = scene([], Options(), size)
    data = group.simulate_subband(made, 3)[0]
    cross = made.one != made.two
    sigma = 6500.0 / np.sqrt(2 * 187.5e6 / 16 / 8 * 12.884901888)
    for part in (data[:, cross].real, data[:, cross].imag):
        assert abs(part.std() / sigma - 1) < 0.02
        assert abs(part.mean()) < 4 * sigma / np.sqrt(part.size)
    autos = data[:, ~cross]
    assert not autos.imag.any()
    assert abs(autos.real.mean() / 6500.0 - 1) < 1e-3
    assert abs(autos.real.std() / (np.sqrt(2) * sigma) - 1) < 0.08
    again = group.simulate_subband(made, 4)[0]
    correlation = np.corrcoef(data[:, cross].real.ravel(), again[:, cross].real.ravel())[0, 1]
    assert abs(correlation) < 4 / np.sqrt(data[:, cross].size)
