"""The examples of docs/notebooks.md run, in their order, on a finished home."""

import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from contimg_assets.settings import get_settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "notebooks.md"


def blocks() -> list[str]:
    return re.findall(
        r"^```python\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def test_the_examples_run(
    finished: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each block after the other, as a notebook's cells; what they print is of this night."""
    mpl.use("Agg")
    monkeypatch.setenv("CONTIMG_HOME", str(finished))
    monkeypatch.chdir(home)
    get_settings.cache_clear()
    names: dict[str, Any] = {}
    for number, block in enumerate(blocks()):
        exec(compile(block, f"{DOCUMENT.name}, block {number}", "exec"), names)
    told = capsys.readouterr().out
    for expected in ("too few antennas", "Jy / beam", "2020-01-01T00:00:00", "rms_ratio"):
        assert expected in told
    assert names["sets"]["calibrator"].tolist() == ["J0834+555"]
    assert names["signal_to_noise"].max() > 30
    assert {path.name for path in home.iterdir()} >= {"cutout.fits", "cutout.png"}
    assert len(blocks()) > 8
