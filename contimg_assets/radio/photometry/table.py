"""Measurements as an immutable Parquet file: columns, units, order.

Belongs here: the schema, writing it, reading it back, and what follows from a row.
Does not belong here: where files lie and which of them count (``station/``).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.healpix import nested

if TYPE_CHECKING:
    import pyarrow

#: Name of the file in the product's folder.
FILE = "photometry.parquet"
#: What HATS calls the column of HEALPix numbers.
HEALPIX = "_healpix_29"
#: Key of the file's own metadata.
META = b"contimg"
#: Column to type, unit and meaning, in order.
COLUMNS: dict[str, tuple[str, str, str]] = {
    HEALPIX: ("int64", "", "nested HEALPix pixel of the position at order 29; rows are in its order"),
    "source": ("text", "", "name of the source"),
    "kind": ("text", "", "survey, watched, or blind: a detection that is neither"),
    "ra_deg": ("float64", "deg", "ICRS right ascension that was measured at"),
    "dec_deg": ("float64", "deg", "ICRS declination that was measured at"),
    "group": ("text", "", "observation group"),
    "mjd": ("float64", "d", "middle of the group, UTC"),
    "frequency_mhz": ("float32", "MHz", "frequency of the image, for a typical spectrum"),
    "apparent_jy": ("float32", "Jy", "flux density of a point there, not divided by the beam"),
    "apparent_error_jy": ("float32", "Jy", "its standard error, from the noise alone"),
    "beam": ("float32", "", "primary beam, averaged over the drift"),
    "noise_jy_beam": ("float32", "Jy/beam", "local noise of the image"),
    "chi_squared": ("float32", "", "of what the fit leaves, over its expectation"),
    "east_arcsec": ("float32", "arcsec", "fitted position less ra_deg, times cos dec; NaN: too faint"),
    "north_arcsec": ("float32", "arcsec", "fitted position less dec_deg"),
    "east_error_arcsec": ("float32", "arcsec", "its standard error"),
    "north_error_arcsec": ("float32", "arcsec", "its standard error"),
    "free_apparent_jy": ("float32", "Jy", "flux density at the fitted position"),
    "free_apparent_error_jy": ("float32", "Jy", "its standard error"),
    "slope_jy": ("float32", "Jy", "apparent_jy times the spectral index within the band; NaN: too faint"),
    "slope_error_jy": ("float32", "Jy", "its standard error"),
    "detected_apparent_jy": ("float32", "Jy", "peak of the detection that is this source; NaN: none is"),
    "de_ruiter_radius": ("float32", "", "of that detection"),
    "survey_jy": ("float32", "Jy", "flux density that the survey expects on the sky; NaN: it does not say"),
    "n_joint": ("int16", "", "sources that were fitted together"),
    "flags": (
        "int32",
        "",
        "bits: 1 edge, 2 blank, 4 low beam, 8 blended, 16 merged, 32 artefacts, "
        "64 limit, 128 moved, 256 poor fit",
    ),
}


def schema(meta: Mapping[str, Any]) -> "pyarrow.Schema":
    """The file's schema: units and meanings in the fields' metadata, the rest in its own."""
    import pyarrow

    def kind(name: str) -> Any:
        if name == "text":
            return pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
        return getattr(pyarrow, name)()

    fields = [
        pyarrow.field(name, kind(of), nullable=False, metadata={"unit": unit, "description": told})
        for name, (of, unit, told) in COLUMNS.items()
    ]
    return pyarrow.schema(fields, metadata={META: json.dumps(dict(meta))})


def write_measurements(path: Path, columns: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
    """Write the rows of one group, in the order of sky and time.

    Parameters
    ----------
    path : Path
    columns : Mapping
        Every column of ``COLUMNS`` but the HEALPix number, of equal length.
    meta : Mapping
        What holds for the whole file.
    """
    import pyarrow
    import pyarrow.parquet

    own = {HEALPIX: nested(columns["ra_deg"], columns["dec_deg"]), **columns}
    order = np.lexsort((own["source"], own["mjd"], own[HEALPIX]))
    planned = schema(meta)
    arrays = [
        pyarrow.array(np.asarray(own[field.name])[order].tolist(), pyarrow.string()).dictionary_encode()
        if COLUMNS[field.name][0] == "text"
        else pyarrow.array(np.asarray(own[field.name])[order].astype(COLUMNS[field.name][0]), field.type)
        for field in planned
    ]
    texts = [name for name, (of, _, _) in COLUMNS.items() if of == "text"]
    floats = [name for name, (of, _, _) in COLUMNS.items() if of.startswith("float")]
    pyarrow.parquet.write_table(
        pyarrow.Table.from_arrays(arrays, schema=planned),
        path,
        compression="zstd",
        use_dictionary=texts,
        use_byte_stream_split=floats,
    )


def read_measurements(
    path: Path, *, source: str | None = None, columns: Sequence[str] | None = None
) -> "pyarrow.Table":
    """Rows of a file: all, or those of one source; all columns or some.

    Raises
    ------
    MissingInputError
        If the file is not there, or is none of ours.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(
            path,
            columns=None if columns is None else list(columns),
            filters=None if source is None else [("source", "==", source)],
        )
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise MissingInputError(f"{path}: cannot be read as measurements: {error}") from error
    if META not in (table.schema.metadata or {}):
        raise MissingInputError(f"{path}: found no metadata {META.decode()!r}, expected it")
    return table
