"""One observation group's files in, one validated Measurement Set out.

Belongs here: choosing phase centre and writer.  Does not belong here: how a
writer works (``direct_writer.py``, ``pyuvdata_writer.py``), what is checked (``validate.py``).
"""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from contimg_assets import __version__
from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.applied_delays import keep_delays, read_delays
from contimg_assets.radio.conversion.subtables import finish_subtables
from contimg_assets.radio.conversion.validate import validate
from contimg_assets.radio.errors import BadSubbandFileError, ConversionError, GroupError
from contimg_assets.radio.group_members import antenna_difference, usual_header
from contimg_assets.radio.grouping import FileGroup, group_files
from contimg_assets.radio.uvh5 import SubbandHeader

#: ``direct`` streams; ``pyuvdata`` is the reference; ``auto`` is ``direct``, or the reference
#: for files that ``direct`` does not take.
Writer = Literal["direct", "pyuvdata", "auto"]


def one_group(paths: Sequence[Path], *, check_contents: bool = True) -> FileGroup:
    """The one usable group among the given files.

    Parameters
    ----------
    paths : sequence of Path
    check_contents : bool
        Also read all data, and leave out files of which too much is of no use.

    Raises
    ------
    GroupError
        If there is none, or more than one; it names what was found.
    """
    groups = group_files(paths, check_contents=check_contents)
    usable = [g for g in groups if g.key is not None and g.status in ("complete", "partial")]
    if len(usable) != 1:
        found = (
            "; ".join(f"{g.key or 'no key'}: {g.status}: {g.reason}" for g in groups) or "no subband files"
        )
        where = paths[0].parent if paths else "no files"
        raise GroupError(f"{where}: expected one usable group, found {len(usable)} ({found})")
    return usable[0]


def convert(paths: Sequence[Path], out: Path, writer: Writer = "direct") -> dict[str, Any]:
    """Convert the one group among ``paths`` into a Measurement Set.

    All subbands become one spectral window in ascending order of frequency;
    every integration is re-phased to the ICRS position of the meridian point
    at the middle of the group, with uvw computed for each.

    Parameters
    ----------
    paths : sequence of Path
        The files of one group.
    out : Path
        The Measurement Set to make; it appears under this name when complete.
    writer : {"direct", "pyuvdata", "auto"}
        See :data:`Writer`.

    Returns
    -------
    dict
        Numbers and facts about the conversion.

    Raises
    ------
    GroupError
        If the files are not one usable group.
    ConversionError
        If ``out`` exists, ``direct`` does not take the files, or what was
        written is not what was read.
    """
    if out.exists():
        raise ConversionError(f"{out} exists; expected a new name")
    began = time.monotonic()
    out.parent.mkdir(parents=True, exist_ok=True)
    building = out.with_name(f".{out.name}.building")
    try:
        # The direct writer looks at every value as it comes by: files that are mostly of no use
        # are rare, and then it begins anew without them.
        group = one_group(paths, check_contents=False)
        used = _choose(writer, group)
        try:
            if used == "pyuvdata":
                group = one_group(paths)
            facts = _write(used, group, building)
        except BadSubbandFileError:
            group = one_group(paths)
            facts = _write(used, group, building)
        facts |= validate(building, group.headers)
        building.rename(out)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return {"ms": str(out), "writer": used, **facts, "wall_seconds": time.monotonic() - began}


def _choose(writer: Writer, group: FileGroup) -> Literal["direct", "pyuvdata"]:
    if writer == "pyuvdata":
        return "pyuvdata"
    from contimg_assets.radio.conversion.direct_writer import refusal

    reason = refusal(group.headers)
    if reason is None:
        return "direct"
    if writer == "auto":
        return "pyuvdata"
    raise ConversionError(f"the direct writer does not take this group: {reason}")


def _write(writer: Literal["direct", "pyuvdata"], group: FileGroup, building: Path) -> dict[str, Any]:
    """Write the set; returns what there is to tell."""
    shutil.rmtree(building, ignore_errors=True)
    headers = group.headers
    first = usual_header(headers.values())
    declination = np.deg2rad(first.declination_deg)
    middle_jd = float(np.mean(first.times_jd[[0, -1]]))
    centre = phasing.meridian_centre(middle_jd, declination)
    history = (
        f"contimg {__version__}: group {group.key} from "
        + ", ".join(header.path.name for _, header in sorted(headers.items()))
        + (f"; missing subbands {group.missing}" if group.missing else "")
    )
    if writer == "direct":
        from contimg_assets.radio.conversion.direct_writer import convert_group
    else:
        from contimg_assets.radio.conversion.pyuvdata_writer import convert_group
    unusable_fraction = convert_group(headers, building, centre, history)
    times_s = (first.times_jd - phasing.JD_OF_MJD_0) * 86400.0
    keep_delays(building, read_delays(first))
    finish_subtables(building, declination, times_s, first.integration_s)
    start_mjd = first.start_mjd
    end_mjd = start_mjd + first.n_integrations * first.integration_s / 86400.0
    band = telescope.band_frequencies(first.n_channels)
    return {
        "group": group.key,
        "n_rows": first.n_baselines * first.n_integrations,
        "n_antennas": first.n_antennas,
        "n_integrations": first.n_integrations,
        "n_channels": len(band),
        "missing_subbands": list(group.missing),
        "unusable_fraction": unusable_fraction,
        "other_antennas": _other_antennas(headers, first),
        "refused_files": [f"{path.name}: {reason}" for path, reason in group.bad],
        "declination_deg": first.declination_deg,
        "centre_ra_deg": float(np.rad2deg(centre[0])),
        "centre_dec_deg": float(np.rad2deg(centre[1])),
        "start_utc": _iso(start_mjd),
        "end_utc": _iso(end_mjd),
        "mid_mjd": middle_jd - phasing.JD_OF_MJD_0,
        "channel_low_hz": float(band[0]),
        "channel_high_hz": float(band[-1]),
    }


def _other_antennas(headers: dict[int, SubbandHeader], usual: SubbandHeader) -> list[str]:
    """What files lack of the group's antennas (flagged there), and what they have besides (left out)."""
    names = dict(zip(usual.antenna_numbers, usual.antenna_names, strict=True))
    told: list[str] = []
    for subband, header in sorted(headers.items()):
        lacking, extra = antenna_difference(header, usual.antennas)
        for does, numbers in (("lacks", lacking), ("has besides", extra)):
            if numbers:
                told.append(f"sb{subband:02d} {does} antenna {', '.join(names[n] for n in numbers)}")
    return told


def _iso(mjd: float) -> str:
    from astropy.time import Time

    return str(Time(mjd, format="mjd", scale="utc").isot)
