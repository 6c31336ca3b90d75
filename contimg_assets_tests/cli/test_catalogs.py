"""``contimg catalogs`` as a person types it."""

import json
from pathlib import Path

from click.testing import CliRunner

from contimg_assets.cli.catalogs import catalogs
from contimg_assets.radio.sky import Source
from contimg_assets.simulation.catalogue import nvss_line


def _run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(catalogs, list(arguments))
    return done.exit_code, done.output


def test_import_list_verify(home: Path, tmp_path: Path) -> None:
    """A catalogue is installed in the home, shown and verified; damage and a wrong file are exit code 3."""
    path = tmp_path / "nvss.dat"
    path.write_text(nvss_line(Source("", 10.0, 20.0, 0.5)) + "\n")
    code, output = _run("import", str(path), "--json")
    assert code == 0, output
    installed = json.loads(output)
    assert (installed["survey"], installed["n_sources"]) == ("nvss", 1)
    assert "nvss.dat" in _run("list")[1]
    assert json.loads(_run("verify", "--json")[1]) == {
        "catalogues": [{"survey": "nvss", "n_sources": 1, "good": True, "detail": ""}]
    }
    array = home / "catalogues" / installed["file"]
    array.write_bytes(array.read_bytes()[:-1] + b"!")
    code, output = _run("verify")
    assert (code, array.name in output) == (3, True)
    assert _run("import", str(path), "--survey", "racs")[0] == 3
