"""Files are noticed at once and read when their writers have closed them, never before they are whole."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import pytest

from contimg_assets.radio.grouping import find_file
from contimg_assets.radio.uvh5 import has_room_for_all
from contimg_assets.resources.dagster_resources import DatabaseResource, NotifierResource
from contimg_assets.settings import Settings, get_settings
from contimg_assets.station import folder_watch
from contimg_assets.station.folder_watch import FolderWatch
from contimg_assets.station.incoming_folder import IncomingFolder
from contimg_assets_tests.fake_stages import TARGET, only_one_calibrator
from contimg_assets_tests.radio.subband_files import START, contents, file_name, write, write_group

#: Longer than any machine takes to tell of a file, s.
LONG_S = 60.0
NAME = file_name(3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "incoming"
    made.mkdir()
    return made


@pytest.fixture
def watch(folder: Path) -> Iterator[FolderWatch]:
    made = FolderWatch(folder)
    made.listing()
    yield made
    made.stop()


def in_time(condition: Callable[[], bool], seconds: float = LONG_S) -> bool:
    """Whether something comes true, however slow the machine is."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def was_written(watch: FolderWatch, path: Path) -> bool:
    file = find_file(path)
    return file is not None and watch.was_written(file)


@pytest.mark.parametrize("events", [True, False])
def test_a_new_file_ends_the_waiting(folder: Path, events: bool) -> None:
    """On a network file system, which tells nothing, by the folder's time of change."""
    watch = FolderWatch(folder, events=events)
    try:
        watch.listing()
        (folder / NAME).write_bytes(b"content")
        assert watch.wait(LONG_S)
    finally:
        watch.stop()


def test_nothing_is_news_once_the_folder_was_listed_some_time_after_its_last_change(
    folder: Path, watch: FolderWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_watch, "TIME_STEP_S", 0.1)
    time.sleep(0.2)
    watch.listing()
    assert not watch.wait(0.2)
    # What is written over in place changes no name, and is told by the file system only.
    (folder / NAME).write_bytes(b"content")
    assert watch.wait(LONG_S)


def test_a_folder_that_was_listed_too_soon_after_a_change_is_listed_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time of change may be as coarse as two seconds, and not show a second change."""
    monkeypatch.setattr(folder_watch, "TIME_STEP_S", 0.5)
    watch = FolderWatch(folder, events=False)
    (folder / NAME).touch()
    watch.listing()
    assert watch.wait(LONG_S)
    watch.listing()
    assert not watch.wait(0.2)


@pytest.mark.parametrize("rename", [True, False])
def test_a_file_that_its_writer_has_closed_or_named_was_written(
    folder: Path, watch: FolderWatch, rename: bool
) -> None:
    path = folder / NAME
    written = folder / f".{NAME}.part" if rename else path
    written.write_bytes(b"content")
    if rename:
        written.rename(path)
    assert in_time(lambda: was_written(watch, path))
    assert watch.next_quiet() is None
    # Changed since: whether it is whole now nobody has said.
    with path.open("ab") as file:
        file.write(b"more")
        file.flush()
        assert not was_written(watch, path)


def test_a_file_from_another_folder_was_written_and_one_that_is_open_was_not(
    folder: Path, watch: FolderWatch, tmp_path: Path
) -> None:
    (tmp_path / NAME).write_bytes(b"content")
    with (folder / file_name(4)).open("wb") as file:
        file.write(b"half")
        file.flush()
        (tmp_path / NAME).rename(folder / NAME)
        assert in_time(lambda: was_written(watch, folder / NAME))
        assert not was_written(watch, folder / file_name(4))


def test_a_file_is_left_alone_for_a_moment_after_it_was_closed(
    folder: Path, watch: FolderWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_watch, "QUIET_S", 3600.0)
    (folder / NAME).write_bytes(b"content")
    assert in_time(lambda: watch.next_quiet() is not None)
    assert not was_written(watch, folder / NAME)


def test_a_folder_that_takes_the_place_of_another_is_watched(folder: Path, watch: FolderWatch) -> None:
    folder.rmdir()
    folder.mkdir()

    def told() -> bool:
        watch.listing()
        (folder / NAME).write_bytes(b"content")
        return in_time(lambda: was_written(watch, folder / NAME), 5.0)

    assert in_time(told)


# -- files of groups ------------------------------------------------------------------------


@pytest.fixture
def patient(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[IncomingFolder]:
    """A folder whose files count as still after an hour only."""
    only_one_calibrator(monkeypatch)
    monkeypatch.setenv("CONTIMG_INGEST__SETTLE_S", "3600")
    get_settings.cache_clear()
    settings.incoming_folder.mkdir()
    made = IncomingFolder(
        settings.incoming_folder, DatabaseResource().records(), NotifierResource().notifier()
    )
    made.look(time.time())
    yield made
    made.watch.stop()


def taken(patient: IncomingFolder) -> list[str]:
    return [str(group.key) for group in patient.look(time.time())]


def all_told(patient: IncomingFolder) -> bool:
    """Whether the file system has told of every file in the folder."""
    return all(was_written(patient.watch, path) for path in patient.folder.iterdir())


def test_a_group_whose_files_were_closed_is_taken_without_waiting_for_them_to_be_still(
    patient: IncomingFolder,
) -> None:
    write_group(patient.folder)
    assert in_time(lambda: TARGET in taken(patient))


def test_waiting_ends_when_a_file_has_been_left_alone(patient: IncomingFolder) -> None:
    write_group(patient.folder)
    found: list[str] = []
    for _ in range(60):
        found += taken(patient)
        if found:
            break
        assert patient.wait(LONG_S, time.time())
    assert found == [TARGET]


def test_a_file_that_is_cut_off_is_not_taken_for_whole_though_it_was_closed(
    patient: IncomingFolder,
) -> None:
    *_, last = write_group(patient.folder)
    last.write_bytes(last.read_bytes()[:3000])
    assert in_time(lambda: all_told(patient))
    assert taken(patient) == taken(patient) == []
    group = patient.records.group(TARGET)
    assert (group.state, group.missing_subbands) == ("collecting", [15])
    # Its transfer goes on.
    shutil.copyfile(write(last.with_name("whole"), contents(15)), last)
    last.with_name("whole").unlink()
    assert in_time(lambda: TARGET in taken(patient))
    assert patient.records.group(TARGET).missing_subbands == []


def without_its_end(path: Path) -> None:
    """Write a file whose header is whole, and of whose visibilities the second half was not written."""
    wanted = contents(15)
    data = wanted.pop("Data/visdata")
    write(path, wanted)
    with h5py.File(path, "a") as file:
        visdata = file.create_dataset("Data/visdata", data.shape, data.dtype, chunks=(1, *data.shape[1:]))
        visdata[: len(data) // 2] = data[: len(data) // 2]


def test_a_file_whose_data_are_half_there_is_not_taken_though_its_header_is_whole(
    patient: IncomingFolder,
) -> None:
    write_group(patient.folder, subbands=range(15))
    last = patient.folder / file_name(15)
    without_its_end(last)
    assert not has_room_for_all(last)
    assert in_time(lambda: all_told(patient))
    assert taken(patient) == taken(patient) == []
    write(last, contents(15))
    assert has_room_for_all(last)
    assert in_time(lambda: TARGET in taken(patient))


def test_a_file_that_is_still_being_written_is_not_taken(patient: IncomingFolder) -> None:
    """HDF5 brings a file up to date on disk while it is being written, so it may look whole."""
    write_group(patient.folder, subbands=range(15))
    with h5py.File(patient.folder / file_name(15, START), "w") as file:
        for name, value in contents(15).items():
            file.create_dataset(name, data=value)
        file.flush()
        assert in_time(lambda: all(was_written(patient.watch, p) for p in files_but(patient, 15)))
        assert taken(patient) == taken(patient) == []
        assert patient.records.group(TARGET).missing_subbands == [15]
    assert in_time(lambda: TARGET in taken(patient))


def files_but(patient: IncomingFolder, subband: int) -> list[Path]:
    return [path for path in patient.folder.iterdir() if not path.stem.endswith(f"sb{subband:02d}")]
