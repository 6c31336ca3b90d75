"""A fault of storage is told from bad data, and a folder that cannot be written is measured."""

import errno
from pathlib import Path

import pytest

from contimg_assets.radio.errors import BadSubbandFileError, StorageError
from contimg_assets.radio.hdf5 import library_errors
from contimg_assets.radio.storage import absent, fault_at, fault_of
from contimg_assets_tests.mounts import full, read_only, small_disk


def test_what_is_a_fault_of_storage_and_what_is_not(tmp_path: Path) -> None:
    at = str(tmp_path / "file")
    for number in (errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT, errno.ESTALE):
        found = fault_of(OSError(number, "told", at))
        assert found is not None
        assert found.folder == tmp_path
    casacore = RuntimeError("Table DataManager error: error in write: No space left on device")
    assert str(fault_of(casacore)) == "no space left on device"
    wrapped = ValueError("a library's own")
    wrapped.__cause__ = OSError(errno.EIO, "told", at)
    assert str(fault_of(wrapped)) == f"{tmp_path}: input/output error"
    gone = OSError(errno.ENOENT, "told", str(tmp_path / "away" / "file"))
    assert str(fault_of(gone)) == f"{tmp_path / 'away'}: the folder is not there"
    for other in (OSError(errno.ENOENT, "told", at), ValueError("no space left on device"), KeyError("x")):
        assert fault_of(other) is None


def test_a_disk_that_cannot_be_read_makes_no_bad_file(tmp_path: Path) -> None:
    """Or a group would go on with fifteen subbands because a disk was ill for a moment."""
    with pytest.raises(StorageError), library_errors(tmp_path / "file", "file"):
        raise OSError(errno.EIO, "told")
    with pytest.raises(BadSubbandFileError), library_errors(tmp_path / "file", "file"):
        raise OSError("truncated file")


def test_files_are_away_with_their_folder_or_all_together(tmp_path: Path) -> None:
    files = [tmp_path / "in" / str(number) for number in range(3)]
    assert str(absent(files)) == f"{tmp_path / 'in'}: the folder is not there"
    files[0].parent.mkdir()
    assert str(absent(files)) == f"{tmp_path / 'in'}: none of 3 files is there"
    files[0].touch()
    assert absent(files) is None


def test_a_full_and_a_read_only_disk_are_measured(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 32) as disk:
        assert fault_at(disk) is None
        # A folder that is yet to be made would be made there.
        assert fault_at(disk / "a" / "b") is None
        with full(disk):
            assert str(fault_at(disk)) == f"{disk}: no space left on device"
        with read_only(disk):
            assert str(fault_at(disk)) == f"{disk}: read-only file system"
        assert list(disk.iterdir()) == []
