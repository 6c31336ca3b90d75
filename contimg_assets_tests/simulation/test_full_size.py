"""A pair of full size by the independent simulator: files, and memory."""

import json
import os
import sys
from pathlib import Path

import pytest

from contimg_assets.radio.uvh5 import check_data, read_header

pytestmark = pytest.mark.long


def test_a_full_pair_is_as_the_telescope_writes_it_and_takes_little_memory(tmp_path: Path) -> None:
    """96 antennas, 24 × 768 × 2, crowded: every file passes, in a gigabyte (measured: 0.6)."""
    command = [sys.executable, "-m", "contimg_assets.cli", "simulate", str(tmp_path), "--independent"]
    process = os.posix_spawn(sys.executable, [*command, "--preset", "crowded", "--size", "full"], os.environ)
    _, status, usage = os.wait4(process, 0)
    assert status == 0
    assert usage.ru_maxrss < 2**20
    for path in tmp_path.glob("*.truth.json"):
        truth = json.loads(path.read_text())
        assert len(truth["files"]) == 16
        assert len(truth["sources"]) > 500
        for name in truth["files"].values():
            header = read_header(tmp_path / name)
            assert (header.n_baselines, header.n_integrations, header.n_channels) == (4656, 24, 48)
            check_data(tmp_path / name, header)
