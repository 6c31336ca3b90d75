"""Twenty real groups through the daemon, on a disk that holds five; and what was compressed is as good.

``station/test_space.py`` tries the rules in milliseconds; here the real stages write, and the disk is a file
system of its own.
"""

import hashlib
import json
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from contimg_assets.radio.group_key import slug
from contimg_assets.radio.photometry.table import FILE, read_measurements
from contimg_assets.radio.robust import mad_sigma
from contimg_assets_tests.end_to_end.machine import Machine
from contimg_assets_tests.end_to_end.tiny_groups import arrive, files_of, simulate_night
from contimg_assets_tests.mounts import small_disk

pytestmark = pytest.mark.long
#: Targets, beside the calibrator's scan; and a group is this large while it is made, as measured, MB.
TARGETS, GROUP_MB = 20, 70
#: Room that groups may not use: databases, logs and CASA's working files of groups of this size, MB.
RESERVE_MB = 120
#: The disk: five groups and the reserve, MiB.
DISK_MIB = 5 * GROUP_MB + RESERVE_MB
PATIENCE_S = 7200.0
#: Groups come this often; the disk is looked at this often, s.
PACE_S, LOOK_S = 20.0, 0.2
#: Of a group's products that are copied, what is not.
_WITHOUT = shutil.ignore_patterns(".versions", ".staging", "measurement_set", "calibrated_ms")
_BYTES = """SELECT key, sum(made_bytes), sum(kept_bytes) FROM product_version
    WHERE kind = 'group' AND superseded_at IS NULL GROUP BY key ORDER BY key"""
SETTINGS = {
    "CONTIMG_SPACE__RESERVE_GB": str(RESERVE_MB / 1000),
    "CONTIMG_INGEST__SETTLE_S": "1",
    "CONTIMG_THREADS": "1",
}


@contextmanager
def watched(disk: Path) -> Iterator[Callable[[], int]]:
    """Free bytes of a disk at the least, over the block."""
    stop, least = threading.Event(), [shutil.disk_usage(disk).free]

    def look() -> None:
        while not stop.wait(LOOK_S):
            least[0] = min(least[0], shutil.disk_usage(disk).free)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield lambda: least[0]
    finally:
        stop.set()
        thread.join()


@contextmanager
def at_work(machine: Machine) -> Iterator[subprocess.Popen[bytes]]:
    """``contimg ui``: the daemon with its sensors, for the length of the block."""
    process = machine.begin("ui", "--port", "0")
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)


def hashes(files: list[Path]) -> dict[str, str]:
    """SHA-256 of files by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def states(machine: Machine) -> dict[str, str]:
    """State of each group that is known."""
    return {group["group"]: group["state"] for group in machine.contimg("products")["groups"]}


def test_twenty_groups_go_through_a_disk_that_holds_five(tmp_path: Path) -> None:
    night, incoming = tmp_path / "night", tmp_path / "incoming"
    night.mkdir()
    keys = simulate_night(night, TARGETS)
    files = files_of(night, keys)
    before = hashes([path for its in files.values() for path in its])
    incoming.mkdir()
    with small_disk(tmp_path / "disk", DISK_MIB) as disk:
        machine = Machine.new(disk / "home", None)
        machine.environment |= {**SETTINGS, "CONTIMG_INCOMING": str(incoming)}
        with watched(disk) as least_free, at_work(machine):
            for key in keys:
                arrive(files[key], incoming)
                time.sleep(PACE_S)
            until_done(machine, keys)
        assert least_free() > 0
        assert hashes(sorted(incoming.glob("*.hdf5"))) == before
        told = alerts(machine)
        assert [each for each in told if each["kind"] in ("storage", "run_failed", "run_lost")] == []
        held = {each["message"].partition(":")[0] for each in told if each["kind"] == "disk"}
        assert {"new groups are held back", "new groups go on"} <= held
        found = sizes(machine)
        print(table(found, least_free()))
        assert 1e6 * sum(made for made, _ in found.values()) > 2.5 * shutil.disk_usage(disk).total
        for key in keys:
            folder = image_of(machine, key)
            assert any(folder.glob("*.image.fits*")), key


def until_done(machine: Machine, keys: list[str]) -> None:
    """Wait for all groups."""
    began = time.monotonic()
    while set((now := states(machine)).values()) != {"completed"} or now.keys() != set(keys):
        assert "failed" not in now.values(), now
        assert time.monotonic() < began + PATIENCE_S, now
        time.sleep(10)


def alerts(machine: Machine) -> list[dict[str, Any]]:
    """All lines of the log of alarms."""
    return [json.loads(line) for line in (machine.home / "alerts.jsonl").read_text().splitlines()]


def image_of(machine: Machine, key: str) -> Path:
    """Folder of a group's image."""
    return (machine.home / "products" / slug(key) / "image").resolve()


def sizes(machine: Machine) -> dict[str, tuple[float, float]]:
    """MB of each group's products, as they were made and as they are kept."""
    with closing(sqlite3.connect(machine.home / "catalogue.sqlite")) as connection:
        return {key: (made / 1e6, kept / 1e6) for key, made, kept in connection.execute(_BYTES)}


def table(found: dict[str, tuple[float, float]], least_free: int) -> str:
    """The same, to be read."""
    lines = [f"{'group':20} {'made':>7} {'kept':>7}  MB"]
    lines += [f"{key:20} {made:7.1f} {kept:7.1f}" for key, (made, kept) in found.items()]
    made, kept = (sum(each[place] for each in found.values()) for place in (0, 1))
    lines.append(f"{'all':20} {made:7.0f} {kept:7.0f}   least free: {least_free / 1e6:.0f} of {DISK_MIB} MiB")
    return "\n".join(lines)


def test_what_was_compressed_measures_the_same_and_an_image_is_made_again(tmp_path: Path) -> None:
    """Photometry on compressed planes against the whole ones, in σ; then the image without its planes."""
    night = tmp_path / "night"
    night.mkdir()
    _, key = simulate_night(night, 1)
    machine = Machine.new(tmp_path / "home", None)
    assert states_of(machine.contimg("process", night)) == {"completed"}
    original = tmp_path / "original"
    shutil.copytree(machine.home / "products" / slug(key), original, ignore=_WITHOUT)
    machine.environment |= {
        f"CONTIMG_RETENTION__{name}": "0" for name in ("COMPRESS_DAYS", "MEASUREMENT_SET_DAYS", "GRACE_HOURS")
    }
    machine.contimg("retention", "--apply")
    assert any(image_of(machine, key).glob("*.image.fits.fz"))
    assert not (machine.home / "products" / slug(key) / "measurement_set").exists()

    sources = original / "image_qa" / "sources.fits"
    whole = measured(machine, original / "image", sources, key, tmp_path / "whole")
    packed = measured(machine, image_of(machine, key), sources, key, tmp_path / "packed")
    off = (packed["apparent_jy"] - whole["apparent_jy"]) / whole["apparent_error_jy"]
    off = off[np.isfinite(off)]
    told = f"rms {off.std():.4f}, largest {np.abs(off).max():.4f} σ"
    print(f"photometry of {len(off)} places, compressed - whole: {told}")
    assert len(off) >= 5
    assert np.abs(off).max() < 0.1

    machine.contimg("products", "--make", key, "image")
    (again,), (before,), (residual,) = (
        list(place.glob(f"*.{plane}.fits*"))
        for place, plane in (
            (image_of(machine, key), "image"),
            (original / "image", "image"),
            (original / "image", "residual"),
        )
    )
    change = np.nanmax(np.abs(fits.getdata(again) - fits.getdata(before))) / mad_sigma(fits.getdata(residual))
    print(f"made again - as it was: largest {change:.2g} σ")
    assert change < 0.05
    assert states(machine)[key] == "completed"


def states_of(told: dict[str, Any]) -> set[str]:
    """How groups ended, by what ``contimg process`` says."""
    return {group["status"] for group in told["groups"]}


def measured(machine: Machine, image: Path, sources: Path, key: str, out: Path) -> dict[str, Any]:
    """What ``contimg photometry`` finds, by column."""
    machine.contimg("photometry", image, sources, out, "--group", key)
    found = read_measurements(out / FILE, columns=["apparent_jy", "apparent_error_jy"]).to_pydict()
    return {name: np.array(values) for name, values in found.items()}
