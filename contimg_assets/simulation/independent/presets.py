"""Combinations of options by name, from a perfect night to a bad one."""

from contimg_assets.simulation.independent.options import (
    Aperture,
    AtmosphereOptions,
    BeamOptions,
    FaultOptions,
    GainOptions,
    GlitchOptions,
    InterferenceOptions,
    Options,
    SkyOptions,
)

#: Receivers of an ordinary night, which calibration takes out.
_RECEIVERS = GainOptions(
    amplitude=0.03, amplitude_scatter=0.15, random_phases=True, delay_ns=1.0, ripple=0.03
)
#: Faintest that are compared where sources are to stand alone, and where they crowd.
_SKY = SkyOptions()
_CROWD = SkyOptions(faintest_apparent_jy=1e-3, separation_arcsec=60.0)
#: Error of smearing where ten thousand faint sources are in the sky: a sixth of the noise of a full image, on
#: the longest baseline, in half the time.
_COARSE_JY = 3e-5


def _walking(amplitude: float, phase_deg: float) -> GainOptions:
    return _RECEIVERS.model_copy(update={"walk_amplitude": amplitude, "walk_phase_deg": phase_deg})


PRESETS: dict[str, Options] = {
    # Nothing wrong, and gains to be found.
    "plain": Options(gains=_RECEIVERS),
    # No gains either: the sky, the beam and noise; sources of 1 mJy apparent and up.
    "crowded": Options(sky=_CROWD),
    # The same with everything fainter, to a third of the noise, anywhere.
    "deep": Options(
        sky=_CROWD.model_copy(update={"population_to_noise": 1 / 3, "spectral_scatter": 0.25}),
        tolerance_jy=_COARSE_JY,
    ),
    "two_died": Options(gains=_RECEIVERS, faults=FaultOptions(n_died=2)),
    "antennas": Options(
        gains=_RECEIVERS,
        faults=FaultOptions(
            n_dead=1,
            n_died=1,
            n_revived=1,
            n_dropped=1,
            n_jumped=2,
            n_deaf=1,
            n_noisy=1,
            n_dead_feeds=1,
            n_swapped=1,
        ),
    ),
    "mispointed": Options(gains=_RECEIVERS, beam=BeamOptions(pointing_rms_deg=0.05)),
    "wide_beam": Options(gains=_RECEIVERS, beam=BeamOptions(width_factor=1.05, pointing_rms_deg=0.1)),
    "real_beam": Options(
        gains=_RECEIVERS,
        beam=BeamOptions(
            aperture=Aperture(blockage_m=0.6, leg_m=0.06, edge_taper_db=-10.0),
            width_scatter=0.01,
            pointing_rms_deg=0.03,
            feed_ellipticity=0.02,
            feed_squint_deg=0.04,
        ),
    ),
    "interference": Options(
        gains=_RECEIVERS,
        interference=InterferenceOptions(
            n_carriers=2, n_local=3, n_arm=1, n_drifting=1, n_bursts=2, n_sparks=20
        ),
    ),
    "glitches": Options(
        gains=_RECEIVERS,
        glitches=GlitchOptions(n_shifted=1, n_zeroed=1, n_stuck=1, n_saturated=1, n_partial=1),
    ),
    "nan_end": Options(gains=_RECEIVERS, glitches=GlitchOptions(nan_integrations=2)),
    "gains_walk": Options(gains=_walking(0.03, 3.0)),
    "delays": Options(gains=_RECEIVERS.model_copy(update={"n_delay_changes": 3})),
    "unequal": Options(gains=_RECEIVERS.model_copy(update={"sefd_scatter": 0.5, "position_error_m": 0.005})),
    "atmosphere": Options(
        gains=_RECEIVERS, atmosphere=AtmosphereOptions(refractivity=2.8e-4, ionosphere_arcsec=2.0)
    ),
    "polarised": Options(gains=_RECEIVERS, sky=SkyOptions(calibrator_polarisation=0.07)),
    "extended": Options(gains=_RECEIVERS, sky=SkyOptions(extended_fraction=0.3, spectral_scatter=0.25)),
    # All together.
    "bad_night": Options(
        tolerance_jy=_COARSE_JY,
        gains=_walking(0.03, 3.0),
        sky=_CROWD.model_copy(
            update={
                "faintest_apparent_jy": 2e-3,
                "separation_arcsec": 90.0,
                "spectral_scatter": 0.25,
                "extended_fraction": 0.15,
                "population_to_noise": 1 / 3,
            }
        ),
        beam=BeamOptions(pointing_rms_deg=0.05),
        faults=FaultOptions(n_died=2, n_jumped=2, jump_amplitude=1.2, jump_phase_deg=40.0),
        interference=InterferenceOptions(n_carriers=2, n_local=2, n_bursts=2, n_sparks=10),
        glitches=GlitchOptions(missing_subbands=(3, 11)),
    ),
}
