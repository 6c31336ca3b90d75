"""A wheel holds all that an installation needs: the commands work without a checkout."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
#: What is no Python; and the migrations, which nothing imports by name.
DATA = (
    "resources/dagster.yaml",
    "radio/limits.toml",
    "radio/stations.csv",
    "radio/calibration/calibrators.csv",
    "station/migrations/env.py",
    "station/migrations/script.py.mako",
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as a wheel has it, unpacked; built from a copy, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source, unpacked = folder / "source", folder / "site"
    shutil.copytree(
        REPOSITORY / "contimg_assets", source / "contimg_assets", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(REPOSITORY / name, source)
    command = [sys.executable, "-c", BUILD, str(folder)]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(unpacked)
    return unpacked


def test_every_file_of_the_package_is_in_the_wheel(installed: Path) -> None:
    def content(folder: Path) -> set[str]:
        found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        return {path.as_posix() for path in found if "__pycache__" not in path.parts}

    package = content(installed / "contimg_assets")
    assert package == content(REPOSITORY / "contimg_assets")
    assert set(DATA) <= package


def test_a_home_is_made_and_read_without_a_checkout(installed: Path, home: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}

    def run(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert Path(run("-c", "import contimg_assets; print(contimg_assets.__file__)").strip()).is_relative_to(
        installed
    )
    made = json.loads(run("-m", "contimg_assets.cli", "init", "--json"))
    assert made["home"] == str(home)
    assert (home / "dagster" / "dagster.yaml").is_file()
    assert json.loads(run("-m", "contimg_assets.cli", "status", "--json"))["groups"] == []
