"""Corrections of groups as a small table, which is joined to measurements when these are read.

Belongs here: its columns, writing and reading.  Does not belong here: solving
(``solve.py``), applying (``radio/light_curves/corrections.py``).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from contimg_assets.radio.flux_scale.beam_terms import N_TERMS
from contimg_assets.radio.flux_scale.solve import Axis, Scales

if TYPE_CHECKING:
    import pandas
    import pyarrow

#: Name of the file in the product's folder.
FILE = "scales.parquet"
#: Column to unit and meaning.
COLUMNS: dict[str, tuple[str, str]] = {
    "log_scale": ("", "natural logarithm of measured over true flux density; NaN: too few sources"),
    "log_scale_error": ("", "its standard error"),
    "n_sources": ("", "sources that it is from"),
    "east_arcsec": ("arcsec", "median offset of positions from the catalogue's"),
    "north_arcsec": ("arcsec", "the same to the north"),
    "offset_error_arcsec": ("arcsec", "its standard error"),
    "axis_ra_deg": ("deg", "where the beam pointed in the middle of the group, ICRS"),
    "axis_dec_deg": ("deg", "where the beam pointed in the middle of the group, ICRS"),
    "reach_deg": ("deg", "the beam is corrected so far from the axis"),
}
#: The beam's coefficients, the same for all groups of a day; and as columns of a frame.
BEAM = "beam"
BEAM_COLUMNS = tuple(f"{BEAM}_{k}" for k in range(N_TERMS))


def schema() -> "pyarrow.Schema":
    """Columns of the table."""
    import pyarrow

    own = [
        pyarrow.field(name, pyarrow.float64(), metadata={"unit": unit, "description": told})
        for name, (unit, told) in COLUMNS.items()
    ]
    return pyarrow.schema(
        [
            pyarrow.field("group", pyarrow.string()),
            *own,
            pyarrow.field(BEAM, pyarrow.list_(pyarrow.float64(), N_TERMS)),
        ]
    )


def table_of(scales: Scales, axes: Mapping[str, Axis]) -> "pyarrow.Table":
    """A day's corrections."""
    import pyarrow

    n = len(scales.groups)
    values = {
        "axis_ra_deg": np.array([axes[group].ra_deg for group in scales.groups]),
        "axis_dec_deg": np.array([axes[group].dec_deg for group in scales.groups]),
        "reach_deg": np.full(n, scales.reach_deg),
    }
    columns = [
        pyarrow.array(np.asarray(values.get(name, getattr(scales, name, None)), np.float64))
        for name in COLUMNS
    ]
    beam = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(np.tile(scales.beam, n)), N_TERMS)
    return pyarrow.Table.from_arrays([pyarrow.array(list(scales.groups)), *columns, beam], schema=schema())


def read_scales(path: Path) -> "pyarrow.Table":
    """Corrections of a file."""
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(path).read(use_threads=False)


def write_scales(path: Path, table: "pyarrow.Table") -> None:
    """Write corrections, in the order of time."""
    import pyarrow.parquet

    pyarrow.parquet.write_table(table.sort_by("group"), path, compression="zstd")


def join_scales(tables: "list[pyarrow.Table]") -> "pyarrow.Table":
    """Corrections of several days."""
    import pyarrow

    return pyarrow.concat_tables(tables) if tables else schema().empty_table()


def frame_of(table: "pyarrow.Table") -> "pandas.DataFrame":
    """Corrections by group, in order, a column for each of the beam's coefficients."""
    import pandas

    frame = table.drop_columns([BEAM]).to_pandas().set_index("group")
    flat = table[BEAM].combine_chunks().flatten().to_numpy()
    beam = pandas.DataFrame(flat.reshape(-1, N_TERMS), index=frame.index, columns=list(BEAM_COLUMNS))
    return frame.join(beam).sort_index() if len(frame) else frame.reindex(columns=[*frame, *BEAM_COLUMNS])
