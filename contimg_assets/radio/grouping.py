"""Which subband files make up an observation group, and what is wrong with the others.

Belongs here: listing a folder, first guesses by name, groups and their status.
A file's name carries its node's wall clock, so names of one group differ by tens
of seconds; the ``time_array`` of one group is the same bit for bit, and decides.
Does not belong here: waiting for files (``sensors/``), what makes a single file
valid (``uvh5.py``), and the judgement on each member (``group_members.py``).
"""

import os
import stat
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

from contimg_assets.radio import telescope
from contimg_assets.radio.errors import BadSubbandFileError, GroupError
from contimg_assets.radio.files import file_sha256
from contimg_assets.radio.group_key import CLUSTER_S
from contimg_assets.radio.group_members import Candidate, candidates, judge, usual_header
from contimg_assets.radio.uvh5 import (
    MJD_EPOCH,
    SubbandHeader,
    check_data,
    file_stamp,
    ignore_reason,
    read_header,
)

_ALL_SUBBANDS = range(telescope.N_SUBBANDS)


class FoundFile(NamedTuple):
    """A subband file in a listing; unchanged size and mtime mean unchanged content."""

    path: Path
    size: int
    mtime: float


@dataclass(frozen=True)
class Listing:
    """What lies in a folder, judged by name alone."""

    files: list[FoundFile]
    """Files named as subbands."""
    ignored: list[tuple[Path, str]]
    """Everything else, each with the reason."""


@dataclass(frozen=True)
class BadFile:
    """A file named as a subband that cannot be used."""

    path: Path
    reason: str
    header: SubbandHeader | None = None
    """If the header could be read, and the data are at fault."""


@dataclass(frozen=True)
class FileGroup:
    """The files of one observation group, and of those that were refused from it."""

    key: str | None
    """Start of the first integration, UTC; None if no file has a readable header."""
    headers: dict[int, SubbandHeader]
    """The files to use, by subband, ascending."""
    bad: list[tuple[Path, str]]
    """Files refused, each with the reason."""
    duplicates: list[Path] = field(default_factory=list)
    """Identical copies of files in use."""

    @property
    def files(self) -> dict[int, Path]:
        """The files to use, by subband, ascending."""
        return {subband: header.path for subband, header in self.headers.items()}

    @property
    def missing(self) -> list[int]:
        """Subbands without a usable file."""
        return [k for k in _ALL_SUBBANDS if k not in self.headers]

    @property
    def header(self) -> SubbandHeader | None:
        """Header of the first file in use with the antennas that most have: what the group agrees on."""
        return usual_header(self.headers.values()) if self.headers else None

    @property
    def declination_deg(self) -> float | None:
        """Apparent declination of the pointing; None if no file can be used."""
        return self.header.declination_deg if self.header else None

    @property
    def status(self) -> Literal["complete", "partial", "bad"]:
        """``partial`` groups can be processed, without their missing subbands."""
        if not self.missing:
            return "complete"
        return "partial" if len(self.headers) >= telescope.MIN_SUBBANDS else "bad"

    @property
    def reason(self) -> str:
        """The status in words."""
        text = f"{len(self.headers)} of {telescope.N_SUBBANDS} subbands"
        if self.status == "bad":
            text += f", at least {telescope.MIN_SUBBANDS} are needed"
        if self.headers and self.missing:
            text += "; missing " + ", ".join(f"sb{k:02d}" for k in self.missing)
        if self.bad:
            text += f"; {len(self.bad)} refused"
        return text


def list_folder(folder: Path) -> Listing:
    """List a folder (not its sub-folders) without opening any file, in order of name."""
    files: list[FoundFile] = []
    ignored: list[tuple[Path, str]] = []
    for name in sorted(list_names(folder)):
        reason = ignore_reason(name)
        if reason is None:
            found = find_file(folder / name)
            if found is not None:
                files.append(found)
                continue
            reason = "not a regular file, or gone while the folder was listed"
        ignored.append((folder / name, reason))
    return Listing(files, ignored)


def list_names(folder: Path) -> set[str]:
    """Names of all that lies in a folder: of 138 000 files in a tenth of a second."""
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries}


def find_file(path: Path) -> FoundFile | None:
    """Size and time of a file; None if there is none (any more), or it is not a regular one."""
    try:
        status = path.stat()
    except OSError:  # gone, a loop of links, a name that the system does not take
        return None
    return FoundFile(path, status.st_size, status.st_mtime) if stat.S_ISREG(status.st_mode) else None


def find_groups(
    folder: Path, *, cluster_s: float = CLUSTER_S, check_contents: bool = False
) -> list[FileGroup]:
    """All groups in a folder; see :func:`group_files`."""
    paths = [file.path for file in list_folder(folder).files]
    return group_files(paths, cluster_s=cluster_s, check_contents=check_contents)


def group_files(
    paths: Iterable[Path], *, cluster_s: float = CLUSTER_S, check_contents: bool = False
) -> list[FileGroup]:
    """Read headers and put files into groups.

    Parameters
    ----------
    paths : iterable of Path
        Files; those not named as subbands are passed over.
    cluster_s : float
        Span of name stamps that is a first guess of one group, s.
    check_contents : bool
        Also read all data, and refuse files with unflagged NaN.

    Returns
    -------
    list of FileGroup
        In order of time.
    """
    ours = dict.fromkeys(path for path in paths if file_stamp(path) is not None)
    headers, bad = read_headers(ours, check_contents=check_contents)
    return assemble(headers, bad, cluster_s=cluster_s)


def read_headers(
    paths: Iterable[Path], *, check_contents: bool = False
) -> tuple[list[SubbandHeader], list[BadFile]]:
    """Read the headers of files; those that cannot be used come back with the reason."""
    headers: list[SubbandHeader] = []
    bad: list[BadFile] = []
    for path in paths:
        header = None
        try:
            header = read_header(path)
            if check_contents:
                check_data(path, header)
        except BadSubbandFileError as error:
            bad.append(BadFile(path, str(error).removeprefix(f"{path}: "), header))
        else:
            headers.append(header)
    return headers, bad


def assemble(
    headers: Iterable[SubbandHeader],
    bad: Iterable[BadFile] = (),
    *,
    cluster_s: float = CLUSTER_S,
    digest: Callable[[Path], str] = file_sha256,
) -> list[FileGroup]:
    """Put files whose headers have been read into groups.

    Parameters
    ----------
    headers : iterable of SubbandHeader
        Headers of usable files, in any order.
    bad : iterable of BadFile
        Files found unusable.  Those without a header join the group that is
        nearest by name stamp within ``cluster_s``, one that lacks their subband
        first, or else make groups of their own without a key.
    cluster_s : float
        Span of name stamps that is a first guess of one group, s.
    digest : callable
        Hash of a file's content; called only where a subband has several files.

    Returns
    -------
    list of FileGroup
        In order of time.
    """
    faults = {file.path: file for file in bad}
    members = {header.path: header for header in headers if header.path not in faults}
    members |= {path: file.header for path, file in faults.items() if file.header is not None}
    found = candidates(members.values())
    unreadable = {path: file.reason for path, file in faults.items() if file.header is None}
    orphans = _adopt(unreadable, found, cluster_s)
    reasons = {path: file.reason for path, file in faults.items()}
    groups: list[tuple[float, FileGroup]] = []
    for candidate in found:
        judgement = judge(candidate, reasons, digest)
        key, bad_files = candidate.core[0].group_key, sorted(judgement.refused.items())
        group = FileGroup(key, judgement.accepted, bad_files, judgement.duplicates)
        groups.append((candidate.start_mjd, group))
    for cluster in name_clusters(orphans, cluster_s):
        group = FileGroup(None, {}, sorted((path, orphans[path]) for path in cluster))
        groups.append((_stamp_mjd(cluster[0]), group))
    return [group for _, group in sorted(groups, key=lambda g: g[0])]


def _adopt(unreadable: dict[Path, str], found: list[Candidate], cluster_s: float) -> dict[Path, str]:
    """Give unreadable files to the candidates that their names point to; return the rest."""
    centres = sorted(
        ((median(_stamp_mjd(h.path) for h in c.core), c) for c in found), key=lambda centre: centre[0]
    )
    reach = cluster_s / 86400.0
    orphans: dict[Path, str] = {}
    claimed = {id(c): c.subbands for c in found}
    for path, reason in sorted(unreadable.items()):
        stamp, subband = _stamp_mjd(path), _stamp(path)[1]
        first = bisect_left(centres, stamp - reach, key=lambda centre: centre[0])
        last = bisect_right(centres, stamp + reach, key=lambda centre: centre[0])
        near = [
            (subband in claimed[id(c)], abs(t - stamp), i, c) for i, (t, c) in enumerate(centres[first:last])
        ]
        if near:
            candidate = min(near)[3]
            candidate.unreadable[path] = reason
            claimed[id(candidate)].add(subband)
        else:
            orphans[path] = reason
    return orphans


def name_clusters(paths: Iterable[Path], cluster_s: float = CLUSTER_S) -> list[list[Path]]:
    """First guess of groups: files whose name stamps span at most ``cluster_s``."""
    clusters: list[list[Path]] = []
    first: datetime | None = None
    for stamp, path in sorted((_stamp(path)[0], path) for path in paths):
        if first is None or stamp - first > timedelta(seconds=cluster_s):
            first = stamp
            clusters.append([])
        clusters[-1].append(path)
    return clusters


def _stamp(path: Path) -> tuple[datetime, int]:
    found = file_stamp(path)
    if found is None:
        raise GroupError(f"{path}: found the name {path.name!r}, expected a subband file's")
    return found


def _stamp_mjd(path: Path) -> float:
    """The name's stamp, on the scale of the headers' times."""
    return (_stamp(path)[0] - MJD_EPOCH) / timedelta(days=1)
