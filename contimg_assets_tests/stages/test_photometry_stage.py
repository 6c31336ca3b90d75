"""The stage photometry, from an image's folder to its file of measurements."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from astropy.wcs import WCS
from click.testing import CliRunner

from contimg_assets.cli.stages import photometry
from contimg_assets.radio.catalogues.store import install
from contimg_assets.radio.images.fits import celestial_wcs
from contimg_assets.radio.images.noise import noise_map
from contimg_assets.radio.light_curves.corrections import SPOILT
from contimg_assets.radio.photometry import injected
from contimg_assets.radio.photometry.flags import Flag
from contimg_assets.radio.photometry.injected import FILE as INJECTED_FILE
from contimg_assets.radio.photometry.table import FILE, read_measurements
from contimg_assets.radio.sky import Source
from contimg_assets.settings import get_settings
from contimg_assets.simulation.catalogue import nvss_line
from contimg_assets.simulation.epochs import EpochField, epochs, write_epoch
from contimg_assets_tests.radio import image_folder
from contimg_assets_tests.radio.epoch_fields import NOISE_JY, beam_of, lattice

N, CELL_ARCSEC, FREQUENCY_HZ = 512, 5.0, 1.4e9
#: On the sky: as many survey sources as there are places but the last two, …
BRIGHT_JY, FAINT_JY = 0.2, 0.004
#: … which no survey has: a new source, and a watched place with nothing in it.
NEW_JY = 0.05
#: Of all sources.
INDEX = 0.4


class Scene:
    """An epoch's products, the survey, the list of detections, and the truth."""

    def __init__(self, folder: Path, home: Path) -> None:
        beam = beam_of(N)
        self.x, self.y = lattice(N, 60, 70)
        n = len(self.x)
        self.jy = np.geomspace(BRIGHT_JY, FAINT_JY, n)
        self.jy[-2:] = NEW_JY, 0.0
        yy, xx = np.mgrid[:N, :N] - N // 2
        power = np.exp(-4 * np.log(2) * np.hypot(xx, yy) ** 2 / (0.8 * N) ** 2)
        made = EpochField(beam.psf, beam.psf, power, NOISE_JY, self.x, self.y, found_sigma=5, left_sigma=1)
        self.response = made.response
        epoch = next(epochs(made, self.jy[None], seed=6))
        header = image_folder.header()
        for axis in (1, 2):
            header[f"CDELT{axis}"] = (-1) ** axis * CELL_ARCSEC / 3600
            header[f"CRPIX{axis}"] = N // 2 + 1
        header["CRVAL3"], header["ABERSCAL"], header["NOISE"] = FREQUENCY_HZ, 1.00008, NOISE_JY
        header["BMAJ"], header["BMIN"] = beam.major * CELL_ARCSEC / 3600, beam.minor * CELL_ARCSEC / 3600
        header["BPA"] = float(np.rad2deg(beam.angle_rad))
        self.image = folder / "image"
        noise = noise_map(epoch.residual, beam.major)
        write_epoch(self.image, "g", made, epoch, header, noise, index=INDEX)
        self.wcs: WCS = celestial_wcs(self._with_shape(header))
        self.ra, self.dec = self.wcs.all_pix2world(self.x, self.y, 0)
        self._write_survey(folder, home / "catalogues")
        self.sources = self._write_detections(folder)
        self.watched = folder / "watched.csv"
        self.watched.write_text(f"name,ra_deg,dec_deg\nnothing,{self.ra[-1]:.7f},{self.dec[-1]:.7f}\n")

    @staticmethod
    def _with_shape(header):
        own = header.copy()
        own["NAXIS"], own["NAXIS1"], own["NAXIS2"], own["NAXIS3"], own["NAXIS4"] = 4, N, N, 1, 1
        return own

    def _write_survey(self, folder: Path, catalogues: Path) -> None:
        listed = [
            Source(f"S{k}", float(self.ra[k]), float(self.dec[k]), float(self.jy[k]))
            for k in range(len(self.x) - 2)
        ]
        path = folder / "nvss.dat"
        path.write_text("".join(f"{nvss_line(source)}\n" for source in listed))
        install(catalogues, path, "nvss")

    def _write_detections(self, folder: Path) -> Path:
        """As ``image_qa`` would list what stands out by ten times the noise, without a mistake."""
        apparent = self.jy * self.response
        seen = apparent > 10 * NOISE_JY
        error = 0.4 * CELL_ARCSEC * beam_of(N).major * NOISE_JY / apparent[seen]
        table = Table(
            {
                "x": self.x[seen],
                "y": self.y[seen],
                "peak_jy_beam": apparent[seen],
                "ra_error_arcsec": error,
                "dec_error_arcsec": error,
            }
        )
        path = folder / "sources.fits"
        table.write(path)
        return path


@pytest.fixture
def scene(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene(tmp_path, home)
    monkeypatch.setenv("CONTIMG_PHOTOMETRY__WATCHED", str(made.watched))
    get_settings.cache_clear()
    return made


def run(scene: Scene, out: Path) -> tuple[dict, pd.DataFrame]:
    told = [str(scene.image), str(scene.sources), str(out), "--group", "2025-06-01T13:55:12", "--json"]
    done = CliRunner().invoke(photometry, told, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.output.splitlines()[-1]), read_measurements(out / FILE).to_pandas()


def test_known_new_and_watched_sources_are_measured(scene: Scene, tmp_path: Path) -> None:
    numbers, rows = run(scene, tmp_path / "out")
    n = len(scene.x)
    kinds = rows["kind"].astype(str)
    assert (numbers["n_watched"], (kinds == "blind").sum(), numbers["n_unmatched"]) == (1, 1, 1)
    assert numbers["n_matched"] == numbers["n_detections"] - 1
    # Survey sources below three times the local noise are left out.
    expected = scene.jy * scene.response > 3.2 * NOISE_JY
    assert numbers["n_survey"] >= expected[: n - 2].sum()
    assert numbers["n_measured"] == len(rows)
    # Each against the truth at its place.
    place = [
        int(np.hypot((scene.ra - ra) * np.cos(np.deg2rad(dec)), scene.dec - dec).argmin())
        for ra, dec in zip(rows["ra_deg"], rows["dec_deg"], strict=True)
    ]
    pulls = (rows["apparent_jy"] - (scene.jy * scene.response)[place]) / rows["apparent_error_jy"]
    assert np.abs(pulls).max() < 4
    assert pulls.std() == pytest.approx(1.0, abs=0.35)
    bright = rows[rows["apparent_jy"] > 12 * rows["apparent_error_jy"]]
    index_pulls = (bright["slope_jy"] - INDEX * bright["apparent_jy"]) / bright["slope_error_jy"]
    assert len(index_pulls) > 20
    assert index_pulls.mean() == pytest.approx(0, abs=4 / np.sqrt(len(index_pulls)))
    assert index_pulls.std() == pytest.approx(1, abs=0.4)
    assert rows.loc[rows["apparent_jy"] < 8 * rows["apparent_error_jy"], "slope_jy"].isna().all()
    assert np.allclose(rows["beam"], scene.response[place], atol=0.01)
    watched = rows[kinds == "watched"].iloc[0]
    assert watched["source"] == "nothing"
    assert Flag.LIMIT in Flag(int(watched["flags"]))
    assert numbers["flux_ratio"] == pytest.approx(1.0, abs=0.02)
    assert numbers["chi_squared_median"] == pytest.approx(1.0, abs=0.4)
    assert rows["mjd"].iloc[0] == pytest.approx(60827.5818, abs=1e-6)


def test_the_same_image_gives_the_same_rows(scene: Scene, tmp_path: Path) -> None:
    _, first = run(scene, tmp_path / "one")
    _, second = run(scene, tmp_path / "two")
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize("missing", ["g.noise.fits", "g.components.fits", "g.residual.fits"])
def test_an_image_that_lacks_a_product_is_refused(scene: Scene, tmp_path: Path, missing: str) -> None:
    (scene.image / missing).unlink()
    told = [str(scene.image), str(scene.sources), str(tmp_path / "out"), "--group", "g", "--json"]
    done = CliRunner().invoke(photometry, told)
    assert done.exit_code == 3
    assert f"{missing} is not there" in done.output
    assert not (tmp_path / "out").exists()


def test_without_survey_and_detections_watched_sources_are_measured(scene: Scene, tmp_path: Path) -> None:
    for path in (get_settings().catalogues_folder).iterdir():
        path.unlink()
    Table.read(scene.sources)[:0].write(scene.sources, overwrite=True)
    numbers, rows = run(scene, tmp_path / "out")
    assert rows["source"].tolist() == ["nothing"]
    assert (numbers["n_survey"], numbers["n_detections"], numbers["n_compared"]) == (0, 0, 0)


def test_made_up_sources_change_no_real_measurement(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in a file of their own, with the flux density that was put in, and errors that hold."""
    run(scene, tmp_path / "without")
    assert not (tmp_path / "without" / INJECTED_FILE).exists()
    monkeypatch.setenv("CONTIMG_PHOTOMETRY__INJECTED", "true")
    # The image is half a square degree: 76 sources in one.
    monkeypatch.setattr(injected, "_TO_FINEST", 2 * (29 - 9))
    get_settings.cache_clear()
    _, real = run(scene, tmp_path / "with")
    without = read_measurements(tmp_path / "without" / FILE).to_pandas()
    pd.testing.assert_frame_equal(real, without)
    rows = read_measurements(tmp_path / "with" / INJECTED_FILE).to_pandas()
    assert (rows["kind"].astype(str) == "injected").all()
    good = rows[(rows["flags"] & SPOILT) == 0]
    assert len(good) > 20
    made = [injected.source_of_name(str(name)) for name in good["source"]]
    assert np.allclose([one.jy(60827.5818) for one in made], good["survey_jy"], rtol=1e-4)
    pulls = (good["apparent_jy"] - good["survey_jy"] * good["beam"]) / good["apparent_error_jy"]
    assert abs(pulls.mean()) < 4 / np.sqrt(len(good))
    assert pulls.std() == pytest.approx(1.0, abs=0.4)
    # An image that has none has an empty file.
    monkeypatch.setattr("contimg_assets.radio.photometry.measure.sources_around", lambda *_: [])
    run(scene, tmp_path / "none")
    assert len(read_measurements(tmp_path / "none" / INJECTED_FILE)) == 0
