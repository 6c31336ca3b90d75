"""Parts of photometry: the fit, its flags, matching, places, the file of measurements."""

from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from numpy.typing import NDArray

from contimg_assets.radio.errors import CatalogueError, ImagingError, MissingInputError
from contimg_assets.radio.photometry.autocorrelation import NoiseCorrelation, measure_correlation
from contimg_assets.radio.photometry.fit import Fits, Plane, Points, fit_places
from contimg_assets.radio.photometry.flags import Flag, flags_of
from contimg_assets.radio.photometry.match import Positions, match
from contimg_assets.radio.photometry.places import read_watched
from contimg_assets.radio.photometry.table import COLUMNS, HEALPIX, read_measurements, write_measurements
from contimg_assets.simulation.epochs import EpochField, epochs
from contimg_assets_tests.radio.epoch_fields import NOISE_JY, beam_of, field

N = 512
#: Of the tests that look at one source: no noise to speak of.
FAINT_JY = 1e-9


def points(*places: tuple[float, float, float]) -> Points:
    return Points(*(np.array(column, np.float64) for column in zip(*places, strict=True)))


def plane(places: Points, components: Points, noise: float = FAINT_JY) -> Plane:
    """Sources without noise, of which components were subtracted."""
    beam = beam_of(N)
    flux = np.concatenate([places.flux, -components.flux])
    at = [np.concatenate([getattr(places, a), getattr(components, a)]) for a in ("x", "y")]
    made = EpochField(beam.psf, beam.psf, np.ones((N, N)), FAINT_JY, *at, found_sigma=np.inf)
    residual = next(epochs(made, flux[None])).residual
    lags = slice(N // 2 - 60, N // 2 + 61)
    correlation = NoiseCorrelation(beam.correlation(1.0)[lags, lags])
    return Plane(residual, np.full((N, N), noise), components, beam.dirty, correlation)


def fitted(of: Plane, places: Points) -> Fits:
    return fit_places(of, places, join_beams=3.0, offset_sigma=10.0)


NONE = Points(np.zeros(0), np.zeros(0), np.zeros(0))
SOURCE = points((230.3, 281.6, 1.0))


ONE_WRONG, TWO_WRONG = points((230.0, 282.0, 0.7)), points((229, 281, 0.5), (231, 282, 0.6))


@pytest.mark.parametrize("components", [NONE, ONE_WRONG, SOURCE, TWO_WRONG])
def test_how_clean_shared_a_source_out_changes_nothing(components: Points) -> None:
    """None of it, a part on the wrong pixel, all of it, more than it in two parts."""
    found = fitted(plane(SOURCE, components), SOURCE)
    assert found.flux == pytest.approx([1.0], abs=1e-4)
    assert found.free_flux == pytest.approx([1.0], abs=1e-4)
    assert np.hypot(found.dx, found.dy) < 1e-3


def test_the_position_is_found_where_the_source_is() -> None:
    beam = beam_of(N)
    place = points((230.3 + 0.2 * beam.minor, 281.6 - 0.2 * beam.major, 1.0))
    found = fitted(plane(SOURCE, NONE), place)
    assert found.dx == pytest.approx([-0.2 * beam.minor], abs=1e-3)
    assert found.dy == pytest.approx([0.2 * beam.major], abs=1e-3)
    assert found.free_flux == pytest.approx([1.0], abs=1e-4)
    assert found.flux[0] < 0.9


def test_a_source_that_nobody_measures_stays_subtracted() -> None:
    """Its components are not put back, so it is not in its neighbour's flux density."""
    other = points((230.3, 281.6 + 1.4 * beam_of(N).major, 2.0))
    both = points((SOURCE.x[0], SOURCE.y[0], 1.0), (other.x[0], other.y[0], 2.0))
    found = fitted(plane(both, other), SOURCE)
    assert found.flux == pytest.approx([1.0], abs=1e-3)
    # Both measured, it is in neither's.
    found = fitted(plane(both, other), both)
    assert found.flux == pytest.approx([1.0, 2.0], abs=1e-3)
    assert found.n_joint.tolist() == [2, 2]


def test_two_names_of_one_place_have_one_flux_density() -> None:
    places = points((230.3, 281.6, 0.2), (230.6, 281.6, 1.0), (400.2, 100.4, 0.5))
    found = fitted(plane(points((230.6, 281.6, 1.0)), NONE), places)
    assert found.merged.tolist() == [True, True, False]
    assert found.flux[0] == found.flux[1] == pytest.approx(1.0, abs=1e-3)
    # From its own place.
    assert found.dx[:2] == pytest.approx([0.3, 0.0], abs=1e-2)


def test_what_cannot_be_measured_says_why() -> None:
    places = points((2.0, 200.0, 1.0), (230.3, 281.6, 1.0), (300.0, 300.0, 1.0), (120.0, 120.0, 1e-10))
    image = plane(SOURCE, NONE)
    residual = image.residual.copy()
    residual[301, 302] = np.nan
    image = Plane(residual, image.noise, NONE, image.beam, image.correlation)
    found = fitted(image, places)
    flags = flags_of(
        found,
        np.array([0.5, 0.05, 0.5, 0.5]),
        least_power=0.1,
        noise_jy=FAINT_JY / 2,
        systematic_pixels=0.1,
    )
    assert np.isfinite(found.flux).tolist() == [False, True, False, True]
    assert Flag(int(flags[0])) == Flag.EDGE
    assert Flag(int(flags[1])) & ~Flag.POOR_FIT == Flag.LOW_BEAM | Flag.ARTEFACTS
    assert Flag(int(flags[2])) == Flag.BLANK | Flag.ARTEFACTS
    assert Flag.LIMIT in Flag(int(flags[3]))


def test_errors_of_close_sources_grow_and_are_flagged() -> None:
    beam = beam_of(N)
    pair = points((230.3, 281.6, 1.0), (230.3, 281.6 + 0.4 * beam.major, 1.0), (400.0, 100.0, 1.0))
    found = fitted(plane(pair, NONE, noise=0.01), pair)
    assert (found.error[:2] > 1.1 * found.alone_error[:2]).all()
    assert found.error[2] == pytest.approx(found.alone_error[2], rel=1e-6)
    flags = flags_of(found, np.ones(3), least_power=0.1, noise_jy=0.01, systematic_pixels=0.1)
    assert (flags & Flag.BLENDED != 0).tolist() == [True, True, False]


@pytest.mark.parametrize("blank", [False, True])
def test_the_autocorrelation_of_noise_is_found(blank: bool) -> None:
    beam = beam_of(N)
    made = field(N, 0.8, np.array([100.0]), np.array([100.0]))
    residual = next(epochs(made, np.zeros((1, 1)))).residual.copy()
    if blank:
        residual[:200] = np.nan
    found = measure_correlation(residual, np.full((N, N), NOISE_JY), 12)
    true = beam.correlation(0.8)[N // 2 - 12 : N // 2 + 13, N // 2 - 12 : N // 2 + 13]
    assert found.values[12, 12] == pytest.approx(1.0, abs=0.05)
    assert np.abs(found.values - true).max() < 0.08
    assert found.at(np.array([50]), np.array([0])) == [0.0]


def test_a_residual_without_noise_is_refused() -> None:
    with pytest.raises(ImagingError, match="no noise"):
        measure_correlation(np.zeros((64, 64)), np.ones((64, 64)), 5)


# -- matching -------------------------------------------------------------------------------


def positions(ra: NDArray[np.float64], dec: NDArray[np.float64], error: float) -> Positions:
    return Positions(ra, dec, np.full(len(ra), error), np.full(len(ra), error))


def test_the_de_ruiter_radius_misses_and_errs_as_often_as_it_says() -> None:
    """True pairs with errors of 1″ and 2″ by a limit of 2: exp(−2) missed; and chance pairs in a crowd."""
    rng = np.random.default_rng(8)
    grid = np.arange(60) / 12
    ra, dec = (each.ravel() for each in np.meshgrid(10 + grid, grid - 2.5))
    known = positions(ra, dec, 1.0)
    moved = rng.normal(0, np.hypot(1, 2) / 3600, (2, len(ra)))
    found = positions(ra + moved[0] / np.cos(np.deg2rad(dec)), dec + moved[1], 2.0)
    matches = match(found, known, limit=2.0, systematic_arcsec=0.0, area_deg2=25.0)
    assert matches.missed_fraction == pytest.approx(np.exp(-2))
    assert (matches.index < 0).mean() == pytest.approx(np.exp(-2), abs=0.02)
    assert (matches.index[matches.index >= 0] == np.flatnonzero(matches.index >= 0)).all()
    # Chance pairs: places at random among known sources.
    apart = positions(rng.uniform(10, 15, 1500), rng.uniform(-2.5, 2.5, 1500), 30.0)
    crowd = positions(rng.uniform(10, 15, 1500), rng.uniform(-2.5, 2.5, 1500), 40.0)
    matches = match(apart, crowd, limit=2.0, systematic_arcsec=0.0, area_deg2=25.0)
    assert (matches.index >= 0).sum() == pytest.approx(matches.expected_false, rel=0.15)


def test_of_two_detections_the_nearer_is_the_source() -> None:
    known = positions(np.array([359.9999]), np.array([30.0]), 1.0)
    found = positions(np.array([0.0001, 359.9998]), np.array([30.0, 30.0]), 1.0)
    matches = match(found, known, limit=5.68, systematic_arcsec=1.0, area_deg2=1.0)
    assert matches.index.tolist() == [-1, 0]
    assert matches.radius[1] == pytest.approx(0.36 * np.cos(np.deg2rad(30)) / np.sqrt(3), rel=1e-3)


# -- places and rows ------------------------------------------------------------------------


def test_watched_sources_are_read_and_wrong_lines_named(tmp_path: Path) -> None:
    path = tmp_path / "watched.csv"
    path.write_text("name,ra_deg,dec_deg,note\nPKS 1,10.5,-3.25,bright\nB,359,80,\n")
    found = read_watched(path)
    assert found.name.tolist() == ["PKS 1", "B"]
    assert (found.ra_deg[0], found.dec_deg[0], found.kind[0]) == (10.5, -3.25, "watched")
    assert len(read_watched(None)) == 0
    for text, message in (
        ("name,ra\nA,1\n", r"columns \['dec_deg', 'ra_deg'\] are missing"),
        ("name,ra_deg,dec_deg\nA,1,x\n", "line 2: could not convert"),
        ("name,ra_deg,dec_deg\nA,1,95\n", "line 2: found name 'A'"),
        ("name,ra_deg,dec_deg\nA,1,5\nA,2,5\n", "line 3: 'A' is there twice"),
    ):
        path.write_text(text)
        with pytest.raises(CatalogueError, match=message):
            read_watched(path)
    with pytest.raises(CatalogueError, match="cannot be read"):
        read_watched(tmp_path / "absent.csv")


def test_rows_are_in_the_order_of_the_sky_and_say_their_units(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    n = 200
    values: dict[str, NDArray] = {
        name: np.array([f"{name} {k % 7}" for k in range(n)]) if kind == "text" else rng.uniform(0, 9, n)
        for name, (kind, _, _) in COLUMNS.items()
        if name != HEALPIX
    }
    values["ra_deg"], values["dec_deg"] = rng.uniform(10, 14, n), rng.uniform(15, 18, n)
    path = tmp_path / "p.parquet"
    write_measurements(path, values, {"group": "g"})
    table = read_measurements(path)
    assert table.column_names == list(COLUMNS)
    assert table.schema.field("noise_jy_beam").metadata[b"unit"] == b"Jy/beam"
    order = table[HEALPIX].to_numpy()
    assert (np.diff(order) >= 0).all()
    assert np.isin(table["beam"].to_numpy(), values["beam"].astype("f4")).all()
    assert len(read_measurements(path, source="source 3")) == (values["source"] == "source 3").sum()
    chunk = pyarrow.parquet.ParquetFile(path).metadata.row_group(0).column(7)
    assert (chunk.compression, "BYTE_STREAM_SPLIT" in chunk.encodings) == ("ZSTD", True)
    path.write_bytes(b"not a table")
    with pytest.raises(MissingInputError, match="cannot be read as measurements"):
        read_measurements(path)
