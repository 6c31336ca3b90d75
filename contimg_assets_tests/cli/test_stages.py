"""How a stage hands over its result."""

import json
import os
from pathlib import Path

import pytest

from contimg_assets.cli.stages import run_stage


def test_what_compiled_code_prints_is_not_in_the_result(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """CASA's solver writes to the file descriptor itself; a program that reads the result sees one object."""
    run_stage(lambda settings: {"wrote": os.write(1, b"chatter\n"), "home": str(settings.home)}, as_json=True)
    out, err = capfd.readouterr()
    assert json.loads(out) == {"wrote": 8, "home": str(home)}
    assert "chatter" in err
