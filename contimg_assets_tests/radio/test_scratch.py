"""Working folders: gone after the work, on a disk that must be there, whose want of room is named."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from contimg_assets.radio import files
from contimg_assets.radio.errors import MissingInputError, StorageError
from contimg_assets.radio.files import scratch_folder
from contimg_assets.station.store import Store


def test_a_working_folder_is_gone_after_the_work_however_that_ends(tmp_path: Path) -> None:
    with scratch_folder(tmp_path, "image") as folder:
        (folder / "clone.ms").mkdir()
    with pytest.raises(KeyError), scratch_folder(tmp_path, "image"):
        raise KeyError("a fault of the work")
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_disk_that_is_not_mounted_is_named_and_not_made_up_for(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with (
        pytest.raises(StorageError, match=f"{disk}: .*the folder is not there"),
        scratch_folder(disk, "image"),
    ):
        pass
    with pytest.raises(StorageError), Store(tmp_path / "home", disk).scratch_folder("image"):
        pass
    assert not disk.exists()
    # That of the home is made when it is needed.
    with Store(tmp_path / "home").scratch_folder("image") as folder:
        assert folder.parent == tmp_path / "home" / "scratch"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a disk can be mounted by root only")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_scratch_disk_without_room_is_named(small_disk: Path) -> None:
    with (
        pytest.raises(StorageError, match=f"{small_disk}: no space left"),
        scratch_folder(small_disk, "image") as folder,
    ):
        (folder / "clone").write_bytes(bytes(8 * 2**20))
    assert list(small_disk.iterdir()) == []
    # A library's error that says nothing of the disk, while that is full.
    with (
        pytest.raises(StorageError, match="no space left"),
        scratch_folder(small_disk, "image"),
    ):
        raise RuntimeError("TableProxy::putColumn failed")


def test_other_errors_stay_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="bad"), scratch_folder(tmp_path, "image"):
        raise RuntimeError("bad")
    monkeypatch.setattr(files, "FULL", shutil.disk_usage(tmp_path).total + 1)
    with pytest.raises(MissingInputError), scratch_folder(tmp_path, "image"):
        raise MissingInputError("a typed error says more")
