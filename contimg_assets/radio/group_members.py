"""Who belongs to an observation group: the judgement behind ``grouping.assemble``.

Belongs here: which headers are of one observation, what a group's majority says,
and why a file is refused from it.  All in memory, but for hashing the files of a
subband that has several.
"""

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from contimg_assets.radio import telescope
from contimg_assets.radio.uvh5 import SubbandHeader

#: Pointings of one group agree to this, deg.
DECLINATION_TOLERANCE_DEG = 0.01
#: A file may lack so large a part of the group's antennas, or have as many besides: an array that is changed
#: while files are opened. What it lacks is flagged in its subband, what it has besides is left out.
MOST_OTHER_ANTENNAS = 0.05
#: Antenna numbers named in a reason, at most.
_NUMBERS_NAMED = 8
_DAY_S = 86400.0
_Value = TypeVar("_Value", bound=Hashable)


@dataclass
class Candidate:
    """Files of one observation: those of one ``time_array``, and those that ought to have it."""

    core: list[SubbandHeader]
    """The same ``time_array``, bit for bit."""
    strays: list[SubbandHeader] = field(default_factory=list)
    """Another ``time_array`` that overlaps the core's: the telescope does one thing at a time."""
    unreadable: dict[Path, str] = field(default_factory=dict)
    """Files without a readable header that go by their names, with reasons."""

    @property
    def start_mjd(self) -> float:
        """Start of the first integration, UTC, days."""
        return self.core[0].start_mjd

    def rank(self) -> tuple[int, float, int]:
        """Sorts the fullest candidates first."""
        return -len(self.subbands), self.start_mjd, -self.core[0].n_integrations

    @property
    def subbands(self) -> set[int]:
        """Subbands that the core holds."""
        return {header.subband for header in self.core}


@dataclass(frozen=True)
class Judgement:
    """A candidate's files, sorted out."""

    accepted: dict[int, SubbandHeader]
    refused: dict[Path, str]
    duplicates: list[Path]


def candidates(headers: Iterable[SubbandHeader]) -> list[Candidate]:
    """Sort headers by observation.

    Files of one ``time_array`` are one observation.  A smaller set than can be
    processed, overlapping another's time, is counted as that one's strays: so a
    subband that started late or stopped early is reported where it is missing.

    Returns
    -------
    list of Candidate
        In order of time, no two of the same key.
    """
    cores: defaultdict[Hashable, list[SubbandHeader]] = defaultdict(list)
    for header in headers:
        cores[header.times_jd.tobytes(), header.integration_s].append(header)
    longest = max((core[0].end_mjd - core[0].start_mjd for core in cores.values()), default=0.0)
    found: list[Candidate] = []
    by_key: dict[str, Candidate] = {}
    largest_first = sorted(map(Candidate, cores.values()), key=Candidate.rank)
    for candidate in largest_first:
        host = by_key.get(candidate.core[0].group_key)
        if host is None and len(candidate.subbands) < telescope.MIN_SUBBANDS:
            host = _overlapping(candidate.core[0], found, longest)
        if host is not None:
            host.strays += candidate.core
        else:
            insort(found, candidate, key=lambda c: c.start_mjd)
            by_key[candidate.core[0].group_key] = candidate
    return found


def _overlapping(header: SubbandHeader, found: Sequence[Candidate], longest: float) -> Candidate | None:
    """The candidate that shares most time with ``header``, more than half an integration."""
    first = bisect_left(found, header.start_mjd - longest, key=lambda c: c.start_mjd)
    last = bisect_right(found, header.end_mjd, key=lambda c: c.start_mjd)
    best, most = None, header.integration_s / 2 / _DAY_S
    for candidate in found[first:last]:
        other = candidate.core[0]
        shared = min(header.end_mjd, other.end_mjd) - max(header.start_mjd, other.start_mjd)
        if shared > most:
            best, most = candidate, shared
    return best


def judge(candidate: Candidate, faults: Mapping[Path, str], digest: Callable[[Path], str]) -> Judgement:
    """Say of each file of a candidate whether it is used, and why not.

    Parameters
    ----------
    candidate : Candidate
    faults : mapping of Path to str
        Files whose data have been found bad, with reasons.
    digest : callable
        Hash of a file's content.
    """
    refused = dict(candidate.unreadable)
    for header in candidate.strays:
        text = f"time_array: {_times(header)}, the group has {_times(candidate.core[0])} (bit for bit)"
        refused[header.path] = faults.get(header.path, text)
    refused |= {h.path: faults[h.path] for h in candidate.core if h.path in faults}
    usable = [header for header in candidate.core if header.path not in faults]
    usable.sort(key=lambda h: (h.subband, h.path))
    for check in _CHECKS:
        refused |= check(usable) if usable else {}
        usable = [header for header in usable if header.path not in refused]
    accepted: dict[int, SubbandHeader] = {}
    duplicates: list[Path] = []
    rivals: defaultdict[int, list[SubbandHeader]] = defaultdict(list)
    for header in usable:
        rivals[header.subband].append(header)
    for subband, files in rivals.items():
        difference = _difference(files, digest) if len(files) > 1 else None
        if difference is None:
            accepted[subband] = files[0]
            duplicates += [header.path for header in files[1:]]
        else:
            names = ", ".join(header.path.name for header in files)
            text = f"{len(files)} files of sb{subband:02d} {difference}: {names}"
            refused |= {header.path: text for header in files}
    return Judgement(accepted, refused, duplicates)


def _difference(files: Sequence[SubbandHeader], digest: Callable[[Path], str]) -> str | None:
    """In what several files of a subband differ; None if they are copies of one."""
    if len({header.size_bytes for header in files}) > 1:
        return "of different size"
    try:
        return "with different content" if len({digest(header.path) for header in files}) > 1 else None
    except OSError as error:
        return f"that cannot be compared ({error})"


def _times(header: SubbandHeader) -> str:
    start = f"{header.group_key} (MJD {header.start_mjd:.10f})"
    return f"{header.n_integrations} integrations of {header.integration_s:.6f} s from {start}"


def _other_channels(headers: Sequence[SubbandHeader]) -> dict[Path, str]:
    usual = _majority(headers, lambda h: h.n_channels)
    text = "Nfreqs: {} channels, the group has {}"
    return {h.path: text.format(h.n_channels, usual) for h in headers if h.n_channels != usual}


def _other_direction(headers: Sequence[SubbandHeader]) -> dict[Path, str]:
    # The telescope writes all files alike: against its fellows, either frequencies or data are reversed.
    usual = _majority(headers, _direction)
    text = "freq_array: {} frequencies, the group has {} ones"
    return {h.path: text.format(_direction(h), usual) for h in headers if _direction(h) != usual}


def _direction(header: SubbandHeader) -> str:
    return "falling" if header.frequencies_hz[0] > header.frequencies_hz[-1] else "rising"


def _other_type(headers: Sequence[SubbandHeader]) -> dict[Path, str]:
    usual = _majority(headers, lambda h: str(h.data_dtype))
    text = "visdata: type {}, the group has {}"
    return {h.path: text.format(h.data_dtype, usual) for h in headers if str(h.data_dtype) != usual}


def _other_polarisations(headers: Sequence[SubbandHeader]) -> dict[Path, str]:
    usual = _majority(headers, lambda h: h.polarisations)
    text = "polarization_array: {}, the group has {}"
    return {h.path: text.format(h.polarisations, usual) for h in headers if h.polarisations != usual}


def _other_declination(headers: Sequence[SubbandHeader]) -> dict[Path, str]:
    def agree(a: float, b: float) -> bool:
        return abs(a - b) <= DECLINATION_TOLERANCE_DEG

    def n_subbands(value: float) -> int:
        return len({h.subband for h in headers if agree(h.declination_deg, value)})

    usual = max((h.declination_deg for h in headers), key=n_subbands)
    text = "declination: {:.4f}°, the group has {:.4f}°"
    return {
        h.path: text.format(h.declination_deg, usual) for h in headers if not agree(h.declination_deg, usual)
    }


def usual_header(headers: Iterable[SubbandHeader]) -> SubbandHeader:
    """The first header with the antennas that most have: what the whole group is written with.

    Parameters
    ----------
    headers : iterable of SubbandHeader
        Files in use, at least one.
    """
    known = sorted(headers, key=lambda h: h.subband)
    usual = _majority(known, lambda h: h.antennas)
    return next(header for header in known if header.antennas == usual)


def antenna_difference(header: SubbandHeader, usual: Iterable[int]) -> tuple[list[int], list[int]]:
    """Numbers of antennas that a file lacks of the usual ones, and of those that it has besides."""
    own, others = set(header.antennas), set(usual)
    return sorted(others - own), sorted(own - others)


def _other_antennas(headers: Sequence[SubbandHeader]) -> dict[Path, str]:
    usual = _majority(headers, lambda h: h.antennas)
    table = _majority(headers, lambda h: h.table_digest)
    refused: dict[Path, str] = {}
    for header in headers:
        lacking, extra = antenna_difference(header, usual)
        few = len(lacking) + len(extra) <= MOST_OTHER_ANTENNAS * len(usual)
        if (lacking or extra) and not (few and header.table_digest == table):
            text = f"antennas: {header.n_antennas} in the data, the group has {len(usual)}"
            text += f"; lacks numbers {_some(lacking)}" if lacking else ""
            text += f"; has numbers {_some(extra)} besides" if extra else ""
            refused[header.path] = text
    return refused


def _other_array(headers: Sequence[SubbandHeader]) -> dict[Path, str]:
    antennas = _majority(headers, lambda h: h.antennas)
    alike = [h for h in headers if h.antennas == antennas]
    table, order = _majority(alike, lambda h: h.table_digest), _majority(alike, lambda h: h.order_digest)
    text = "antennas: another antenna table or order of baselines than the group's"
    other = {h.path: text for h in headers if h.table_digest != table}
    return other | {h.path: text for h in alike if h.order_digest != order}


#: In this order: each looks at what the ones before have left.
_CHECKS = (
    _other_channels,
    _other_direction,
    _other_type,
    _other_polarisations,
    _other_declination,
    _other_antennas,
    _other_array,
)


def _majority(headers: Sequence[SubbandHeader], value: Callable[[SubbandHeader], _Value]) -> _Value:
    """The value that most subbands have; of equals, that of the lowest subband."""
    subbands: defaultdict[_Value, set[int]] = defaultdict(set)
    for header in headers:
        subbands[value(header)].add(header.subband)
    return max(subbands, key=lambda v: len(subbands[v]))


def _some(numbers: Sequence[int]) -> str:
    text = ", ".join(map(str, numbers[:_NUMBERS_NAMED]))
    return text if len(numbers) <= _NUMBERS_NAMED else f"{text}, … ({len(numbers)} in all)"
