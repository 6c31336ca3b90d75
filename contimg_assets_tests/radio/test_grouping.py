"""Groups: the header's time decides, every refused file is named, no group merges or splits."""

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from contimg_assets.cli.groups import groups as groups_command
from contimg_assets.radio import telescope
from contimg_assets.radio.grouping import (
    BadFile,
    FileGroup,
    assemble,
    find_groups,
    group_files,
    list_folder,
    name_clusters,
    read_headers,
)
from contimg_assets_tests.radio.subband_files import (
    START,
    contents,
    file_name,
    memory_header,
    times_jd,
    write,
    write_group,
)

KEY = "2026-01-15T03:00:00"
GROUP = timedelta(seconds=telescope.GROUP_S)
NEXT_KEY = "2026-01-15T03:05:09"


def only(groups: list[FileGroup]) -> FileGroup:
    assert len(groups) == 1, groups
    return groups[0]


def reasons(group: FileGroup) -> dict[str, str]:
    """Reasons of refusal by file name."""
    return {path.name: reason for path, reason in group.bad}


# --- with files ---------------------------------------------------------------


def test_complete_group_with_jitter(tmp_path: Path) -> None:
    """16 files whose names differ by two minutes are one group, keyed by the header's time."""
    write_group(tmp_path, jitter_s=60)
    group = only(find_groups(tmp_path))
    assert (group.key, group.status, group.missing, group.bad) == (KEY, "complete", [], [])
    assert list(group.files) == list(range(16))
    assert group.declination_deg == pytest.approx(54.57)
    assert group.reason == "16 of 16 subbands"


@pytest.mark.parametrize(("n_files", "status"), [(15, "partial"), (12, "partial"), (11, "bad"), (1, "bad")])
def test_missing_subbands(tmp_path: Path, n_files: int, status: str) -> None:
    """12 to 15 subbands are partial, fewer are bad; the missing ones are listed."""
    write_group(tmp_path, subbands=range(n_files))
    group = only(find_groups(tmp_path))
    assert (group.status, group.missing) == (status, list(range(n_files, 16)))
    assert f"{n_files} of 16 subbands" in group.reason
    assert "missing " in group.reason
    assert ("at least 12 are needed" in group.reason) == (status == "bad")


def test_one_broken_file_of_each_kind_and_a_good_neighbour(tmp_path: Path) -> None:
    """Each broken file is refused by name and reason; its group and the next go on."""
    paths = write_group(tmp_path, jitter_s=20)
    write_group(tmp_path, START + GROUP, jitter_s=-20)
    with paths[1].open("r+b") as file:
        file.truncate(paths[1].stat().st_size // 2)
    write(paths[5], contents(5) | {"Data/flags": np.zeros((3, 3), bool)})
    write(paths[9], contents(9, declination_deg=16.27))
    nan = contents(12)
    nan["Data/visdata"][...] = np.nan
    write(paths[12], nan)
    broken, good = find_groups(tmp_path, check_contents=True)
    assert (broken.key, broken.status, broken.missing) == (KEY, "partial", [1, 5, 9, 12])
    found = reasons(broken)
    assert set(found) == {paths[k].name for k in (1, 5, 9, 12)}
    assert "expected a complete HDF5 file" in found[paths[1].name]
    assert "Data/flags shape: found (3, 3)" in found[paths[5].name]
    assert "declination: 16.2700°, the group has 54.5700°" in found[paths[9].name]
    assert "values NaN, infinite or without samples" in found[paths[12].name]
    assert not any(str(tmp_path) in reason for reason in found.values())
    assert (good.key, good.status, good.bad) == (NEXT_KEY, "complete", [])


def test_contents_are_read_only_when_asked(tmp_path: Path) -> None:
    """Without the flag, a NaN is not looked for."""
    nan = contents(0)
    nan["Data/visdata"][...] = np.nan
    path = write(tmp_path / file_name(0), nan)
    assert read_headers([path])[1] == []
    bad = read_headers([path], check_contents=True)[1]
    assert bad[0].header is not None


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"declination_deg": 54.581}, "declination: 54.5810°"),
        ({"polarisations": (-5, -7, -8, -6)}, "polarization_array: (-5, -7, -8, -6), the group has (-5, -6)"),
        ({"n_channels": 8}, "Nfreqs: 8 channels, the group has 4"),
        (
            {"order": (30, 4, 101, 13)},
            "antennas: 4 in the data, the group has 4; lacks numbers 12; has numbers 13 besides",
        ),
        ({"order": (30, 4, 101)}, "antennas: 3 in the data, the group has 4; lacks numbers 12"),
        ({"order": (4, 30, 101, 12)}, "order of baselines"),
        ({"n_times": 1}, "time_array: 1 integrations of"),
        ({"start": START + timedelta(seconds=telescope.INTEGRATION_S)}, "(bit for bit)"),
        ({"start": START + timedelta(milliseconds=1)}, "(bit for bit)"),
    ],
)
def test_a_subband_unlike_the_others(tmp_path: Path, options: dict[str, Any], reason: str) -> None:
    """A subband of another pointing, array, shape or time is refused from its group by that reason."""
    paths = write_group(tmp_path)
    write(paths[0], contents(0, **options))
    group = only(find_groups(tmp_path))
    assert (group.key, group.status, group.missing) == (KEY, "partial", [0])
    assert reason in reasons(group)[paths[0].name]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (
            {"Header/freq_array": contents(0)["Header/freq_array"][:, ::-1]},
            "freq_array: rising frequencies, the group has falling ones",
        ),
        (
            {"Data/visdata": contents(0)["Data/visdata"].astype(np.complex128)},
            "visdata: type complex128, the group has complex64",
        ),
    ],
)
def test_a_file_written_unlike_its_fellows(tmp_path: Path, changed: dict[str, Any], reason: str) -> None:
    """Reversed frequencies or another precision in one file: that file is refused, the group has fifteen."""
    paths = write_group(tmp_path)
    write(paths[0], contents(0) | changed)
    group = only(find_groups(tmp_path))
    assert (group.key, group.status, group.missing) == (KEY, "partial", [0])
    assert reason == reasons(group)[paths[0].name]


def test_declination_within_tolerance(tmp_path: Path) -> None:
    """A hundredth of a degree is one pointing."""
    paths = write_group(tmp_path)
    write(paths[0], contents(0, declination_deg=54.579))
    assert only(find_groups(tmp_path)).status == "complete"


def test_identical_files_of_a_subband(tmp_path: Path) -> None:
    """Of identical copies one is used, and the others are said to be copies."""
    paths = write_group(tmp_path)
    copy = tmp_path / file_name(7, START + timedelta(seconds=9))
    shutil.copy(paths[7], copy)
    group = only(find_groups(tmp_path))
    assert (group.status, group.files[7], group.duplicates, group.bad) == ("complete", paths[7], [copy], [])


@pytest.mark.parametrize("same_size", [True, False])
def test_different_files_of_a_subband(tmp_path: Path, same_size: bool) -> None:
    """Files of one subband that differ are both refused: nobody knows which is right."""
    paths = write_group(tmp_path)
    other = tmp_path / file_name(7, START + timedelta(seconds=9))
    extra = {} if same_size else {"Header/extra_keywords/more": np.zeros(9999)}
    write(other, contents(7, seed=1) | extra)
    group = only(find_groups(tmp_path))
    assert (group.status, group.missing, group.duplicates) == ("partial", [7], [])
    found = reasons(group)
    assert set(found) == {paths[7].name, other.name}
    for reason in found.values():
        assert "2 files of sb07" in reason
        assert other.name in reason
        assert paths[7].name in reason


def test_truncated_copy_does_not_harm_the_good_one(tmp_path: Path) -> None:
    """A cut-off second delivery is refused; the first stays in use."""
    paths = write_group(tmp_path)
    other = tmp_path / file_name(7, START + timedelta(seconds=9))
    other.write_bytes(paths[7].read_bytes()[:5000])
    group = only(find_groups(tmp_path))
    assert (group.status, group.files[7], list(reasons(group))) == ("complete", paths[7], [other.name])


def test_only_unreadable_files(tmp_path: Path) -> None:
    """Files without a readable header and without a group near make a bad group without a key."""
    for k in range(3):
        (tmp_path / file_name(k, START + timedelta(seconds=20 * k))).write_bytes(b"\x89HDF")
    write_group(tmp_path, START + timedelta(hours=1))
    orphan, good = find_groups(tmp_path)
    assert (orphan.key, orphan.status, orphan.files, len(orphan.bad)) == (None, "bad", {}, 3)
    assert orphan.declination_deg is None
    assert good.status == "complete"


def test_foreign_files_are_ignored(tmp_path: Path) -> None:
    """Files in progress, hidden, `spl` and foreign ones are listed as ignored and never opened."""
    write_group(tmp_path)
    foreign = [
        "2026-01-15T03:00:00_sb03_incomplete.hdf5",
        ".2026-01-15T03:00:00_sb03.hdf5.aBc123",
        "2026-01-15T03:00:00_sb03_spl.hdf5",
        "2026-01-15T03:00:00_sb16.hdf5",
        "readme [red]\n.txt",
    ]
    for name in foreign:
        (tmp_path / name).write_text("nothing")
    (tmp_path / file_name(3, START + timedelta(seconds=5))).mkdir()
    listing = list_folder(tmp_path)
    assert {p.name for p, _ in listing.ignored} == {*foreign, "2026-01-15T03:00:05_sb03.hdf5"}
    assert len(listing.files) == 16
    assert all(file.size == file.path.stat().st_size for file in listing.files)
    group = only(group_files(sorted(tmp_path.iterdir())))
    assert (group.status, list(reasons(group))) == ("complete", ["2026-01-15T03:00:05_sb03.hdf5"])


# --- in memory ----------------------------------------------------------------


def no_digest(path: Path) -> str:
    raise AssertionError(f"{path} was hashed without need")


Arrival = tuple[int, int, Path]


def arrivals(
    rng: np.random.Generator, starts: list[datetime], spread_s: int, extremes: bool
) -> list[Arrival]:
    """Adjacent groups whose nodes' clocks are up to ``spread_s`` off, in random order of arrival."""
    files: list[Arrival] = []
    for g, start in enumerate(starts):
        for k in range(telescope.N_SUBBANDS):
            jitter_s = int(
                rng.choice([-spread_s, spread_s]) if extremes else rng.integers(-spread_s, spread_s + 1)
            )
            files.append((g, k, Path(file_name(k, start + timedelta(seconds=jitter_s)))))
    return [files[i] for i in rng.permutation(len(files))]


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    offset_s=st.floats(0, 86400),
    n_groups=st.integers(2, 4),
    spread_s=st.integers(0, 60),
    extremes=st.booleans(),
    arrived_fraction=st.floats(0.02, 1),
    broken_fraction=st.sampled_from([0.0, 0.02, 0.3, 0.8]),
)
def test_adjacent_groups_never_merge_or_split(
    seed: int,
    offset_s: float,
    n_groups: int,
    spread_s: int,
    extremes: bool,
    arrived_fraction: float,
    broken_fraction: float,
) -> None:
    """At every moment, with any files unreadable, each file is in its own group and in no other."""
    rng = np.random.default_rng(seed)
    starts = [START + timedelta(seconds=offset_s) + g * GROUP for g in range(n_groups)]
    files = arrivals(rng, starts, spread_s, extremes)
    arrived = files[: int(np.ceil(len(files) * arrived_fraction))]
    broken = {path for _, _, path in arrived if rng.random() < broken_fraction}
    headers = [memory_header(p, starts[g]) for g, _, p in arrived if p not in broken]
    groups = assemble(headers, [BadFile(p, "truncated") for p in broken], digest=no_digest)
    keyed = [group for group in groups if group.key is not None]
    present = sorted({g for g, _, p in arrived if p not in broken})
    assert len(keyed) == len(present)
    for g, group in zip(present, keyed, strict=True):
        key = datetime.fromisoformat(f"{group.key}+00:00")
        assert abs((key - starts[g]).total_seconds()) < 0.501
        assert group.files == {k: p for h, k, p in sorted(arrived) if h == g and p not in broken}
        assert group.duplicates == []
        for path, reason in group.bad:
            assert reason == "truncated"
            assert (g, path) in {(h, p) for h, _, p in arrived}
    accounted = [p for group in groups for p in (*group.files.values(), *(b for b, _ in group.bad))]
    assert sorted(accounted) == sorted(p for _, _, p in arrived)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-60, 60), min_size=32, max_size=32), st.randoms(use_true_random=False))
def test_names_alone_cluster_as_groups(jitters: list[int], random: Any) -> None:
    """The first guess by name is the truth when both groups are whole."""
    files = [
        Path(file_name(i % 16, START + (i // 16) * GROUP + timedelta(seconds=jitter)))
        for i, jitter in enumerate(jitters)
    ]
    shuffled = files.copy()
    random.shuffle(shuffled)
    assert [set(c) for c in name_clusters(shuffled, 120)] == [set(files[:16]), set(files[16:])]


def header(k: int, start: Any = START, stamp: Any = START, **changes: Any) -> Any:
    return memory_header(Path(file_name(k, stamp)), start, **changes)


def test_stray_between_two_groups_does_not_join_them() -> None:
    """A file that overlaps two groups is refused from the one it shares more time with."""
    headers = [header(k) for k in range(1, 16)]
    headers += [header(k, START + GROUP, START + GROUP) for k in range(16)]
    headers.append(header(0, START + GROUP / 3, START + timedelta(seconds=100)))
    first, second = assemble(headers, digest=no_digest)
    assert (first.key, first.missing, len(first.bad)) == (KEY, [0], 1)
    assert (second.key, second.status, second.bad) == (NEXT_KEY, "complete", [])


def test_short_groups_close_together_stay_apart() -> None:
    """Groups shorter than the names' jitter are told apart by their headers."""
    step = timedelta(seconds=2 * telescope.INTEGRATION_S)
    headers = [
        header(k, START + g * step, START + timedelta(seconds=7 * g), n_times=2)
        for g in (0, 1)
        for k in range(16)
    ]
    groups = assemble(headers, digest=no_digest)
    assert [group.status for group in groups] == ["complete", "complete"]
    assert [group.key for group in groups] == [KEY, "2026-01-15T03:00:26"]


def test_unreadable_files_go_where_their_subband_lacks() -> None:
    """A file that only its name places goes to a group near that misses its subband."""
    headers = [header(k) for k in range(16)]
    next_start = START + timedelta(seconds=26)
    headers += [header(k, next_start, next_start, n_times=2) for k in range(1, 16)]
    # The two overlap; both are fuller than a stray could be.
    bad = BadFile(Path(file_name(0, START + timedelta(seconds=1))), "truncated")
    first, second = assemble(headers, [bad])
    assert (first.status, first.bad) == ("complete", [])
    assert second.bad == [(bad.path, "truncated")]


def test_order_of_arrival_does_not_matter() -> None:
    """The same files give the same groups, refusals and reasons in any order."""
    headers = [
        header(k, declination_deg=54.57 + 0.02 * (k == 3), n_channels=8 if k == 4 else 4) for k in range(16)
    ]
    headers += [header(9, START + timedelta(seconds=1), START + timedelta(seconds=3))]
    rng = np.random.default_rng(1)
    expected = assemble(headers)
    assert len(only(expected).bad) == 3
    for _ in range(20):
        shuffled = [headers[i] for i in rng.permutation(len(headers))]
        group = only(assemble(shuffled))
        assert (group.files, group.bad) == (only(expected).files, only(expected).bad)


def test_equal_names_but_another_time_by_one_bit() -> None:
    """Times must agree bit for bit: the next representable time is another time."""
    times = times_jd(START, 24)
    odd = np.nextafter(times, np.inf)
    group = only(assemble([header(k) for k in range(15)] + [header(15, times_jd=odd)]))
    assert (group.status, list(reasons(group))) == ("partial", [file_name(15)])


def test_copies_that_vanish_are_refused() -> None:
    """Several files of a subband that cannot be compared are refused, and nothing crashes."""
    later = START + timedelta(seconds=4)
    group = only(assemble([header(k) for k in range(16)] + [header(2, stamp=later)]))
    assert group.missing == [2]
    assert all("cannot be compared" in reason for reason in reasons(group).values())


def test_nothing() -> None:
    """No files, no groups."""
    assert assemble([]) == []


# --- the command --------------------------------------------------------------


def test_command_reports_and_succeeds(tmp_path: Path) -> None:
    """`contimg groups` shows every group and file, and ends well whatever it finds."""
    paths = write_group(tmp_path, subbands=range(13))
    paths[3].write_bytes(b"cut")
    (tmp_path / "odd [bold]\x1b[31m\udcff.txt").write_text("nothing")
    result = CliRunner().invoke(groups_command, [str(tmp_path), "--json"])
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report["counts"] == {"complete": 0, "partial": 1, "bad": 0, "ignored_files": 1}
    group = report["groups"][0]
    assert (group["group"], group["status"]) == (KEY, "partial")
    assert group["missing_subbands"] == [3, 13, 14, 15]
    assert group["files"]["0"] == str(paths[0])
    assert group["bad"][0]["file"] == str(paths[3])
    shown = CliRunner().invoke(groups_command, [str(tmp_path), "--check-contents"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    for text in (KEY, "partial", "12 of 16 subbands", paths[3].name, "odd [bold]\\x1b[31m\\udcff.txt"):
        assert text in shown.output


def test_command_on_an_empty_folder(tmp_path: Path) -> None:
    """Nothing there is said, not an error."""
    result = CliRunner().invoke(groups_command, [str(tmp_path)])
    assert (result.exit_code, result.output) == (0, "0 complete, 0 partial, 0 bad; 0 files ignored\n")
