"""The simulated sky as a survey would publish it, for comparisons with images."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from contimg_assets.radio.sky import REFERENCE_HZ, Source

#: Fainter sources are not in NVSS.
NVSS_LIMIT_JY = 2.5e-3


def nvss_line(source: Source) -> str:
    """A source as a line of ``nvss.dat`` (VizieR VIII/65), without error: 158 characters."""
    hundredths = round(source.ra_deg % 360 * 24000) % 8640000
    seconds = hundredths / 100
    arcsec = round(abs(source.dec_deg) * 36000) / 10
    sign = "-" if source.dec_deg < 0 else "+"
    h, m, s = int(seconds // 3600), int(seconds // 60 % 60), seconds % 60
    d, arcmin, sec = int(arcsec // 3600), int(arcsec // 60 % 60), arcsec % 60
    name = f"{h:02d}{m:02d}{int(s):02d}{sign}{d:02d}{arcmin:02d}{int(sec):02d}"
    flux = 1e3 * float(source.flux(REFERENCE_HZ))
    sizes = f"<{15.0:5.1f} <{15.0:5.1f}"
    return (
        f"C0000P00 {0:7.2f} {0:7.2f} {name:14s} {h:02d} {m:02d} {s:05.2f} "
        f"{sign}{d:02d} {arcmin:02d} {sec:04.1f} "
        f"{0.03:5.2f} {0.6:4.1f} {flux:8.1f} {np.hypot(0.45, 0.03 * flux):7.1f} {sizes}"
    ).ljust(158)


def write_nvss_of(folder: Path, truths: Iterable[Path]) -> Path:
    """Write the sky of simulated groups, as far as NVSS would hold it, in its published format.

    Parameters
    ----------
    folder : Path
        Where ``nvss.dat`` goes, in place of an earlier one.
    truths : iterable of Path
        Of the groups; a source that is in several stands once.

    Returns
    -------
    Path
    """
    lines = set()
    for truth in truths:
        for known in json.loads(truth.read_text())["sources"]:
            source = Source(
                *(known[k] for k in ("name", "ra_deg", "dec_deg", "flux_jy", "spectral_index", "scale_name"))
            )
            if float(source.flux(REFERENCE_HZ)) >= NVSS_LIMIT_JY:
                lines.add(nvss_line(source))
    path = folder / "nvss.dat"
    path.write_text("".join(f"{line}\n" for line in sorted(lines)), encoding="ascii")
    return path
