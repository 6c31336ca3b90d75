"""Groups whose products take room on a disk, made in milliseconds: real files and rows, no telescope data."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from contimg_assets.radio.group_key import slug
from contimg_assets.radio.images.fits import write_image
from contimg_assets.station.leases import Leases
from contimg_assets.station.make_again import Step
from contimg_assets.station.operations import RunResult
from contimg_assets.station.products import StationRecords
from contimg_assets.station.publication import publish
from contimg_assets.station.store import Store
from contimg_assets_tests.fake_stages import record_verdict, registration
from contimg_assets_tests.radio.image_folder import header

#: Sizes of a group's Measurement Sets, bytes: in the proportions of a full-size group's.
CONVERTED_BYTES, CALIBRATED_BYTES = 1_000_000, 2_000_000
#: Pixels along the side of an image.
N = 160
JUDGED = {"value": 1.0, "soft": 1.5, "hard": 2.0, "limits_version": "1"}


def register(records: StationRecords, key: str, incoming: Path) -> None:
    """A group with its files."""
    incoming.mkdir(parents=True, exist_ok=True)
    told = registration(key, incoming)
    for path in told.files.values():
        Path(path).write_bytes(b"raw")
    records.register(told, ready=True)


def make(records: StationRecords, store: Store, key: str, owner: str | None, verdict: str = "PASS") -> None:
    """What stages make of a group, on the disk, and the verdict on its image."""
    for product, size in (("measurement_set", CONVERTED_BYTES), ("calibrated_ms", CALIBRATED_BYTES)):
        with store.staging(key, product) as folder:
            ms = folder / "built" / f"{slug(key)}.ms"
            ms.mkdir(parents=True)
            (ms / "data").write_bytes(bytes(size))
            publish(records, store, folder / "built", key, product, {}, owner=owner)
    with store.staging(key, "image") as folder:
        _write_planes(folder / "built")
        publish(records, store, folder / "built", key, "image", {"rms_mjy_beam": 1.0}, owner=owner)
    record_verdict(records, key, "image_qa", "rms_ratio", status=verdict, **JUDGED)


def _write_planes(folder: Path) -> None:
    """Planes of an image: noise about a source, smooth ones, a mask, and a dirty beam."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    noise = rng.normal(0.0, 1e-3, (N, N)).astype(np.float32)
    y, x = np.mgrid[:N, :N] - N // 2
    power = np.exp(-(x**2 + y**2) / N**2).astype(np.float32)
    source = 0.5 * np.exp(-(x**2 + y**2) / 8.0).astype(np.float32)
    corrected = np.where(power > 0.7, (noise + source) / power, np.nan).astype(np.float32)
    planes = {"image": noise + source, "residual": noise, "pb": power, "noise": np.full_like(noise, 1e-3)}
    planes |= {"pbcor": corrected, "psf": source, "mask": source > 0.01}
    words = header()
    words["CRPIX1"] = words["CRPIX2"] = N // 2 + 1
    for plane, pixels in planes.items():
        write_image(folder / f"g.{plane}.fits", pixels, words)


class MakingLauncher:
    """Runs that make a group's products."""

    def __init__(self, records: StationRecords, leases: Leases, store: Store) -> None:
        self.records, self.leases, self.store = records, leases, store
        self.ran: list[str] = []

    def run(self, job: str, key: str, owner: str, step: Step | None = None) -> RunResult:
        assert step is None
        self.ran.append(f"{job} {key}")
        self.records.begin(key, owner, explicit=True)
        make(self.records, self.store, key, owner)
        self.records.complete(key)
        return RunResult(True)

    def unfinished_keys(self) -> set[str]:
        return set()

    def announce(self, key: str, files: Mapping[int, Path], *, calibrator: bool) -> None:
        pass

    def commands_with_runs(self) -> set[str]:
        return set()

    def end(self, owner: str, message: str) -> None:
        raise AssertionError(f"{owner}: {message}")
