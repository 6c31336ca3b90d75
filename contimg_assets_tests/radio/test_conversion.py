"""From files to a Measurement Set: the visibilities, their axes, and who can read them."""

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from numpy.typing import NDArray

from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.conversion.convert import convert
from contimg_assets.radio.errors import ConversionError, GroupError
from contimg_assets.radio.sky import Source
from contimg_assets.simulation.observation import simulate
from contimg_assets.simulation.presets import PERFECT, Corruption, Preset
from contimg_assets_tests.radio.independent import LIGHT, apparent_flux, direction_cosines, erfa_vectors
from contimg_assets_tests.radio.skies import START, TINY, around, centre_of, observe

pytestmark = [
    pytest.mark.usefixtures("casa_data"),
    # pyuvdata announces what the conversion does on purpose.
    pytest.mark.filterwarnings("ignore:Recalculating uvw_array:UserWarning"),
]

MISSING = (3, 12)
SMALL = Preset((1, 24, 51, 76, 102, 114), 3, 4)


@dataclass(frozen=True)
class Converted:
    """A Measurement Set, the columns that tests look at, and what went in."""

    ms: Path
    files: list[Path]
    sources: list[Source]
    declination_rad: float
    result: dict[str, Any]
    columns: dict[str, Any]
    frequencies: NDArray[np.float64]
    centre: tuple[float, float]
    positions: NDArray[np.float64]

    @property
    def times_jd(self) -> NDArray[np.float64]:
        """Of each row."""
        return self.columns["TIME"] / 86400.0 + 2400000.5


def load(
    ms: Path, files: list[Path], sources: list[Source], dec_deg: float, result: dict[str, Any]
) -> Converted:
    from casacore.tables import table

    names = ("TIME", "ANTENNA1", "ANTENNA2", "UVW", "DATA", "FLAG", "WEIGHT", "WEIGHT_SPECTRUM", "INTERVAL")
    with table(str(ms), ack=False) as main:
        columns = {name: main.getcol(name) for name in names}
    with table(f"{ms}::SPECTRAL_WINDOW", ack=False) as window:
        frequencies = window.getcol("CHAN_FREQ")
        assert len(frequencies) == 1
    with table(f"{ms}::FIELD", ack=False) as field:
        ra, dec = field.getcol("PHASE_DIR")[0, 0]
        assert field.nrows() == 1
    with table(f"{ms}::ANTENNA", ack=False) as antennas:
        positions = antennas.getcol("POSITION")
    return Converted(
        ms,
        files,
        sources,
        float(np.deg2rad(dec_deg)),
        result,
        columns,
        frequencies[0],
        (float(ra), float(dec)),
        positions,
    )


@pytest.fixture(scope="module", params=[16.27, 54.57], ids=["south of the zenith", "north of the zenith"])
def perfect(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """A group without noise or gains, two subbands missing; sources all over the beam."""
    folder = tmp_path_factory.mktemp("perfect")
    offsets = [
        (0.0, 0.0, 1.0),
        (1.2, 0.9, 3.0, -0.7),
        (-1.4, 0.3, 2.0, -1.1),
        (0.2, -1.5, 4.0, 0.4),
        (-0.6, 0.7, 1.5, -0.8),
    ]
    sources = around(START, request.param, offsets)
    corruption = replace(PERFECT, missing_subbands=MISSING)
    observation = observe(sources, request.param, corruption, smearing=False)
    simulate(observation, folder / "in")
    files = sorted((folder / "in").glob("*.hdf5"))
    result = convert(files, folder / "out.ms")
    return load(folder / "out.ms", files, sources, request.param, result)


def present(group: Converted) -> NDArray[np.bool_]:
    """Channels of subbands that are there: subband 15 is the lowest in frequency."""
    by_subband = np.array([k not in MISSING for k in reversed(range(telescope.N_SUBBANDS))])
    return np.repeat(by_subband, len(group.frequencies) // telescope.N_SUBBANDS)


def test_data_are_those_of_sources_at_their_icrs_positions(perfect: Converted) -> None:
    """DATA = Σ S A(t, ν) exp(+2πi (ul + vm + w(n−1))/λ) with the set's own uvw and centre.

    l and m are the ICRS ones times the aberration scale, since uvw follow the centre's apparent
    place.  This is what an imager assumes, so it images sources at their true positions.
    Tolerance 0.6 % of the flux density: aberration's second order moves a source 1.5° off by 8 mas
    against a fringe of 17″, which is 0.3 % in phase.  A wrong sign, a missing re-phasing, 13″ of
    nutation, all give errors of 100 %.
    """
    times = np.unique(perfect.times_jd)
    scale = phasing.aberration_scale(float(times.mean()), *perfect.centre)
    which = np.searchsorted(times, perfect.times_jd)
    uvw = perfect.columns["UVW"]
    expected = np.zeros((len(uvw), len(perfect.frequencies)), complex)
    for source in perfect.sources:
        l, m = scale * np.array(direction_cosines(source, perfect.centre))
        path = uvw @ [l, m, np.sqrt(1 - l**2 - m**2) - 1]
        flux = apparent_flux(times, perfect.declination_rad, source, perfect.frequencies)
        expected += flux[which] * np.exp(2j * np.pi * path[:, None] * perfect.frequencies / LIGHT)
    total = sum(source.flux_jy for source in perfect.sources)
    error = np.abs(perfect.columns["DATA"] - expected[..., None])[:, present(perfect)]
    assert error.max() < 0.006 * total


def test_data_are_those_of_erfa_s_directions(perfect: Converted) -> None:
    """The same without any approximation: ERFA's direction of every source at every integration.

    Baseline vectors come from the ANTENNA table.  5e-4 of the flux density is 0.03° of phase for
    a geometry that pyuvdata computed by itself, and rounding of complex64 twice over.
    """
    times = np.unique(perfect.times_jd)
    which = np.searchsorted(times, perfect.times_jd)
    longitude = telescope.SITE_LONGITUDE_RAD
    turn = np.array(
        [[np.cos(longitude), np.sin(longitude), 0], [-np.sin(longitude), np.cos(longitude), 0], [0, 0, 1]]
    )
    position = perfect.positions @ turn.T
    # The sign of the set: exp(+2πi b·s) with b the difference that UVW has.
    towards = erfa_vectors(times, *(np.array([c]) for c in perfect.centre))[:, 0]
    baseline = position[perfect.columns["ANTENNA2"]] - position[perfect.columns["ANTENNA1"]]
    w = np.einsum("ri,ri->r", baseline, towards[which])
    sign = float(np.sign(np.sum(w * perfect.columns["UVW"][:, 2])))
    assert np.abs(sign * w - perfect.columns["UVW"][:, 2]).max() < 0.05e-3
    expected = np.zeros((len(baseline), len(perfect.frequencies)), complex)
    for source in perfect.sources:
        seen = erfa_vectors(times, np.deg2rad([source.ra_deg]), np.deg2rad([source.dec_deg]))[:, 0]
        path = sign * np.einsum("ri,ri->r", baseline, (seen - towards)[which])
        flux = apparent_flux(times, perfect.declination_rad, source, perfect.frequencies)
        expected += flux[which] * np.exp(2j * np.pi * path[:, None] * perfect.frequencies / LIGHT)
    total = sum(source.flux_jy for source in perfect.sources)
    error = np.abs(perfect.columns["DATA"] - expected[..., None])[:, present(perfect)]
    assert error.max() < 5e-4 * total


def test_frequencies_ascend_without_a_gap_over_missing_subbands(perfect: Converted) -> None:
    """One spectral window over the whole band, each subband where the correlator had it.

    1 Hz of 1.4 GHz is float64 rounding of the file's frequencies, a millionth of a channel.
    """
    assert np.abs(perfect.frequencies - telescope.band_frequencies(TINY.n_channels)).max() < 1.0
    assert np.all(np.diff(perfect.frequencies) > 0)
    assert perfect.result["missing_subbands"] == list(MISSING)


def test_missing_subbands_are_flagged_whole_and_nothing_else_is(perfect: Converted) -> None:
    """FLAG is set over the true frequencies of what is missing, where data and weights are zero."""
    there = present(perfect)
    flags = perfect.columns["FLAG"]
    assert flags[:, ~there].all()
    assert not flags[:, there].any()
    assert not perfect.columns["DATA"][:, ~there].any()
    low, high = telescope.subband_frequencies(3, TINY.n_channels)[[-1, 0]]
    gone = perfect.frequencies[~there]
    assert np.count_nonzero((gone > low - 1) & (gone < high + 1)) == TINY.n_channels


def test_weights_count_samples(perfect: Converted) -> None:
    """WEIGHT_SPECTRUM is the file's nsamples, zero where there is no file; WEIGHT its middle value."""
    there = present(perfect)
    spectrum = perfect.columns["WEIGHT_SPECTRUM"]
    assert np.all(spectrum[:, there] == telescope.SAMPLES_PER_INTEGRATION)
    assert np.all(spectrum[:, ~there] == 0)
    assert np.all(perfect.columns["WEIGHT"] == telescope.SAMPLES_PER_INTEGRATION)


def test_autocorrelations_are_kept(perfect: Converted) -> None:
    """One a time and antenna, real, with the sum of the flux densities and no phase (1e-6: complex64)."""
    same = perfect.columns["ANTENNA1"] == perfect.columns["ANTENNA2"]
    assert np.count_nonzero(same) == len(TINY.stations) * TINY.n_integrations
    autos = perfect.columns["DATA"][same][:, present(perfect)]
    assert np.all(autos.real > 0)
    assert np.abs(autos.imag).max() < 1e-6 * autos.real.max()
    times = np.unique(perfect.times_jd)
    total = sum(
        apparent_flux(times, perfect.declination_rad, s, perfect.frequencies) for s in perfect.sources
    )
    of_row = np.asarray(total)[np.searchsorted(times, perfect.times_jd[same])][:, present(perfect)]
    assert np.abs(autos.real / of_row[..., None] - 1).max() < 1e-5


def test_times_are_those_of_the_files(perfect: Converted) -> None:
    """TIME is the file's time_array, to the 40 µs that a Julian date in float64 resolves."""
    with h5py.File(perfect.files[0]) as file:
        times = np.unique(np.asarray(file["Header/time_array"]))
    assert np.abs(np.unique(perfect.columns["TIME"]) / 86400.0 + 2400000.5 - times).max() * 86400 < 1e-4
    assert np.all(perfect.columns["INTERVAL"] == telescope.INTEGRATION_S)
    assert perfect.result["n_integrations"] == TINY.n_integrations
    assert perfect.result["group"] == START.strftime("%Y-%m-%dT%H:%M:%S")


def test_the_set_says_which_telescope_pointed_where(perfect: Converted) -> None:
    """TELESCOPE_NAME, the stations' names and places, the pointing, the span of time, the history."""
    from casacore.tables import table

    with table(f"{perfect.ms}::OBSERVATION", ack=False) as observation:
        assert observation.getcol("TELESCOPE_NAME") == ["DSA_110"]
        span = observation.getcell("TIME_RANGE", 0)
    length = TINY.n_integrations * telescope.INTEGRATION_S
    assert span[1] - span[0] == pytest.approx(length, abs=1e-3)
    assert span[0] == pytest.approx(START.mjd * 86400, abs=1e-3)
    with table(f"{perfect.ms}::ANTENNA", ack=False) as antennas:
        assert antennas.getcol("NAME") == [str(n) for n in range(1, 118)]
        assert np.all(antennas.getcol("DISH_DIAMETER") == 4.65)
    # A micrometre: the sum of site and offset in float64.
    assert np.abs(perfect.positions - telescope.site_ecef() - telescope.stations().positions).max() < 1e-6
    with table(f"{perfect.ms}::POINTING", ack=False) as pointing:
        azimuth, elevation = pointing.getcell("DIRECTION", 0)[0]
    assert phasing.declination_of_elevation(azimuth, elevation) == pytest.approx(perfect.declination_rad)
    with table(f"{perfect.ms}::HISTORY", ack=False) as history:
        text = " ".join(history.getcol("MESSAGE"))
    assert all(path.name in text for path in perfect.files)
    assert str(list(MISSING)) in text


def test_the_centre_is_the_meridian_point_at_mid_group(perfect: Converted) -> None:
    """The ICRS position that transits in the middle of the group (1e-9 rad: 0.2 mas)."""
    expected = centre_of(START, float(np.rad2deg(perfect.declination_rad)))
    assert perfect.centre == pytest.approx(expected, abs=1e-9)


def test_casa_lists_the_set(perfect: Converted, tmp_path: Path) -> None:
    """CASA's listobs, with our configuration, reads the set and knows the telescope."""
    from casatasks import listobs

    report = tmp_path / "listobs.txt"
    listobs(vis=str(perfect.ms), listfile=str(report), verbose=True)
    text = report.read_text()
    assert "DSA_110" in text
    assert "ICRS" in text
    assert str(len(perfect.frequencies)) in text


@pytest.mark.filterwarnings("ignore::UserWarning:pyuvdata")
def test_pyuvdata_reads_the_set_back(perfect: Converted) -> None:
    """With its checks on: consistent axes, the centre, the antennas and the flags."""
    from pyuvdata import UVData

    uvd = UVData.from_file(str(perfect.ms), file_type="ms")
    assert uvd.telescope.name == "DSA_110"
    assert uvd.Nants_data == len(TINY.stations)
    assert np.abs(uvd.freq_array - perfect.frequencies).max() < 1.0
    (centre,) = uvd.phase_center_catalog.values()
    assert (centre["cat_lon"], centre["cat_lat"]) == pytest.approx(perfect.centre, abs=1e-12)
    assert centre["cat_frame"] == "icrs"
    assert np.mean(uvd.flag_array) == len(MISSING) / telescope.N_SUBBANDS


# -- one source, imaged by others ------------------------------------------------------------

CELL_ARCSEC = 5.0
N_PIXELS = 1200
#: Pointing, and the pixel of the source.
DECLINATIONS = [(16.27, 1010, 350), (54.57, 470, 1020)]


@dataclass(frozen=True)
class OneSource:
    """A Measurement Set of one source, which falls on the middle of a pixel."""

    ms: Path
    source: Source
    pixel: tuple[int, int]
    """Zero-based x, y in an image of ``N_PIXELS`` by ``CELL_ARCSEC``."""
    mean_flux_jy: float
    """Through the drifting beam, averaged over time and band."""


@pytest.fixture(scope="module", params=DECLINATIONS, ids=["+16.27", "+54.57"])
def one_source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OneSource:
    """A 2 Jy source about 0.65° off, on a pixel of the *apparent* field: aberration is allowed for."""
    dec_deg, x, y = request.param
    folder = tmp_path_factory.mktemp("one")
    centre = centre_of(START, dec_deg)
    middle = START.jd + TINY.n_integrations * telescope.INTEGRATION_S / 2 / 86400.0
    cell = np.deg2rad(CELL_ARCSEC / 3600) / phasing.aberration_scale(middle, *centre)
    l, m = -(x - N_PIXELS // 2) * cell, (y - N_PIXELS // 2) * cell
    n = np.sqrt(1 - l**2 - m**2)
    ra0, dec0 = centre
    ra = ra0 + np.arctan2(l, n * np.cos(dec0) - m * np.sin(dec0))
    dec = np.arcsin(m * np.cos(dec0) + n * np.sin(dec0))
    source = Source("one", float(np.rad2deg(ra)), float(np.rad2deg(dec)), 2.0, -0.7)
    simulate(observe([source], dec_deg, PERFECT, smearing=False), folder)
    convert(sorted(folder.glob("*.hdf5")), folder / "one.ms")
    times = START.jd + (np.arange(TINY.n_integrations) + 0.5) * telescope.INTEGRATION_S / 86400
    flux = apparent_flux(times, np.deg2rad(dec_deg), source, telescope.band_frequencies(TINY.n_channels))
    return OneSource(folder / "one.ms", source, (x, y), float(flux.mean()))


def peak_of(image: NDArray[np.float32]) -> tuple[float, float, float]:
    """x, y and value of the highest pixel, the place refined by a parabola on either axis."""
    y, x = np.unravel_index(np.argmax(image), image.shape)

    def vertex(left: float, middle: float, right: float) -> float:
        return 0.5 * (left - right) / (left - 2 * middle + right)

    return (
        float(x + vertex(*image[y, x - 1 : x + 2])),
        float(y + vertex(*image[y - 1 : y + 2, x])),
        float(image[y, x]),
    )


def test_wsclean_images_the_source_where_and_as_bright_as_it_is(
    one_source: OneSource, tmp_path: Path
) -> None:
    """WSClean's dirty image straight from our set: position to 0.1″, flux density to 0.2 %.

    Natural weights, so the peak is the mean over time and band of the source through the
    drifting beam.  The beam is 70″ wide: an error of 0.05 % of the flux density across a pixel,
    which is what gridding makes, moves its top by 0.02 pixels.
    """
    subprocess.run(
        [
            *("wsclean", "-quiet", "-j", "2", "-use-wgridder", "-niter", "0", "-weight", "natural"),
            *("-size", str(N_PIXELS), str(N_PIXELS), "-scale", f"{CELL_ARCSEC}asec"),
            *("-data-column", "DATA", "-no-update-model-required", "-name", str(tmp_path / "one")),
            str(one_source.ms),
        ],
        check=True,
        cwd=tmp_path,
    )
    x, y, peak = peak_of(fits.getdata(tmp_path / "one-dirty.fits")[0, 0])
    assert (x, y) == pytest.approx(one_source.pixel, abs=0.02)
    assert peak == pytest.approx(one_source.mean_flux_jy, rel=2e-3)


@pytest.mark.parametrize("one_source", [DECLINATIONS[1]], indirect=True, ids=["+54.57"])
def test_casa_images_the_source_where_and_as_bright_as_it_is(one_source: OneSource, tmp_path: Path) -> None:
    """The same from tclean: the position to 0.2 pixels (1″ of a beam of 70″) and the flux density to 1 %.

    Looser, since CASA's w-projection grids with a tabulated kernel, to 0.5 % across a pixel.
    """
    from casatasks import tclean
    from casatools import image

    name = tmp_path / "one"
    tclean(
        vis=str(one_source.ms),
        imagename=str(name),
        imsize=[N_PIXELS, N_PIXELS],
        cell=f"{CELL_ARCSEC}arcsec",
        gridder="wproject",
        wprojplanes=16,
        weighting="natural",
        pblimit=-1e-6,
        niter=0,
        datacolumn="data",
    )
    tool = image()
    tool.open(str(name) + ".residual")
    pixels = tool.getchunk()[:, :, 0, 0].T
    tool.close()
    x, y, peak = peak_of(pixels)
    assert (x, y) == pytest.approx(one_source.pixel, abs=0.2)
    assert peak == pytest.approx(one_source.mean_flux_jy, rel=0.01)


# -- groups of other shapes, and groups that are refused -------------------------------------


def small_group(folder: Path, preset: Preset = SMALL, start: Time = START, **options: Any) -> list[Path]:
    """A few antennas: for tests of axes and refusals."""
    corruption = options.pop("corruption", Corruption(rfi=False))
    simulate(
        observe(around(start, 16.27, [(0.3, 0.2, 5.0)], preset), 16.27, corruption, start, preset, **options),
        folder,
    )
    return sorted(folder.glob("*.hdf5"))


def test_four_polarisations_keep_their_order(tmp_path: Path) -> None:
    """A file of XX, XY, YX, YY: each product in its own plane, by amplitudes, which phasing leaves alone.

    Every feed has gains of its own, so a swap shows; 1e-5 is complex64 rounding.
    """
    from casacore.tables import table

    files = small_group(tmp_path / "in", n_polarisations=4)
    convert(files, tmp_path / "four.ms")
    with table(f"{tmp_path / 'four.ms'}::POLARIZATION", ack=False) as polarisation:
        assert polarisation.getcol("CORR_TYPE").tolist() == [[9, 10, 11, 12]]
    with table(str(tmp_path / "four.ms"), ack=False) as main:
        one, two, data = main.getcol("ANTENNA1"), main.getcol("ANTENNA2"), main.getcol("DATA")
    (lowest,) = [path for path in files if path.name.endswith("_sb15.hdf5")]
    with h5py.File(lowest) as file:
        assert np.asarray(file["Header/polarization_array"]).tolist() == [-5, -7, -8, -6]
        written = np.asarray(file["Data/visdata"])[:, 0, ::-1]  # ascending
        first, second = np.asarray(file["Header/ant_1_array"]), np.asarray(file["Header/ant_2_array"])
    n_baselines = len(SMALL.stations) * (len(SMALL.stations) + 1) // 2
    place = {(int(first[k]), int(second[k])): k for k in range(n_baselines)}
    for row in range(n_baselines):
        pair = int(one[row]), int(two[row])
        # A baseline named the other way round has its crossed hands named the other way round.
        planes, pair = ([0, 1, 2, 3], pair) if pair in place else ([0, 2, 1, 3], pair[::-1])
        expected = np.abs(written[place[pair]][:, planes])
        assert np.abs(np.abs(data[row, : SMALL.n_channels]) / expected - 1).max() < 1e-5


@pytest.mark.parametrize("n_integrations", [1, 5])
def test_short_files_are_converted(tmp_path: Path, n_integrations: int) -> None:
    """The last files of a run hold fewer integrations; one is enough."""
    preset = replace(SMALL, n_integrations=n_integrations)
    result = convert(small_group(tmp_path / "in", preset), tmp_path / "short.ms")
    assert result["n_integrations"] == n_integrations
    assert result["n_rows"] == n_integrations * 21


def test_two_groups_are_refused_by_name(tmp_path: Path) -> None:
    """One Measurement Set is one group: the message names both, and nothing is left behind."""
    later = Time(START.jd + 600 / 86400, format="jd", scale="utc")
    files = small_group(tmp_path / "in")
    files = small_group(tmp_path / "in", start=later)
    assert len(files) == 32
    with pytest.raises(GroupError, match="found 2") as raised:
        convert(files, tmp_path / "two.ms")
    for start in (START, later):
        assert start.strftime("%Y-%m-%dT%H:%M") in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_bad_file_is_left_out_and_told(tmp_path: Path) -> None:
    """One subband is NaN: the group goes on without it, and the result names file and reason."""
    files = small_group(tmp_path / "in")
    (bad,) = [path for path in files if path.name.endswith("_sb05.hdf5")]
    with h5py.File(bad, "r+") as file:
        file["Data/visdata"][...] = np.nan  # type: ignore[index]
    result = convert(files, tmp_path / "fifteen.ms")
    assert result["missing_subbands"] == [5]
    (told,) = result["refused_files"]
    assert told.startswith(bad.name)
    assert "NaN" in told


def test_too_few_subbands_are_refused_by_reason(tmp_path: Path) -> None:
    """Eleven of sixteen are no group: the message says how many there are and are needed."""
    with pytest.raises(GroupError, match=r"11 of 16 subbands, at least 12 are needed"):
        convert(small_group(tmp_path / "in")[:11], tmp_path / "few.ms")


def test_a_set_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    """A name that is taken is refused, and what is there stays."""
    (tmp_path / "there.ms").mkdir()
    (tmp_path / "there.ms" / "precious").touch()
    with pytest.raises(ConversionError, match="exists"):
        convert(small_group(tmp_path / "in"), tmp_path / "there.ms")
    assert (tmp_path / "there.ms" / "precious").exists()
