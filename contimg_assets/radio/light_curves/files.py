"""Measurements of many groups as Parquet files, in the order of sky and time: reading and writing.

The order is that of HATS catalogues, and each row group's range of HEALPix numbers is in
the file's footer, so that a source or a disc is a few row groups.  Belongs here: the
columns, writing a file, reading a part of it.  Does not belong here: which file has
which day (``periods.py``), corrections (``corrections.py``).
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.photometry.table import COLUMNS, HEALPIX, schema

if TYPE_CHECKING:
    import pyarrow

#: Column with the identity of the product version that a row comes from.
VERSION = "version"
#: Rows of a row group: of a file that holds a day, and of larger ones.  What is read is whole row groups.
_DAY_ROWS, _ROWS, _LARGE = 4096, 16384, 100_000
#: Columns whose digits beyond the 13 bits kept (1e-4 of the value) tell nothing, and cost half of the file.
_ROUNDED = (
    *("apparent_error_jy", "noise_jy_beam", "chi_squared", "east_arcsec", "north_arcsec"),
    *("east_error_arcsec", "north_error_arcsec", "free_apparent_error_jy", "de_ruiter_radius"),
    *("slope_jy", "slope_error_jy"),
)
_DROPPED_BITS = 23 - 13
#: Columns with few values.
_REPEATED = (
    *(HEALPIX, "source", "kind", "ra_deg", "dec_deg", "group", "mjd", "frequency_mhz"),
    *("survey_jy", "n_joint", "flags", VERSION),
)


def rows_schema() -> "pyarrow.Schema":
    """Columns of the file of a group, and the version."""
    import pyarrow

    told = {"unit": "", "description": "identity of the product version that the row comes from"}
    version = pyarrow.field(VERSION, pyarrow.int32(), nullable=False, metadata=told)
    return schema({}).append(version)


def with_version(table: "pyarrow.Table", version: int) -> "pyarrow.Table":
    """Measurements of one group (``photometry/table.py``) as rows of these files."""
    import pyarrow

    column = pyarrow.array(np.full(len(table), version, np.int32))
    return table.append_column(VERSION, column).cast(rows_schema())


def joined(tables: Sequence["pyarrow.Table"]) -> "pyarrow.Table":
    """Rows of several tables, in no order."""
    import pyarrow

    wanted = rows_schema()
    if not tables:
        return wanted.empty_table()
    return pyarrow.concat_tables([table.cast(wanted) for table in tables]).unify_dictionaries()


def write_rows(path: Path, table: "pyarrow.Table") -> None:
    """Write rows, in the order of sky and time; the file is on the disk when this returns.

    Parameters
    ----------
    path : Path
    table : pyarrow.Table
        With the columns of :func:`rows_schema`, in any order of rows.
    """
    import pyarrow
    import pyarrow.parquet

    order = np.lexsort((table["mjd"].to_numpy(), table[HEALPIX].to_numpy()))
    table = table.take(pyarrow.array(order)).combine_chunks()
    for name in _ROUNDED:
        at = table.schema.get_field_index(name)
        rounded = pyarrow.array(_rounded(table[name].to_numpy()))
        table = table.set_column(at, table.schema.field(at), rounded)
    is_large = len(table) > _LARGE
    pyarrow.parquet.write_table(
        table,
        path,
        # A day's file lives for a month, and each light curve opens thirty: half of that was zstd.
        compression="zstd" if is_large else "lz4",
        row_group_size=_ROWS if is_large else _DAY_ROWS,
        use_dictionary=list(_REPEATED),
        use_byte_stream_split=[
            name for name, (of, _, _) in COLUMNS.items() if of == "float32" and name not in _REPEATED
        ],
        write_statistics=[HEALPIX],
    )
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def _rounded(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values to the bits that are kept; what is not a number stays so."""
    bits = np.ascontiguousarray(values, np.float32).view(np.int32)
    half = 1 << (_DROPPED_BITS - 1)
    kept = np.where(np.isfinite(values), (bits + half) & ~np.int32(2 * half - 1), bits)
    return kept.astype(np.int32).view(np.float32)


def read_rows(
    path: Path, ranges: NDArray[np.int64] | None = None, columns: Sequence[str] | None = None
) -> "pyarrow.Table":
    """Rows of a file: all, or those in ranges of HEALPix numbers; all columns or some.

    Parameters
    ----------
    path : Path
    ranges : ndarray, shape (n, 2), optional
        From ``healpix.disc``.
    columns : sequence of str, optional

    Raises
    ------
    MissingInputError
        If the file is not there, or is none of ours.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            wanted = None if columns is None else list(dict.fromkeys((HEALPIX, *columns)))
            if ranges is None:
                return file.read(columns=wanted, use_threads=False)
            groups = _row_groups(file.metadata, ranges)
            table = file.read_row_groups(groups, columns=wanted, use_threads=False)
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise MissingInputError(f"{path}: cannot be read as measurements: {error}") from error
    number = table[HEALPIX].to_numpy()
    if not len(number):
        return table
    # Rows are in order, so those of a range follow one another.
    at = np.searchsorted(number, ranges.ravel()).reshape(-1, 2)
    parts = [table.slice(int(a), int(b - a)) for a, b in _merged(at)]
    return pyarrow.concat_tables(parts) if parts else table.slice(0, 0)


def _merged(at: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Spans of rows without the empty ones, neighbours as one."""
    found: list[tuple[int, int]] = []
    for first, last in at[at[:, 1] > at[:, 0]].tolist():
        if found and found[-1][1] == first:
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    return found


def _row_groups(metadata: "pyarrow.parquet.FileMetaData", ranges: NDArray[np.int64]) -> list[int]:
    """Row groups that may have rows in the ranges."""
    found = []
    for number in range(metadata.num_row_groups):
        known = metadata.row_group(number).column(0).statistics
        # The first range that ends behind the group's first row.
        at = int(np.searchsorted(ranges[:, 1], known.min, side="right"))
        if at < len(ranges) and ranges[at, 0] <= known.max:
            found.append(number)
    return found
