"""An image whose planes are written compressed is the image: what is made of it, and what is said of it."""

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from contimg_assets.radio.catalogues.options import CatalogueOptions
from contimg_assets.radio.files import file_sha256
from contimg_assets.radio.images.compression import compress_image
from contimg_assets.radio.images.options import ArchiveOptions
from contimg_assets.radio.images.planes import find_plane, opened, plane_file
from contimg_assets.radio.images.source_finding import ImagePlane, read_planes
from contimg_assets.radio.imaging.planes import write_planes
from contimg_assets.radio.quality.image import image_numbers
from contimg_assets.radio.quality.products import PLANES, complete_products
from contimg_assets_tests.radio.image_folder import NOISE_JY, header, spread_sources, write_image_folder

#: Planes that imaging writes, and the noise map.
EVERY = ("image", "pbcor", "pb", "residual", "model", "psf", "mask", "noise")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_image_folder(tmp_path_factory.mktemp("whole") / "image", spread_sources())
    complete_products(folder, "g", ArchiveOptions())
    return folder


@pytest.fixture(scope="module")
def planes(whole: Path) -> dict[str, ImagePlane]:
    return read_planes(whole, "g", PLANES)


@pytest.fixture(scope="module")
def compressed(whole: Path, planes: dict[str, ImagePlane], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compressed") / "image"
    folder.mkdir()
    words = header()
    words["PBCUT"] = 0.3
    write_planes(folder, "g", planes, planes["model"].pixels != 0, words, compressed=True)
    (folder / "summary.json").write_text((whole / "summary.json").read_text())
    complete_products(folder, "g", ArchiveOptions(), planes)
    return folder


def _pixels(folder: Path, plane: str) -> np.ndarray:
    with opened(plane_file(folder, "g", plane)) as hdu:
        return np.asarray(hdu.data)[0, 0]


def test_all_but_the_restored_image_is_compressed_and_off_by_half_a_step_at_most(
    planes: dict[str, ImagePlane], compressed: Path
) -> None:
    """The image to the bit; the residual at random about what it was; blank pixels where they were."""
    files = {plane: find_plane(compressed, "g", plane) for plane in EVERY}
    assert [name for name, path in files.items() if path and path.suffix == ".fits"] == ["image"]
    told = json.loads((compressed / "compressed.json").read_text())
    steps = {each["plane"]: each["step"] for each in told["planes"]}
    assert steps.keys() == set(EVERY) - {"image"}
    assert steps["residual"] == pytest.approx(told["sigma_jy_beam"] / 8)
    for plane in ("image", "residual", "pb", "psf", "model"):
        difference = _pixels(compressed, plane).astype(float) - planes[plane].pixels
        rounding = 4e-7 * np.abs(planes[plane].pixels).max()
        assert np.abs(difference).max() <= steps.get(plane, 0.0) / 2 + (rounding if steps.get(plane) else 0)
    off = _pixels(compressed, "residual").astype(float) - planes["residual"].pixels
    assert abs(off.mean()) < 5 * steps["residual"] / np.sqrt(12 * off.size)
    power = planes["pb"].pixels
    assert np.array_equal(np.isfinite(_pixels(compressed, "pbcor")), power >= 0.3)
    assert _pixels(compressed, "mask").dtype == np.uint8


def test_files_vouch_for_themselves(compressed: Path) -> None:
    """FITS checksums of every file, hashes of all, and metadata that name the file that is there."""
    for path in compressed.glob("*.fits*"):
        with fits.open(path, checksum=True, disable_image_compression=True) as hdus:
            assert all("CHECKSUM" in hdu.header for hdu in hdus), path
            assert "DATE" in hdus[0].header, path
    told = [line.split("  ") for line in (compressed / "SHA256SUMS").read_text().splitlines()]
    lines = {name: digest for digest, name in told}
    assert all(file_sha256(compressed / name) == digest for name, digest in lines.items())
    assert {path.name for path in compressed.iterdir()} == {*lines, "SHA256SUMS"}
    known = json.loads((compressed / "obscore.json").read_text())
    assert known["access_url"] == "g.pbcor.fits.fz"
    assert known["obs_publisher_did"].endswith("?g.pbcor")


def test_sources_and_numbers_are_those_of_the_whole_planes(
    whole: Path, compressed: Path, tmp_path: Path
) -> None:
    """Flux densities to a hundredth of the noise; the numbers that are judged to a part of their limits."""
    lists = [Table.read(folder / "g.sources.fits") for folder in (whole, compressed)]
    assert len(lists[0]) == len(lists[1])
    assert np.abs(lists[0]["peak_jy_beam"] - lists[1]["peak_jy_beam"]).max() < 0.01 * NOISE_JY
    numbers = []
    for name, folder in (("a", whole), ("b", compressed)):
        (tmp_path / name).mkdir()
        numbers.append(image_numbers(folder, tmp_path / name, tmp_path / "none", CatalogueOptions()))
    first, second = numbers
    assert first.keys() == second.keys()
    for name in ("rms_mjy_beam", "injected_flux_ratio", "beam_sidelobe", "noise_excess"):
        # The dirty beam of this image has no sidelobes but what a step makes.
        assert second[name] == pytest.approx(first[name], rel=2e-3, abs=1e-5), name
    assert second["n_sources"] == first["n_sources"]


def test_retention_leaves_of_it_what_it_leaves_of_whole_planes(compressed: Path, tmp_path: Path) -> None:
    """The image is compressed then, of the dirty beam the middle stays, and the rest is as it was."""
    losses = {loss.plane: loss for loss in compress_image(compressed, tmp_path / "kept")}
    kept = tmp_path / "kept"
    assert all(path.suffix == ".fz" for path in (plane_file(kept, "g", plane) for plane in EVERY))
    assert losses.keys() == set(EVERY)
    assert losses["image"].sha256 == file_sha256(compressed / "g.image.fits")
    assert losses["image"].largest_error is not None
    assert losses["image"].largest_error <= losses["image"].step / 2 * 1.001
    assert losses["residual"].largest_error is None
    same = (compressed / "g.residual.fits.fz").read_bytes()
    assert (kept / "g.residual.fits.fz").read_bytes() == same
    assert json.loads((kept / "obscore.json").read_text())["access_url"] == "g.pbcor.fits.fz"
    assert len(json.loads((kept / "compressed.json").read_text())["planes"]) == len(EVERY)


def test_a_blank_image_is_compressed_too(planes: dict[str, ImagePlane], tmp_path: Path) -> None:
    """Without a noise there is no step: nothing is lost."""
    blank = {
        kind: ImagePlane(np.zeros_like(plane.pixels), *list(vars(plane).values())[1:])
        for kind, plane in planes.items()
    }
    words = header()
    words["PBCUT"] = 0.3
    write_planes(tmp_path, "g", blank, blank["model"].pixels > 0, words, compressed=True)
    assert not _pixels(tmp_path, "residual").any()
    assert np.isnan(_pixels(tmp_path, "pbcor")).all()
