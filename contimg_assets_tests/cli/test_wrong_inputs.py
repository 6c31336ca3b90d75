"""Whatever a person gets wrong is told in one line, with the right exit code, and no traceback.

Through ``main``, as from a shell, in one process; what is printed to standard output is no error.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from contimg_assets.cli import main
from contimg_assets.settings import get_settings
from contimg_assets.station import database
from contimg_assets_tests.finished_home import BAD, FAILED, GOOD

NOWHERE = "postgresql://somebody:secret@127.0.0.1:1/none"
#: Arguments (``@`` is a folder of the test's), environment, exit code, part of what is told.
WRONG: tuple[tuple[str, dict[str, str], int, str], ...] = (
    ("nonsense", {}, 2, "No such command 'nonsense' (see `contimg --help`)"),
    ("status --nonsense", {}, 2, "see `contimg status --help`"),
    ("products last-night", {}, 2, "expected a group, such as"),
    ("reprocess --group 2025-06-31T00:00:00", {}, 2, "expected a group, such as"),
    ("simulate @/out --declination 200", {}, 2, "200.0 is not in the range"),
    ("calibrators --declination -91", {}, 2, "-91.0 is not in the range"),
    ("simulate @/out --start noon", {}, 2, "expected a time, such as"),
    ("simulate @/file --preset tiny", {}, 2, "is a file"),
    ("process @/nowhere", {}, 2, "does not exist"),
    ("export @/out", {}, 2, "name GROUPs or a --night"),
    ("export @/out --night yesterday", {}, 2, "expected a day, such as"),
    ("qa sound @/empty @/out", {}, 2, "is not one of"),
    ("status", {"CONTIMG_IMAGING__ROBUST": "9"}, 2, "CONTIMG_IMAGING__ROBUST: found '9'"),
    ("status", {"CONTIMG_IMAGING__ROBUS": "0"}, 2, "did you mean CONTIMG_IMAGING__ROBUST?"),
    ("status", {"CONTIMG_DATABASE_URL": "the database"}, 2, "expected an address such as"),
    ("status", {"CONTIMG_DATABASE_URL": "mysql://host/name"}, 2, "expected an address such as"),
    ("status", {"CONTIMG_HOME": "@/broken"}, 2, "contimg.toml: found no TOML"),
    ("init", {"CONTIMG_HOME": "@/file"}, 2, "cannot be made or written"),
    ("init", {"CONTIMG_HOME": "/proc/contimg"}, 2, "cannot be made or written"),
    ("status", {"CONTIMG_DATABASE_URL": NOWHERE}, 3, "onnection refused"),
    ("status", {"CONTIMG_HOME": "@/empty"}, 3, "run `contimg init`"),
    ("process @/empty", {}, 3, "found no observation group"),
    ("process @/other", {}, 3, "found no observation group"),
    ("register @/empty", {}, 3, "found no observation group"),
    ("convert @/empty @/out.ms", {}, 3, "expected one usable group"),
    ("image @/empty @/out", {}, 3, "found no Measurement Set"),
    ("selfcal @/nowhere @/out", {}, 3, "found no Measurement Set"),
    ("products 2020-01-01T00:00:00", {}, 3, "is not registered"),
    ("history 20200101T000000", {}, 3, "is not registered"),
    ("registry show no-set", {}, 3, "holds no set no-set"),
    ("flags show 20250602T030000", {}, 3, "has no flags"),
    ("catalogs import @/file", {}, 3, "cannot be read as NVSS"),
    ("provenance @/file", {}, 3, "cannot be read as FITS"),
    (f"export @/empty {GOOD}", {}, 3, "is there already"),
    (f"export @/no/folder {GOOD}", {}, 3, "found no folder"),
    (f"export @/out {BAD}", {}, 3, "its verdict is ERROR (image_qa.rms_ratio)"),
    (f"export @/out {FAILED}", {}, 3, "it has no image"),
    ("export @/out --night 1999-12-31", {}, 3, "nothing to hand over"),
    ("serve --host 0.0.0.0", {}, 3, "refused to listen"),
    ("night 2025-13-01", {}, 2, "expected a day, such as"),
    ("survey day 2025-02-30", {}, 2, "expected a day, such as"),
    ("survey candidates tomorrow", {}, 2, "expected a day, such as"),
    ("pointing --since yesterday", {}, 2, "expected a group or its beginning"),
    (f"export @/out {GOOD} --url ftp", {}, 2, "expected an address, such as"),
    ("backup /proc/nowhere", {}, 3, "/proc/nowhere cannot be made"),
    ("restore @/empty", {}, 3, "is no backup"),
    ("notify acknowledge 99", {}, 3, "there is no alarm 99"),
    ("token revoke nobody", {}, 3, "has no token called 'nobody'"),
    (f"products --make {GOOD} nothing", {}, 3, "expected one of measurement_set"),
    ("campaign pause none", {}, 3, "found no campaign 'none'"),
    ("sources --order nothing", {}, 2, "expected one of eta"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, finished: Path) -> Path:
    """A home that is in order, and what is wrong around it."""
    folder = tmp_path_factory.mktemp("wrong")
    shutil.copytree(finished, folder / "home", symlinks=True)
    for name in ("empty", "other", "broken"):
        (folder / name).mkdir()
    (folder / "file").write_text("hello\n")
    (folder / "other" / "notes.txt").write_text("nothing of the telescope's\n")
    (folder / "broken" / "contimg.toml").write_text("threads = \n")
    return folder


@pytest.mark.parametrize(("arguments", "environment", "code", "told"), WRONG)
def test_it_is_told_in_one_line(
    folder: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    environment: dict[str, str],
    code: int,
    told: str,
) -> None:
    """And nothing is left of it."""
    assert home.is_dir()
    for name, value in {"CONTIMG_HOME": "@/home", **environment}.items():
        monkeypatch.setenv(name, value.replace("@", str(folder)) if value.startswith("@") else value)
    monkeypatch.setenv("DAGSTER_HOME", str(folder / "home" / "dagster"))
    get_settings.cache_clear()
    before = {path for path in folder.iterdir() if path.name != "home"}
    called = [part.replace("@", str(folder)) for part in arguments.split()]
    result = CliRunner().invoke(main, called, prog_name="contimg")
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code, result.output
    (line,) = result.stderr.splitlines()
    assert told in line
    assert "secret" not in line
    assert {path for path in folder.iterdir() if path.name != "home"} == before
    database.engine_for.cache_clear()


def test_at_least_twenty_are_tried() -> None:
    assert len(WRONG) >= 20


def test_programs_are_told_in_json(folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home.is_dir()
    monkeypatch.setenv("CONTIMG_HOME", str(folder / "home"))
    get_settings.cache_clear()
    result = CliRunner().invoke(main, ["process", str(folder / "empty"), "--json"])
    assert result.exit_code == 3
    assert '"error": "MissingInputError"' in result.stdout


def test_from_a_shell_it_is_the_same(folder: Path) -> None:
    """One that is refused before anything heavy is loaded: two lines less than click's own."""
    command = [sys.executable, "-m", "contimg_assets.cli", "products", "last-night"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
