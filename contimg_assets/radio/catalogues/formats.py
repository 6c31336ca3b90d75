"""What surveys publish, read into rows of one kind.

Belongs here: formats of files.  A format is told from the content, not from
the file's name.  Does not belong here: searching (``station/store.py``).

| survey | files |
|---|---|
| NVSS | VizieR's fixed-width ``nvss.dat``; NRAO's two-line ``NVSSCatalog.text``; a VizieR table |
| FIRST | the catalogue's text or FITS file; a VizieR table |
| VLASS | CIRADA's component CSV; a VizieR table |
| RACS | CASDA's source table as CSV, VOTable or FITS |
| VLA | NRAO's calibrator list |

Tables may be FITS, VOTable, CSV or ECSV, and every file may be gzipped.
"""

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from astropy.io.registry import IORegistryError
from astropy.table import Table
from numpy.typing import NDArray

from contimg_assets.radio.catalogues.surveys import SURVEYS, SurveyName
from contimg_assets.radio.catalogues.vla_calibrators import read_vla_calibrators
from contimg_assets.radio.errors import CatalogueError

#: One source: ICRS, deg; Jy; arcsec; deg.  NaN: the survey does not say.  A size of zero: unresolved.
ROW = np.dtype(
    [
        ("ra_deg", "f8"),
        ("dec_deg", "f8"),
        ("flux_jy", "f4"),
        ("flux_error_jy", "f4"),
        ("major_arcsec", "f4"),
        ("minor_arcsec", "f4"),
        ("position_angle_deg", "f4"),
        ("spectral_index", "f4"),
        ("name", "S24"),
    ]
)
Rows = NDArray[np.void]

#: Most that a FIRST entry may be a sidelobe.
_SIDELOBE = 0.15
_MJY = 1e-3


def read_survey(path: Path, survey: SurveyName) -> tuple[Rows, int]:
    """Read a survey's published file.

    Parameters
    ----------
    path : Path
    survey : str
        One of ``SURVEYS``.

    Returns
    -------
    rows : ndarray of ROW
        Sources with a position and a positive flux density, in the file's order.
    left_out : int
        Entries without them, and those that the survey itself marks as
        sidelobes or duplicates.

    Raises
    ------
    CatalogueError
        If the file is not of a format that the survey publishes.
    """
    try:
        rows, kept = _READERS[survey](path)
    except (OSError, UnicodeDecodeError, ValueError, IndexError) as error:
        raise CatalogueError(
            f"{path}: cannot be read as {SURVEYS[survey].title}: {error}; "
            "expected one of its published formats"
        ) from error
    with np.errstate(invalid="ignore"):
        good = kept & np.isfinite(rows["ra_deg"]) & (np.abs(rows["dec_deg"]) <= 90) & (rows["flux_jy"] > 0)
    if not good.any():
        raise CatalogueError(f"{path}: holds no source with a position and a flux density")
    return rows[good], int((~good).sum())


def _bytes(path: Path) -> bytes:
    with path.open("rb") as handle:
        compressed = handle.read(2) == b"\x1f\x8b"
    with gzip.open(path) if compressed else path.open("rb") as handle:
        return handle.read()


def _empty(n: int) -> Rows:
    rows = np.zeros(n, ROW)
    for name in ROW.names or ():
        if name != "name":
            rows[name] = np.nan
    return rows


class _Fixed:
    """Columns of fixed-width text; the blank ones are NaN."""

    def __init__(self, lines: Sequence[bytes], width: int) -> None:
        self.characters = np.array(lines, dtype=f"S{width}").view("S1").reshape(len(lines), width)

    def text(self, start: int, end: int) -> NDArray[np.bytes_]:
        return np.ascontiguousarray(self.characters[:, start:end]).view(f"S{end - start}")[:, 0]

    def number(self, start: int, end: int) -> NDArray[np.float64]:
        stripped = np.char.strip(self.text(start, end))
        return np.where(stripped == b"", b"nan", stripped).astype(np.float64)

    def angle(
        self, sign: int | None, first: tuple[int, int], second: tuple[int, int], third: tuple[int, int]
    ) -> NDArray[np.float64]:
        """Sexagesimal, in the unit of its first part; ``sign`` is a column or there is none."""
        value = self.number(*first) + self.number(*second) / 60 + self.number(*third) / 3600
        return value if sign is None else np.where(self.text(sign, sign + 1) == b"-", -value, value)


def _nvss(path: Path) -> tuple[Rows, NDArray[np.bool_]]:
    content = _bytes(path)
    head = content[:8192].split(b"\n")
    if len(head[0]) >= 83 and head[0][:1].isalpha() and head[0][52:53] in (b"+", b"-"):
        return _nvss_vizier(content)
    if any(_is_nvss_value(line) for line in head):
        return _nvss_text(content)
    table = _table(path)
    if "PEAK INT" in table.colnames:
        raise ValueError(
            "this is NRAO's CATALOG.FIT, whose raw peaks lack the survey's corrections; "
            "use nvss.dat (VizieR VIII/65) or NVSSCatalog.text"
        )
    rows = _from_table(table, flux=("S1.4",), error=("e_S1.4",), name=("NVSS",), unit=_MJY, survey="nvss")
    for name, flag in (("major_arcsec", "l_MajAxis"), ("minor_arcsec", "l_MinAxis")):
        if flag in table.colnames:
            rows[name][np.asarray(table[flag].astype(str)) == "<"] = 0.0
    return rows, np.ones(len(rows), bool)


def _nvss_vizier(content: bytes) -> tuple[Rows, NDArray[np.bool_]]:
    """VIII/65 (bytes as its ReadMe counts them, less one)."""
    fixed = _Fixed([line for line in content.split(b"\n") if line.strip()], 158)
    rows = _empty(len(fixed.characters))
    rows["ra_deg"] = 15 * fixed.angle(None, (40, 42), (43, 45), (46, 51))
    rows["dec_deg"] = fixed.angle(52, (53, 55), (56, 58), (59, 63))
    rows["flux_jy"] = _MJY * fixed.number(75, 83)
    rows["flux_error_jy"] = _MJY * fixed.number(84, 91)
    for name, limit, start in (("major_arcsec", 92, 93), ("minor_arcsec", 99, 100)):
        upper = fixed.text(limit, limit + 1) == b"<"
        rows[name] = np.where(upper, 0.0, fixed.number(start, start + 5))
    rows["position_angle_deg"] = fixed.number(106, 111)
    rows["name"] = np.char.add(b"NVSS J", np.char.strip(fixed.text(25, 39)))
    return rows, np.ones(len(rows), bool)


def _is_nvss_value(line: bytes) -> bool:
    return line[:2].isdigit() and line[2:3] == b" " and line[12:13] in (b"+", b"-") and line[13:15].isdigit()


def _nvss_text(content: bytes) -> tuple[Rows, NDArray[np.bool_]]:
    """NRAO's listing: a line of values, and below it one of their errors."""
    lines = content.split(b"\n")
    at = [i for i, line in enumerate(lines) if _is_nvss_value(line)]
    if at[-1] + 1 >= len(lines) or not lines[at[-1] + 1].strip():
        raise ValueError("the last line of values has no line of errors: the file is cut short")
    values, errors = _Fixed([lines[i] for i in at], 80), _Fixed([lines[i + 1] for i in at], 80)
    rows = _empty(len(at))
    rows["ra_deg"] = 15 * values.angle(None, (0, 2), (3, 5), (6, 11))
    rows["dec_deg"] = values.angle(12, (13, 15), (16, 18), (19, 23))
    rows["flux_jy"] = _MJY * values.number(23, 30)
    rows["flux_error_jy"] = _MJY * errors.number(23, 30)
    for name, start in (("major_arcsec", 31), ("minor_arcsec", 37)):
        # Five characters of a size, or a limit's sign and four.
        upper = values.text(start, start + 1) == b"<"
        values.characters[upper, start] = b" "
        rows[name] = np.where(upper, 0.0, values.number(start, start + 5))
    rows["position_angle_deg"] = values.number(43, 48)
    rows["name"] = _names(rows, "nvss")
    return rows, np.ones(len(rows), bool)


def _first(path: Path) -> tuple[Rows, NDArray[np.bool_]]:
    content = _bytes(path)
    if content[:1] == b"#" and b"Fpeak" in content[:2048]:
        words = [line.split() for line in content.splitlines() if line.strip() and line[:1] != b"#"]
        numbers = np.array([w[:16] for w in words]).astype(np.float64)
        # Minus zero degrees is negative as well.
        south = np.array([w[3].startswith(b"-") for w in words])
        rows = _empty(len(words))
        rows["ra_deg"] = 15 * (numbers[:, 0] + numbers[:, 1] / 60 + numbers[:, 2] / 3600)
        dec = np.abs(numbers[:, 3]) + numbers[:, 4] / 60 + numbers[:, 5] / 3600
        rows["dec_deg"] = np.where(south, -dec, dec)
        sidelobe, rms = numbers[:, 6], numbers[:, 9]
        rows["flux_jy"], rows["flux_error_jy"] = _MJY * numbers[:, 8], _MJY * rms
        rows["major_arcsec"], rows["minor_arcsec"] = np.maximum(numbers[:, 10:12], 0).T
        rows["position_angle_deg"] = numbers[:, 12]
        rows["name"] = _names(rows, "first")
        return rows, sidelobe < _SIDELOBE
    table = _table(path)
    rows = _from_table(
        table, flux=("FINT", "Fint"), error=("RMS", "Rms"), name=("FIRST",), unit=_MJY, survey="first"
    )
    sidelobe = _column(table, ("SIDEPROB", "p(S)", "p_S_"))
    return rows, np.ones(len(rows), bool) if sidelobe is None else sidelobe < _SIDELOBE


def _vlass(path: Path) -> tuple[Rows, NDArray[np.bool_]]:
    table = _table(path)
    rows = _from_table(
        table,
        flux=("Total_flux", "Ftot"),
        error=("E_Total_flux", "e_Ftot"),
        name=("Component_name", "CompName"),
        unit=_MJY,
        survey="vlass",
    )
    kept = np.ones(len(rows), bool)
    duplicate = _column(table, ("Duplicate_flag", "DupFlag"))
    quality = _column(table, ("Quality_flag", "QualFlag"))
    # The catalogue's users' guide: neither the worse of two measurements, nor what is flagged but for 4.
    if duplicate is not None:
        kept &= duplicate < 2
    if quality is not None:
        kept &= np.isin(quality, (0, 4))
    return rows, kept


def _racs(path: Path) -> tuple[Rows, NDArray[np.bool_]]:
    rows = _from_table(
        _table(path),
        flux=("total_flux_source", "total_flux", "Ftot"),
        error=("e_total_flux_source", "e_total_flux", "e_Ftot"),
        name=("source_name", "name", "RACS-DR1"),
        unit=_MJY,
        survey="racs",
    )
    return rows, np.ones(len(rows), bool)


def _vla(path: Path) -> tuple[Rows, NDArray[np.bool_]]:
    sources = read_vla_calibrators(path)
    rows = _empty(len(sources))
    for column in ("ra_deg", "dec_deg", "flux_jy", "spectral_index"):
        rows[column] = [getattr(s, column) for s in sources]
    rows["name"] = [s.name for s in sources]
    return rows, np.ones(len(rows), bool)


_READERS: dict[SurveyName, Callable[[Path], tuple[Rows, NDArray[np.bool_]]]] = {
    "nvss": _nvss,
    "first": _first,
    "vlass": _vlass,
    "racs": _racs,
    "vla": _vla,
}


def _table(path: Path) -> Table:
    """A table in any of the formats that archives hand out."""
    head = _bytes(path)[:512].lstrip()
    kind = "ascii.csv"
    if head.startswith(b"SIMPLE"):
        kind = "fits"
    elif head.startswith(b"<") and b"VOTABLE" in head.upper():
        kind = "votable"
    elif head.startswith(b"# %ECSV"):
        kind = "ascii.ecsv"
    try:
        return Table.read(path, format=kind)
    except IORegistryError as error:
        raise ValueError(str(error)) from error


def _column(table: Table, names: Sequence[str]) -> NDArray[np.float64] | None:
    """The first of these columns that there is (case ignored), as numbers; masked ones are NaN."""
    lower = {str(name).lower(): str(name) for name in table.colnames}
    for name in names:
        if name.lower() in lower:
            column = table[lower[name.lower()]]
            values = np.ma.asarray(column.astype(float) if column.dtype.kind in "iub" else column)
            if values.dtype.kind not in "f":
                raise ValueError(f"column {name} holds no numbers")
            return np.ma.filled(values.astype(np.float64), np.nan)
    return None


def _position(table: Table, names: Sequence[str], hours: bool) -> NDArray[np.float64]:
    lower = {str(name).lower(): str(name) for name in table.colnames}
    for name in names:
        if name.lower() not in lower:
            continue
        column = table[lower[name.lower()]]
        if column.dtype.kind == "f":
            return np.ma.filled(np.ma.asarray(column).astype(np.float64), np.nan)
        # VizieR keeps sexagesimal columns of the original as text.
        parts = np.array([str(text).split() for text in column], dtype=float)
        sign = np.array([str(text).lstrip().startswith("-") for text in column])
        value = np.abs(parts[:, 0]) + parts[:, 1] / 60 + parts[:, 2] / 3600
        return np.where(sign, -value, value) * (15 if hours else 1)
    raise ValueError(f"found the columns {', '.join(table.colnames)}; expected one of {', '.join(names)}")


def _from_table(
    table: Table,
    *,
    flux: Sequence[str],
    error: Sequence[str],
    name: Sequence[str],
    unit: float,
    survey: SurveyName,
) -> Rows:
    rows = _empty(len(table))
    rows["ra_deg"] = _position(table, ("ra", "RAJ2000", "RA_ICRS"), hours=True)
    rows["dec_deg"] = _position(table, ("dec", "DEJ2000", "DE_ICRS"), hours=False)
    flux_values = _column(table, flux)
    if flux_values is None:
        raise ValueError(f"found the columns {', '.join(table.colnames)}; expected {' or '.join(flux)}")
    rows["flux_jy"] = unit * flux_values
    for target, names, scale in (
        ("flux_error_jy", error, unit),
        ("major_arcsec", ("DC_Maj", "DCMaj", "MajAxis", "MAJOR", "Maj", "dc_maj_axis"), 1.0),
        ("minor_arcsec", ("DC_Min", "DCMin", "MinAxis", "MINOR", "Min", "dc_min_axis"), 1.0),
        ("position_angle_deg", ("DC_PA", "DCPA", "PA", "POSANG"), 1.0),
    ):
        values = _column(table, names)
        if values is not None:
            rows[target] = scale * (np.maximum(values, 0) if target.endswith("arcsec") else values)
    lower = {str(column).lower(): str(column) for column in table.colnames}
    found = next((lower[n.lower()] for n in name if n.lower() in lower), None)
    if found is None:
        rows["name"] = _names(rows, survey)
    else:
        rows["name"] = [str(text).strip().encode("ascii", "replace") for text in table[found]]
    return rows


def _names(rows: Rows, survey: SurveyName) -> list[bytes]:
    """Names from positions, truncated as the IAU asks."""
    seconds = np.floor(np.nan_to_num(rows["ra_deg"]) * 240 + 1e-6).astype(int) % 86400
    arcsec = np.floor(np.abs(np.nan_to_num(rows["dec_deg"])) * 3600 + 1e-6).astype(int)
    sign = np.where(np.signbit(rows["dec_deg"]), "-", "+")
    return [
        f"{SURVEYS[survey].prefix}{s // 3600:02d}{s // 60 % 60:02d}{s % 60:02d}"
        f"{c}{a // 3600:02d}{a // 60 % 60:02d}{a % 60:02d}".encode()
        for s, c, a in zip(seconds, sign, arcsec, strict=True)
    ]
