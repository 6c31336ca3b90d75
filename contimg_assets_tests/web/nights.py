"""A home with some nights in it, as pages show them: groups of every state, flags, sets, images, reviews.

Rows are entered by the station's own functions; files are small, pictures are noise.  No telescope data, no
Dagster.
"""

import json
import random
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from contimg_assets.radio.group_key import KEY_FORMAT, key_time
from contimg_assets.radio.limits import judge
from contimg_assets.settings import Settings
from contimg_assets.station.installation import Installation
from contimg_assets.station.publication import publish
from contimg_assets.station.reviews import enter_review
from contimg_assets.web.pages.words import MJD_0
from contimg_assets_tests.fake_stages import BAND_HZ, GOOD, registration, solutions, write_tables
from contimg_assets_tests.web.telling_stages import write_images

ANTENNAS = [str(n) for n in (*range(1, 10), *range(24, 52, 3), 100, 103, 108, 114)]
DECLINATION_DEG = 16.27
STEP = timedelta(minutes=5, seconds=9)
N_TIMES, N_CHANNELS = 24, 96
#: What is wrong with some groups of a night, by their place: a hostile reason among them.
_HOSTILE = "image: ImagingError: CLEAN diverged in round 3 of <img src=x onerror=alert(1)>"
_FAILED = {5: _HOSTILE, 6: "image: ImagingError: CLEAN diverged in round 2"}
_PENDING, _BAD, _UNCERTAIN, _CALIBRATOR, _DIES_AT = 11, 3, 7, 1, 6


@dataclass(frozen=True)
class Nights:
    """What was made."""

    installation: Installation
    keys: list[str]
    """Groups, oldest first."""
    set_ids: list[str]

    @property
    def imaged(self) -> list[str]:
        """Groups of the last night that have images."""
        day = self.keys[-1][:10]
        return [
            key for key in self.keys if key[:10] == day and "image" in self.installation.records.products(key)
        ]


def make_nights(settings: Settings, nights: int = 2, groups: int = 12) -> Nights:
    """Make them: ``groups`` of each night from 14:04:31 UTC on."""
    installation = Installation(settings)
    chance = random.Random(7)
    keys: list[str] = []
    sets: list[str] = []
    for night in range(nights):
        first = key_time("2025-06-01T14:04:31") + timedelta(days=night)
        for place in range(groups):
            key = (first + place * STEP).strftime(KEY_FORMAT)
            keys.append(key)
            scan = place == _CALIBRATOR
            more: dict[str, Any] = (
                {"calibrator_name": "3C454.3", "calibrator_apparent_jy": 11.7} if scan else {}
            )
            _register(installation, key, **more)
            if place == _PENDING:
                continue
            _convert(
                installation,
                key,
                dead=["24"] if place < _DIES_AT or night + 1 < nights else ["24", "103"],
                chance=chance,
            )
            if scan:
                sets.append(_solve(installation, key))
            if place in _FAILED:
                installation.records.fail(key, _FAILED[place])
                continue
            if sets:
                found = installation.registry.get(sets[-1])
                hours = (found.mid_mjd - _mid(key)) * 24
                installation.registry.record_use(key, found.id, hours, "same_day", "")
            _image(installation, key, place, chance)
            installation.records.complete(key)
    installation.leases.release("a run")
    enter_review(installation.engine, keys[0], "PASS", "clean", "ann")
    enter_review(installation.engine, keys[2], "ERROR", "<b>stripes</b> in the north", "ann")
    installation.notifier.send("check_failed", keys[3], "image_qa.rms_ratio = 2.6: ERROR above 2")
    return Nights(installation, keys, sets)


def _mid(key: str) -> float:
    return (key_time(key) - MJD_0) / timedelta(days=1) + 154.6 / 86400


def _register(installation: Installation, key: str, **more: Any) -> None:
    values = {"antennas": ANTENNAS, "declination_deg": DECLINATION_DEG, "mid_mjd": _mid(key), **more}
    installation.records.register(registration(key, installation.settings.home, **values), ready=True)


def _publish(
    installation: Installation, key: str, product: str, numbers: dict[str, Any], files: Any = None
) -> None:
    with installation.store.staging(key, product) as staging:
        folder = staging / product
        folder.mkdir()
        # What is the same in two groups would be one version.
        (folder / "made.txt").write_text(f"{product} of {key}")
        if files is not None:
            files(folder)
        publish(installation.records, installation.store, folder, key, product, numbers, run="a run")


def _convert(installation: Installation, key: str, dead: list[str], chance: random.Random) -> None:
    installation.records.begin(key, "a run")
    numbers = {
        "channel_low_hz": BAND_HZ[0],
        "channel_high_hz": BAND_HZ[1],
        "size_bytes": 123_456_789,
        "stage_seconds": 40.0,
    }
    _publish(installation, key, "measurement_set", numbers)
    summary = _summary(dead, chance)
    told = {name: summary[name] for name in ("flag_fraction", "rfi_fraction", "dead_antennas")}
    _publish(
        installation,
        key,
        "flags",
        {**told, "stage_seconds": 12.0},
        lambda folder: (folder / "summary.json").write_text(json.dumps(summary)),
    )
    _judge(installation, key, "measurement_set_qa", GOOD["qa ms"])


def _summary(dead: list[str], chance: random.Random) -> dict[str, Any]:
    by_antenna = {name: 1.0 if name in dead else round(chance.uniform(0.02, 0.2), 4) for name in ANTENNAS}
    by_antenna["5"] = 0.62
    narrow, burst = range(40, 46), ((3, 10), (4, 10), (4, 11))
    cells = [[round(chance.uniform(0, 0.08), 3) for _ in range(N_CHANNELS)] for _ in range(N_TIMES)]
    for row in cells:
        row[narrow.start : narrow.stop] = [1.0] * len(narrow)
    for time, channel in burst:
        cells[time][channel] = 0.9
    return {
        "flag_fraction": 0.17,
        "rfi_fraction": 0.06,
        "zero_fraction": 0.0,
        "dead_antennas": dead,
        "dead_antenna_subbands": [],
        "alarms": ["antenna 5: 62 % flagged"],
        "alarm_line": 0.35,
        "by_antenna": by_antenna,
        "coherence_by_antenna": {name: None if name in dead else 0.9 for name in ANTENNAS},
        "by_subband": [0.1 + 0.02 * k for k in range(16)],
        "by_integration": [sum(row) / len(row) for row in cells],
        "by_channel": [sum(row[c] for row in cells) / N_TIMES for c in range(N_CHANNELS)],
        "by_integration_and_channel": cells,
        "frequencies_mhz": np.linspace(BAND_HZ[1] / 1e6, BAND_HZ[0] / 1e6, N_CHANNELS).tolist(),
    }


def _solve(installation: Installation, key: str) -> str:
    folder = installation.settings.home / f"solved-{key[:10]}"
    tables = write_tables(folder, key)
    chance = np.random.default_rng(5)
    shape = (len(ANTENNAS), N_CHANNELS, 2)
    np.savez(
        folder / "solutions.npz",
        antennas=np.array(ANTENNAS),
        frequencies_hz=np.linspace(*BAND_HZ, N_CHANNELS),
        bandpass=(1 + 0.1 * chance.standard_normal(shape)).astype(np.complex64),
        flags=np.zeros(shape, bool),
        snr=np.full(shape, 40.0, np.float32),
    )
    each = {
        name: {"snr": [40.0, 41.0], "delay_ns": [0.5, -0.5], "phase_wander_deg": [1.0, 2.0]}
        for name in ANTENNAS
    }
    told = solutions(
        key,
        calibrator="3C454.3",
        calibrator_apparent_jy=11.7,
        refant="103",
        mid_mjd=_mid(key),
        declination_deg=DECLINATION_DEG,
        antennas=ANTENNAS,
        tables=tables,
        antenna_quality=each,
        phases_deg={name: [0.0, 0.5, -0.5] for name in ANTENNAS},
    )
    set_id = installation.registry.register(told, folder)
    numbers = {"stage_seconds": 30.0}
    _publish(installation, key, "calibration_tables", numbers)
    _judge(installation, key, "calibration_qa", GOOD["qa calibration"])
    installation.registry.conclude(set_id, [])
    return set_id


def _image(installation: Installation, key: str, place: int, chance: random.Random) -> None:
    ratio = {_BAD: 2.6, _UNCERTAIN: 1.7}.get(place, round(chance.uniform(1.0, 1.3), 3))
    _publish(installation, key, "calibrated_ms", {"stage_seconds": 10.0})
    numbers = {"rms_mjy_beam": 0.3 * ratio, "n_sources": chance.randint(20, 60), "stage_seconds": 60.0}

    def files(folder: Path) -> None:
        Image.fromarray(_sky(place)).save(folder / "thumbnail.png")
        write_images(folder, key.translate({ord("-"): None, ord(":"): None}))

    _publish(installation, key, "image", numbers, files)
    judged = {
        **GOOD["qa image"],
        "rms_ratio": ratio,
        "dynamic_range": float(chance.randint(100, 400)),
        "flux_ratio": round(chance.uniform(0.97, 1.03), 3),
        "astrometric_offset_arcsec": round(chance.uniform(0.1, 1.5), 2),
    }
    _judge(
        installation, key, "image_qa", judged, lambda folder: (folder / "report.html").write_text("<p>report")
    )


def _sky(seed: int) -> NDArray[np.uint8]:
    """Noise and points through an elongated beam, in grey."""
    chance = np.random.default_rng(seed)
    points = np.zeros((480, 480))
    points[chance.integers(0, 480, 60), chance.integers(0, 480, 60)] = 60 * chance.pareto(1.2, 60)
    seen = gaussian_filter(chance.normal(0, 1, points.shape) + points, (1.8, 3.2))
    return (60 + 35 * seen / seen.std()).clip(0, 255).astype(np.uint8)


def _judge(
    installation: Installation, key: str, product: str, numbers: dict[str, Any], files: Any = None
) -> None:
    _publish(installation, key, product, {**numbers, "stage_seconds": 5.0}, files)
    # Only what is there: made homes have no survey to compare with.
    found = [each for each in judge(product, numbers) if each.value is not None]
    installation.records.record_verdicts(key, product, found)
