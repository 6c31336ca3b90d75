"""What surrounds a group in its report, made up: flags, a calibration set, the last nights."""

import json
from pathlib import Path

import numpy as np

from contimg_assets.radio.quality.surroundings import Earlier, Surroundings

#: Antennas.
NAMES = ["1", "24", "103"]


def surroundings(folder: Path) -> Surroundings:
    """Write what a report looks into to a folder; what it is told."""
    flags, solved = folder / "flags", folder / "set"
    flags.mkdir()
    solved.mkdir()
    n_times, n_channels = 4, 32
    summary = {
        "by_antenna": dict(zip(NAMES, (0.02, 1.0, 0.4), strict=True)),
        "by_integration_and_channel": np.full((n_times, n_channels), 0.1).tolist(),
        "frequencies_mhz": np.linspace(1311.0, 1498.0, n_channels).tolist(),
        "alarm_line": 0.35,
        "alarms": ["antennas flagged over 35%: 24 <b>"],
    }
    (flags / "summary.json").write_text(json.dumps(summary))
    quality = {
        "delay_ns": [1.0, None],
        "snr": [100.0, 90.0],
        "flagged": [0.0, 0.1],
        "amplitude_scatter": [0.01, 0.01],
        "phase_scatter_deg": [0.5, 0.6],
        "chi_squared": [1.0, 1.1],
    }
    sidecar = {
        "refant": "103",
        "antenna_quality": {name: quality for name in NAMES},
        "phases_deg": {name: [0.0, 1.0, None, -1.0] for name in NAMES},
    }
    (solved / "solutions.json").write_text(json.dumps(sidecar))
    np.savez_compressed(
        solved / "solutions.npz",
        antennas=np.array(NAMES),
        frequencies_hz=np.linspace(1.3e9, 1.5e9, 64),
        bandpass=np.ones((3, 64, 2), np.complex64),
        flags=np.zeros((3, 64, 2), bool),
        snr=np.ones((3, 64, 2), np.float32),
    )
    link = "../../20250531T135512/image_qa/report.html"
    earlier = tuple(
        Earlier(group=f"2025-05-31T13:5{k}:12", mjd=60826.58 + k / 300, value=1 + 0.01 * k, link=link)
        for k in range(5)
    )
    return Surroundings(
        group="2025-06-01T13:55:12",
        flags=flags,
        calibration_set=solved,
        files="../image",
        links={"previous group": link},
        panel={"this group": "../../../groups/2025-06-01T13:55:12"},
        mjd=60827.58,
        earlier={"rms_ratio": earlier},
    )
