"""File systems of a test's own, to be filled or made read-only: ``chmod`` keeps root from nothing."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _call(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path]:
    """Mount a file system of so many MiB at a folder; a machine that forbids it skips the test loudly."""
    folder.mkdir(parents=True, exist_ok=True)
    done = _call("mount", "-t", "tmpfs", "-o", f"size={mib}m", "contimg-test", folder)
    if done.returncode:
        pytest.skip(f"NOT TESTED: mounting a small disk is not permitted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        _call("umount", "-l", folder)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A mount from :func:`small_disk` cannot be written for the length of the block."""
    done = _call("mount", "-o", "remount,ro", folder)
    assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        _call("mount", "-o", "remount,rw", folder)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Not a byte is free on a folder's file system for the length of the block."""
    filler = folder / ".filler"
    try:
        with filler.open("wb", buffering=0) as handle:
            try:
                while True:
                    handle.write(bytes(1 << 16))
                    if os.statvfs(folder).f_bavail == 0:
                        break
            except OSError:
                pass  # it is full
        yield
    finally:
        filler.unlink(missing_ok=True)
