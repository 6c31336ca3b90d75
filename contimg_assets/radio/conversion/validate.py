"""What was written, held against the headers of what was read, before anybody sees it."""

from pathlib import Path

import numpy as np

from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.errors import ConversionError
from contimg_assets.radio.group_members import usual_header
from contimg_assets.radio.measurement_set import read_shape
from contimg_assets.radio.uvh5 import SubbandHeader

#: Columns that the chain and other programs read.
_COLUMNS = (
    *("ANTENNA1", "ANTENNA2", "DATA", "DATA_DESC_ID", "EXPOSURE", "FIELD_ID", "FLAG", "FLAG_ROW", "INTERVAL"),
    *("SCAN_NUMBER", "SIGMA", "TIME", "TIME_CENTROID", "UVW", "WEIGHT", "WEIGHT_SPECTRUM"),
)
#: An antenna's place may differ from the file's by this much, m.
_POSITION_TOLERANCE_M = 0.05
#: A time may differ by this much, s (a JD in float64 is good to 40 µs).
_TIME_TOLERANCE_S = 1e-3
#: The pointing's declination may differ by this much, rad (0.2 mas).
_DECLINATION_TOLERANCE = 1e-9


def validate(ms: Path, headers: dict[int, SubbandHeader]) -> dict[str, float]:
    """Hold a new Measurement Set against its group.

    Parameters
    ----------
    ms : Path
    headers : dict of int to SubbandHeader
        What it was made from.

    Returns
    -------
    dict
        How far antennas and times are off.

    Raises
    ------
    ConversionError
        If columns, rows, baselines, channels, times, antennas or pointing are
        not those of the group.
    """
    from casacore.tables import table

    header = usual_header(headers.values())

    def need(good: object, what: str, found: object, expected: object) -> None:
        if not good:
            raise ConversionError(f"{ms}: {what}: found {found}; expected {expected}")

    with table(str(ms), ack=False) as main:
        missing = sorted(set(_COLUMNS) - set(main.colnames()))
        need(not missing, "columns", f"no {', '.join(missing)}", "them")
        need(not np.any(main.getcol("FIELD_ID")), "FIELD_ID", "several fields", "one")
        scans = np.unique(main.getcol("SCAN_NUMBER"))
        need(len(scans) == 1, "SCAN_NUMBER", scans.tolist(), "one scan")
    shape = read_shape(ms)
    size = (header.n_integrations, header.n_baselines, header.n_channels * telescope.N_SUBBANDS)
    found = shape.data_shape
    need(found == (*size, header.n_polarisations), "shape", found, (*size, header.n_polarisations))
    antennas = tuple(shape.antennas.tolist())
    need(antennas == header.antennas, "antennas in the data", antennas, header.antennas)
    # Ids in the set are the files' numbers.
    numbers = list(header.antenna_numbers)
    names = tuple(shape.antenna_names[n] for n in numbers)
    need(names == header.antenna_names, "ANTENNA", names, header.antenna_names)
    steps = np.diff(shape.frequencies_hz)
    # A quarter of a channel: far above rounding, far below a subband out of place.
    good = np.all(np.abs(steps - header.channel_width_hz) < 0.25 * header.channel_width_hz)
    if len(steps):
        need(good, "channels", f"steps of {steps.min()} to {steps.max()} Hz", f"{header.channel_width_hz} Hz")
    lowest = telescope.band_frequencies(header.n_channels)[0]
    offset = abs(shape.frequencies_hz[0] - lowest)
    need(offset < 0.5 * header.channel_width_hz, "lowest channel", shape.frequencies_hz[0], f"{lowest} Hz")
    time_error_s = float(86400.0 * np.abs(shape.times_jd - header.times_jd).max())
    need(time_error_s < _TIME_TOLERANCE_S, "TIME", f"{time_error_s} s off", "the files' times")
    # The files give places from the site, and the site for themselves.
    offsets = shape.antenna_positions[numbers] - header.antenna_positions_m
    errors = np.linalg.norm(offsets - np.median(offsets, axis=0), axis=1)
    worst = names[int(np.argmax(errors))]
    good = errors.max() < _POSITION_TOLERANCE_M
    need(good, "POSITION", f"antenna {worst} {errors.max():.3f} m off", "the files' positions")
    declination = np.deg2rad(header.declination_deg)
    good = abs(shape.declination_rad - declination) < _DECLINATION_TOLERANCE
    need(good, "POINTING", f"declination {shape.declination_rad} rad", f"{declination} rad")
    middle = float(np.mean(header.times_jd[[0, -1]]))
    centre = phasing.meridian_centre(middle, declination)
    good = np.allclose(shape.centre, centre, rtol=0, atol=_DECLINATION_TOLERANCE)
    need(good, "PHASE_DIR", shape.centre, centre)
    return {"antenna_position_error_m": float(errors.max()), "time_error_s": time_error_s}
