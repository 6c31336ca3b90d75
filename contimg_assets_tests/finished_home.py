"""A home in which a night has been processed, made in seconds: small images, real files, real rows.

The images are ``radio/image_folder.py``'s, completed and published as the image stage and its asset do; no
telescope data, no Dagster.
"""

import shutil
from pathlib import Path

from contimg_assets.radio.group_key import slug
from contimg_assets.radio.images.options import ArchiveOptions
from contimg_assets.radio.quality.products import complete_products
from contimg_assets.settings import Settings
from contimg_assets.station.calibration_registry import CalibrationRegistry
from contimg_assets.station.database import engine_for
from contimg_assets.station.products import StationRecords
from contimg_assets.station.publication import publish
from contimg_assets.station.store import Store
from contimg_assets_tests.fake_stages import record_verdict, registration, solutions, write_tables
from contimg_assets_tests.radio.image_folder import spread_sources, write_image_folder

#: One with a good image, one whose image is bad, one that failed.
GOOD, BAD, FAILED = "2025-06-01T14:05:49", "2025-06-01T14:35:49", "2025-06-02T03:00:00"
KEYS = (GOOD, BAD, FAILED)


def finish_night(home: Path) -> StationRecords:
    """Make the home; the good image has been made twice, and has 40 sources."""
    settings = Settings(home=home)
    records, store = StationRecords(engine_for(settings.sqlalchemy_url)), Store(home)
    registry = CalibrationRegistry(records.engine, settings.calibration, store.calibration)
    template = write_image_folder(home / "template", spread_sources())
    complete_products(template, "g", ArchiveOptions())
    for key in KEYS:
        records.register(registration(key, home / "incoming", mid_mjd=60827.59), ready=True)
        records.begin(key, "a run")
    tables = home / "solved"
    registry.register({**solutions(GOOD), "mid_mjd": 60827.59, "tables": write_tables(tables)}, tables)
    _publish(records, store, template, GOOD, 1.8)
    _publish(records, store, template, GOOD, 1.02)
    _publish(records, store, template, BAD, 3.1)
    for key, status, value in ((GOOD, "PASS", 1.02), (BAD, "ERROR", 3.1)):
        judged = {"value": value, "soft": 1.5, "hard": 2.0, "limits_version": "1"}
        record_verdict(records, key, "image_qa", "rms_ratio", status=status, **judged)
        records.complete(key)
    records.fail(FAILED, "too few antennas: found 3, expected 4")
    shutil.rmtree(template)
    shutil.rmtree(tables)
    return records


def _publish(records: StationRecords, store: Store, template: Path, key: str, rms_ratio: float) -> None:
    """Flags, an image and its quality product, as their stages leave them."""
    with store.staging(key, "flags") as staging:
        folder = staging / "flags"
        folder.mkdir()
        (folder / "flags.npz").write_bytes(f"flags for noise of {rms_ratio}".encode())
        publish(records, store, folder, key, "flags", {"flag_fraction": 0.11}, run="a run")
    numbers = {"rms_mjy_beam": rms_ratio, "n_sources": 40}
    numbers |= {"stage_seconds": 28.5, "peak_memory_mb": 900.0}
    with store.staging(key, "image") as staging:
        folder = staging / "image"
        folder.mkdir()
        sums = (template / "SHA256SUMS").read_text().replace("  g.", f"  {slug(key)}.")
        for path in template.iterdir():
            shutil.copyfile(
                path, folder / path.name.replace("g.", f"{slug(key)}.", path.name.startswith("g."))
            )
        (folder / "SHA256SUMS").write_text(sums)
        image = publish(
            records, store, folder, key, "image", numbers | {"peak_memory_mb": 900.0}, run="a run"
        )
    with store.staging(key, "image_qa") as staging:
        folder = staging / "image_qa"
        folder.mkdir()
        (folder / "report.html").write_text("<p>report</p>")
        quality = {"rms_ratio": rms_ratio, "flux_ratio": 0.99, "stage_seconds": 9.0}
        publish(records, store, folder, key, "image_qa", quality, run="a run", inputs=[image.id])
