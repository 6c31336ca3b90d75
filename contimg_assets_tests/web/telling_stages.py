"""Fake stages that also leave what is shown of their products: numbers, summaries, arrays, small images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from contimg_assets_tests.fake_stages import ANTENNAS, BAND_HZ, MJD, FakeStages

N_CHANNELS, N_TIMES, N_PIXELS = 32, 4, 64
_EACH = {"snr": [40.0, 41.0], "delay_ns": [0.5, -0.5], "phase_wander_deg": [0.1, 0.2]}


class TellingStages(FakeStages):
    """Makes what each stage would, and what describes it."""

    def _make(self, name: str, key: str, told: dict[str, Any]) -> dict[str, Any]:
        made = super()._make(name, key, told)
        if name == "convert":
            return {**made, **_converted(key)}
        if name == "flag":
            summary = {**made, **_flagged()}
            (told["out"] / "summary.json").write_text(json.dumps(summary))
            return made
        if name == "solve":
            each = dict.fromkeys(ANTENNAS, _EACH)
            np.savez(
                told["out"] / "solutions.npz",
                antennas=np.array(ANTENNAS),
                frequencies_hz=np.linspace(*BAND_HZ, N_CHANNELS),
                bandpass=np.ones((len(ANTENNAS), N_CHANNELS, 2), np.complex64),
                flags=np.zeros((len(ANTENNAS), N_CHANNELS, 2), bool),
                snr=np.full((len(ANTENNAS), N_CHANNELS, 2), 40.0, np.float32),
            )
            phases = {name: [0.0, 0.1, -0.1] for name in ANTENNAS}
            return {**made, "antenna_quality": each, "phases_deg": phases}
        if name == "image":
            write_images(told["out"], told["name"])
            return {**made, "expected_rms_mjy_beam": 0.28, "peak_jy_beam": 1.2, "n_sources": 12, **_BEAM}
        return made


_BEAM = {"beam_major_arcsec": 53.0, "beam_minor_arcsec": 20.0, "beam_pa_deg": 80.0}


def _converted(key: str) -> dict[str, Any]:
    day = key[:10]
    return {
        "start_utc": f"{key}.000",
        "end_utc": f"{day}T{key[11:13]}:05:09.240",
        "mid_mjd": MJD[key],
        "n_integrations": N_TIMES,
        "n_channels": N_CHANNELS,
        "centre_ra_deg": 128.7,
        "centre_dec_deg": 54.5,
        "size_bytes": 123_456_789,
    }


def _flagged() -> dict[str, Any]:
    return {
        "rfi_fraction": 0.01,
        "zero_fraction": 0.0,
        "dead_antenna_subbands": [],
        "alarms": [],
        "alarm_line": 0.35,
        "by_antenna": dict.fromkeys(ANTENNAS, 0.05),
        "coherence_by_antenna": {**dict.fromkeys(ANTENNAS, 1.0), ANTENNAS[0]: float("nan")},
        "by_subband": [0.05] * 16,
        "by_integration": [0.05] * N_TIMES,
        "by_channel": [0.05] * N_CHANNELS,
        "by_integration_and_channel": [[0.05] * N_CHANNELS] * N_TIMES,
        "frequencies_mhz": np.linspace(BAND_HZ[0] / 1e6, BAND_HZ[1] / 1e6, N_CHANNELS).tolist(),
    }


def write_images(folder: Path, name: str) -> None:
    """Write small planes of an image."""
    header = fits.Header()
    axes = (("RA---SIN", 128.7, -0.01), ("DEC--SIN", 54.5, 0.01))
    for number, (kind, value, step) in enumerate(axes, start=1):
        header[f"CTYPE{number}"], header[f"CRVAL{number}"], header[f"CDELT{number}"] = kind, value, step
        header[f"CRPIX{number}"], header[f"CUNIT{number}"] = N_PIXELS / 2, "deg"
    header["BUNIT"] = "Jy/beam"
    pixels = np.zeros((1, 1, N_PIXELS, N_PIXELS), np.float32)
    pixels[..., N_PIXELS // 2 - 1, N_PIXELS // 2 - 1] = 1.0
    pixels[..., 0, :] = np.nan
    for plane in ("image", "pbcor", "pb", "residual", "noise"):
        path = folder / f"{name}.{plane}.fits"
        fits.PrimaryHDU(pixels, header).writeto(path, overwrite=True)
