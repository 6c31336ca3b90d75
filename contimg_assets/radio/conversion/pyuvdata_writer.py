"""The conversion through pyuvdata: read, set up the drift, re-phase, write.

pyuvdata does every step of the physics here, with its own astrometry; the
project's geometry (``radio.phasing``) only names the phase centre.  That makes
this route the reference for any faster one.
"""

import warnings
from pathlib import Path

import numpy as np
from pyuvdata import UVData

from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.conversion.layout import CORRELATION_TYPES
from contimg_assets.radio.conversion.shared_rows import refuse_other_antennas
from contimg_assets.radio.group_members import usual_header
from contimg_assets.radio.uvh5 import SubbandHeader, unusable


def read_group(headers: dict[int, SubbandHeader]) -> tuple[UVData, float]:
    """Read all subbands of a group into one object, ascending in frequency.

    A missing subband stands at its true frequencies, zero and flagged.

    Parameters
    ----------
    headers : dict of int to SubbandHeader
        By subband number; validated (``grouping``).

    Returns
    -------
    tuple
        UVData, each integration still phased to its own meridian point; and the part of the files'
        values that is of no use and was not flagged: it is now.
    """
    template = usual_header(headers.values())
    merged = _read(template.path)
    n_channels, n_band = template.n_channels, template.n_channels * telescope.N_SUBBANDS
    shape = (merged.Nblts, n_band, merged.Npols)
    data = np.zeros(shape, np.complex64)
    flags = np.ones(shape, bool)
    samples = np.zeros(shape, np.float32)
    frequencies = np.empty(n_band)
    n_unusable = 0
    for place, subband in enumerate(reversed(range(telescope.N_SUBBANDS))):
        channels = slice(place * n_channels, (place + 1) * n_channels)
        if subband not in headers:
            frequencies[channels] = telescope.subband_frequencies(subband, n_channels)[::-1]
            continue
        refuse_other_antennas(headers[subband], template)
        part = _read(headers[subband].path)
        frequencies[channels] = part.freq_array[::-1]
        bad = unusable(part.data_array, part.flag_array, part.nsample_array)
        n_unusable += int(np.count_nonzero(bad))
        part.data_array[bad], part.flag_array[bad], part.nsample_array[bad] = 0, True, 0
        data[:, channels] = part.data_array[:, ::-1]
        flags[:, channels] = part.flag_array[:, ::-1]
        samples[:, channels] = part.nsample_array[:, ::-1]
    merged.data_array, merged.flag_array, merged.nsample_array = data, flags, samples
    merged.freq_array, merged.Nfreqs = frequencies, n_band
    merged.channel_width = np.full(n_band, template.channel_width_hz)
    merged.spw_array = np.array([0])
    merged.flex_spw_id_array = np.zeros(n_band, dtype=int)
    return merged, n_unusable / (data.size // telescope.N_SUBBANDS * len(headers))


def _read(path: Path) -> UVData:
    with warnings.catch_warnings():
        # The file's float32 uvw and legacy phase attributes are known and replaced below.
        warnings.simplefilter("ignore", UserWarning)
        uvd = UVData()
        uvd.read_uvh5(
            path,
            run_check=False,
            run_check_acceptability=False,
            strict_uvw_antpos_check=False,
            fix_old_proj=False,
        )
    return uvd


def set_drift(uvd: UVData, declination_rad: float) -> None:
    """Tell pyuvdata that each integration is phased to its own meridian point.

    The file's uvw are float32; they are computed anew from the positions.
    """
    latitude = telescope.SITE_LATITUDE_RAD
    azimuth = 0.0 if declination_rad > latitude else np.pi
    elevation = np.pi / 2 - abs(latitude - declination_rad)
    uvd.phase_center_catalog = None
    uvd.phase_center_id_array = np.zeros(uvd.Nblts, dtype=int)
    uvd._add_phase_center(
        "meridian", cat_type="driftscan", cat_lon=azimuth, cat_lat=elevation, cat_frame="altaz", cat_id=0
    )
    uvd.set_lsts_from_time_array()
    uvd._set_app_coords_helper()
    uvd.set_uvws_from_antenna_positions(update_vis=False)


def _exact_uvw(uvd: UVData, centre: tuple[float, float]) -> np.ndarray:
    """uvw about the centre with v towards ICRS north *at the centre*.

    pyuvdata 3.2 takes the direction of north from an arc of 1° as seen from
    the arc's lower end, 0.5° off the centre: 10″ of rotation at +54.57°, 0.26″
    at the edge of the field.  w, and so every phase, is not concerned.
    """
    times, index = np.unique(uvd.time_array, return_inverse=True)
    axes = phasing.uvw_axes(times, *centre)
    positions = phasing.to_meridian_frame(uvd.telescope.antenna_positions)
    place = np.zeros(max(uvd.telescope.antenna_numbers) + 1, dtype=int)
    place[uvd.telescope.antenna_numbers] = np.arange(uvd.telescope.Nants)
    baselines = positions[place[uvd.ant_2_array]] - positions[place[uvd.ant_1_array]]
    return np.einsum("rij,rj->ri", axes[index], baselines)


def _put_higher_antenna_first(uvd: UVData) -> None:
    """Name every baseline with the higher antenna first.

    Left to itself, ``write_ms`` does so for antennas in random order, and the
    reverse (with uvw antenna 1 less antenna 2) for files whose antennas happen
    to be sorted.  pyuvdata 3.2 exchanges XY and YX of the visibilities of the
    baselines concerned, but not of their flags and samples.
    """
    turned = uvd.ant_1_array < uvd.ant_2_array
    codes = uvd.polarization_array.tolist()
    order = [codes.index({-7: -8, -8: -7}.get(code, code)) for code in codes]
    uvd.conjugate_bls("ant2<ant1")
    for array in (uvd.flag_array, uvd.nsample_array):
        array[turned] = array[turned][:, :, order]


def _replace_weights(ms: Path, polarisations: tuple[int, ...]) -> None:
    """WEIGHT in the order of the correlations, and SIGMA = 1/√WEIGHT.

    pyuvdata 3.2 leaves WEIGHT in the order of the file, and in SIGMA what was
    in memory where the weight is zero.
    """
    from casacore.tables import table

    order = np.argsort([CORRELATION_TYPES[code] for code in polarisations])
    with table(str(ms), readonly=False, ack=False) as main:
        weights = main.getcol("WEIGHT")[:, order]
        main.putcol("WEIGHT", weights)
        main.putcol("SIGMA", np.divide(1, np.sqrt(weights), where=weights > 0, out=np.zeros_like(weights)))


def convert_group(
    headers: dict[int, SubbandHeader], out: Path, centre: tuple[float, float], history: str
) -> float:
    """Write a group as a Measurement Set with pyuvdata.

    Parameters
    ----------
    headers : dict of int to SubbandHeader
        By subband number.
    out : Path
        The Measurement Set to make.
    centre : tuple of float
        ICRS phase centre, rad.
    history : str
        A line for the HISTORY table.

    Returns
    -------
    float
        See :func:`read_group`.
    """
    template = usual_header(headers.values())
    uvd, unusable_fraction = read_group(headers)
    set_drift(uvd, np.deg2rad(template.declination_deg))
    uvd.telescope.name = telescope.TELESCOPE_NAME
    uvd.telescope.instrument = telescope.TELESCOPE_NAME
    uvd.telescope.mount_type = ["alt-az"] * uvd.telescope.Nants
    uvd.history = history
    uvd.extra_keywords = {}
    uvd.vis_units = "uncalib"
    uvd.phase(
        ra=centre[0],
        dec=centre[1],
        cat_name=phasing.centre_name(*centre),
        phase_frame="icrs",
        cat_type="sidereal",
    )
    uvd.uvw_array = _exact_uvw(uvd, centre)
    _put_higher_antenna_first(uvd)
    with warnings.catch_warnings():
        # Not a known telescope of pyuvdata's; positions and name are set from the file.
        warnings.simplefilter("ignore", UserWarning)
        uvd.write_ms(str(out), run_check_acceptability=False, flip_conj=False)
    _replace_weights(out, template.polarisations)
    return unusable_fraction
