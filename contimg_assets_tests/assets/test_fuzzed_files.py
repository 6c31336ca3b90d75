"""Damaged files: never a crash, always a reason, never a part of a Measurement Set."""

import json
import os
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from contimg_assets.radio import telescope
from contimg_assets.resources.dagster_resources import DatabaseResource, NotifierResource
from contimg_assets.settings import Settings
from contimg_assets.station.arrivals import Arrivals
from contimg_assets.station.incoming_folder import IncomingFolder
from contimg_assets_tests.radio.fuzzing import damaged
from contimg_assets_tests.radio.subband_files import START, contents, file_name, write, write_group

REPOSITORY = Path(__file__).parent.parent.parent
#: Damaged files in a group of 16: twelve good ones are enough to go on.
DAMAGED = 4
GROUP = timedelta(seconds=24 * telescope.INTEGRATION_S)


@pytest.mark.parametrize("n_files", [140, pytest.param(1000, marks=pytest.mark.long)])
def test_damaged_files_are_read_or_refused_with_a_reason(tmp_path: Path, n_files: int) -> None:
    """In a process of its own, which a crash of the HDF5 library would end."""
    program = [sys.executable, "-m", "contimg_assets_tests.radio.fuzzing", str(tmp_path), "0", str(n_files)]
    done = subprocess.run(program, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    assert len(outcomes) == n_files
    kinds = Counter(kind for kind, _ in outcomes)
    refused = Counter(kind for kind, reason in outcomes if reason)
    assert set(refused) == set(kinds)
    # What goes through is damage that no reader can see: a changed visibility, a value that is not used.
    assert refused["truncate"] == kinds["truncate"]
    for kind, reason in outcomes:
        if reason:
            assert "found " in reason, (kind, reason)
            assert ", expected " in reason, (kind, reason)


CONVERT = """
import json, sys
from pathlib import Path
from contimg_assets.radio import casa
from contimg_assets.radio.conversion.convert import convert
from contimg_assets.radio.errors import ContimgError
home = Path(sys.argv[1])
casa.configure(home / "casa")
for line in sys.stdin:
    key, files = json.loads(line)
    try:
        told = convert([Path(f) for f in files], home / "sets" / key.replace(":", ""))["missing_subbands"]
    except ContimgError as error:
        told = f"{type(error).__name__}: {error}"
    print(json.dumps([key, told]), flush=True)
"""


def groups_with_damage(folder: Path, n_groups: int) -> list[str]:
    """Groups of twelve good files and four damaged ones; names of the damaged."""
    names = []
    for group in range(n_groups):
        start = START + group * GROUP
        write_group(folder, start, subbands=range(telescope.N_SUBBANDS - DAMAGED), n_times=4)
        for k in range(DAMAGED):
            subband = telescope.N_SUBBANDS - DAMAGED + k
            path = folder / file_name(subband, start + timedelta(seconds=k))
            damaged(path, 10_000 + DAMAGED * group + k, contents(subband, start=start, n_times=4))
            names.append(path.name)
    return names


@pytest.mark.parametrize(
    "n_groups", [4, pytest.param(250, marks=pytest.mark.long)], ids=["16 files", "1000 files"]
)
def test_groups_with_damaged_files_are_converted_whole_or_not_at_all(
    settings: Settings, n_groups: int
) -> None:
    """The sensor accounts for every file; the real writer makes a complete set or none of each group."""
    folder, home = settings.incoming_folder, settings.home
    folder.mkdir()
    names = groups_with_damage(folder, n_groups)
    records = DatabaseResource().records()
    watch = IncomingFolder(folder, records, NotifierResource().notifier())
    looks = 8 + n_groups // 10
    for look in range(looks):
        watch.look(1000.0 * look)
    account = Arrivals(records.engine, folder)
    assert account.names() == {path.name for path in folder.iterdir()}
    refused = {file.name: file.reason for file in account.not_used(10 * n_groups)}
    assert set(refused) <= set(names)
    assert all(refused.values())
    pending = records.groups("pending")
    assert len(pending) == n_groups
    work = "".join(json.dumps([group.key, [*group.files.values()]]) + "\n" for group in pending)
    (home / "sets").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", CONVERT, str(home)],
        cwd=REPOSITORY,
        input=work,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    assert set(told) == {group.key for group in pending}
    # Twelve good files are in every group, so each must be made, from at least those.
    assert all(isinstance(missing, list) and len(missing) <= DAMAGED for missing in told.values()), told
    assert {path.name for path in (home / "sets").iterdir()} == {key.replace(":", "") for key in told}


def test_names_that_mean_harm_are_passed_over(settings: Settings) -> None:
    """Names of every kind, links, pipes and folders in the place of files."""
    folder = settings.incoming_folder
    folder.mkdir()
    good = write_group(folder)
    hostile = [
        b"-rf", b"a\nb.hdf5", b"\xff\xfe.hdf5", b"x" * 255, b"'; DROP TABLE observation_group; --.hdf5",
        b"2026-01-15T03:00:00_sb00.hdf5\n",
        b"2026-99-15T03:00:00_sb00.hdf5", b"2026-01-15T03:00:00_sb99.hdf5",
        "2026-01-15T03:00:00_sb٠١.hdf5".encode(), b"%s%n{0}[red].hdf5", b" ", b"..hdf5",
    ]  # fmt: skip
    for name in hostile:
        (folder / os.fsdecode(name)).write_bytes(b"nothing")
    later = START + timedelta(seconds=3)
    (folder / file_name(0, later)).symlink_to(file_name(0, later))
    (folder / file_name(1, later)).symlink_to("/dev/zero")
    (folder / file_name(2, later)).symlink_to("nowhere")
    (folder / file_name(3, later)).mkdir()
    os.mkfifo(folder / file_name(4, later))
    records = DatabaseResource().records()
    watch = IncomingFolder(folder, records, NotifierResource().notifier())
    watch.look(0.0)
    assert [group.key for group in watch.look(10.0)] == ["2026-01-15T03:00:00"]
    assert Arrivals(records.engine, folder).names() == {path.name for path in good}
    assert watch.open == {}


def test_a_link_to_a_good_file_is_a_file(settings: Settings, tmp_path: Path) -> None:
    folder = settings.incoming_folder
    folder.mkdir()
    for path in write_group(tmp_path):
        (folder / path.name).symlink_to(path)
    watch = IncomingFolder(folder, DatabaseResource().records(), NotifierResource().notifier())
    watch.look(0.0)
    assert len(watch.look(10.0)) == 1
    assert write(folder / file_name(0), contents(0)).is_file()
