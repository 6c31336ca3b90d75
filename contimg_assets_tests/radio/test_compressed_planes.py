"""An image whose planes are written compressed is the image: what is made of it, and what is said of it."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from contimg_assets.radio.catalogues.options import CatalogueOptions
from contimg_assets.radio.files import file_sha256
from contimg_assets.radio.images.compression import compress_image
from contimg_assets.radio.images.noise import robust_rms
from contimg_assets.radio.images.options import ArchiveOptions
from contimg_assets.radio.images.plane_writer import OPENED, PlaneWriter
from contimg_assets.radio.images.planes import find_plane, opened, plane_file
from contimg_assets.radio.images.source_finding import ImagePlane, read_planes
from contimg_assets.radio.imaging.planes import Made, write_planes
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
    (folder / "summary.json").write_text((whole / "summary.json").read_text())
    with _writing(folder, planes) as writer:
        complete_products(folder, "g", ArchiveOptions(), Made({}, planes, writer))
    return folder


@contextmanager
def _writing(folder: Path, planes: dict[str, ImagePlane]) -> Iterator[PlaneWriter]:
    """Planes that are being written, compressed."""
    words = header()
    words["PBCUT"] = 0.3
    with ThreadPoolExecutor(2) as pool:
        writer = PlaneWriter(folder, "g", words, robust_rms(planes["residual"].pixels), pool)
        write_planes(writer, planes, planes["model"].pixels != 0)
        yield writer


def _pixels(folder: Path, plane: str) -> np.ndarray:
    with opened(plane_file(folder, "g", plane)) as hdu:
        return np.asarray(hdu.data)[0, 0]


def test_what_few_people_open_is_compressed_and_off_by_half_a_step_at_most(
    planes: dict[str, ImagePlane], compressed: Path
) -> None:
    """The planes that people open to the bit; blank pixels where they were."""
    files = {plane: find_plane(compressed, "g", plane) for plane in EVERY}
    assert [name for name, path in files.items() if path and path.suffix == ".fits"] == list(OPENED)
    told = json.loads((compressed / "compressed.json").read_text())
    steps = {each["plane"]: each["step"] for each in told["planes"]}
    assert steps.keys() == set(EVERY) - set(OPENED)
    assert steps["noise"] == pytest.approx(told["sigma_jy_beam"] / 64)
    for plane in ("image", "residual", "pb", "psf", "model"):
        difference = _pixels(compressed, plane).astype(float) - planes[plane].pixels
        rounding = 4e-7 * np.abs(planes[plane].pixels).max()
        assert np.abs(difference).max() <= steps.get(plane, 0.0) / 2 + (rounding if steps.get(plane) else 0)
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
    assert known["access_url"] == "g.pbcor.fits"
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
    """What is whole is compressed then, of the dirty beam the middle stays, and the rest is as it was."""
    losses = {loss.plane: loss for loss in compress_image(compressed, tmp_path / "kept")}
    kept = tmp_path / "kept"
    assert all(path.suffix == ".fz" for path in (plane_file(kept, "g", plane) for plane in EVERY))
    assert losses.keys() == set(EVERY)
    assert losses["image"].sha256 == file_sha256(compressed / "g.image.fits")
    assert losses["image"].largest_error is not None
    assert losses["image"].largest_error <= losses["image"].step / 2 * 1.001
    assert losses["noise"].largest_error is None
    same = (compressed / "g.noise.fits.fz").read_bytes()
    assert (kept / "g.noise.fits.fz").read_bytes() == same
    assert json.loads((kept / "obscore.json").read_text())["access_url"] == "g.pbcor.fits.fz"
    assert len(json.loads((kept / "compressed.json").read_text())["planes"]) == len(EVERY)


def test_a_blank_image_is_compressed_too(planes: dict[str, ImagePlane], tmp_path: Path) -> None:
    """Without a noise there is no step: nothing is lost."""
    blank = {
        kind: ImagePlane(np.zeros_like(plane.pixels), *list(vars(plane).values())[1:])
        for kind, plane in planes.items()
    }
    with _writing(tmp_path, blank) as writer:
        writer.finish()
    assert not _pixels(tmp_path, "residual").any()
    assert np.isnan(_pixels(tmp_path, "pbcor")).all()


def test_a_plane_that_cannot_be_written_fails_the_image(
    whole: Path, planes: dict[str, ImagePlane], tmp_path: Path
) -> None:
    """Though it is written by another thread, while products are made."""
    (tmp_path / "summary.json").write_text((whole / "summary.json").read_text())
    (tmp_path / "g.pb.fits").mkdir()
    with _writing(tmp_path, planes) as writer, pytest.raises(OSError, match=r"g\.pb\.fits"):
        complete_products(tmp_path, "g", ArchiveOptions(), Made({}, planes, writer))
    assert not (tmp_path / "SHA256SUMS").exists()


def test_planes_are_not_touched_while_they_are_written(planes: dict[str, ImagePlane], tmp_path: Path) -> None:
    """Read-only pixels are written: what is made of them meanwhile sees them as they are."""
    kept = {kind: replace(plane, pixels=plane.pixels.copy()) for kind, plane in planes.items()}
    for plane in kept.values():
        plane.pixels.flags.writeable = False
    with _writing(tmp_path, kept) as writer:
        hashes = writer.finish()
    assert {path.name.removeprefix("g.").partition(".")[0] for path in hashes} == set(EVERY) - {"noise"}
    assert all(file_sha256(path) == sha256 for path, sha256 in hashes.items())
    assert np.array_equal(_pixels(tmp_path, "image"), planes["image"].pixels)
