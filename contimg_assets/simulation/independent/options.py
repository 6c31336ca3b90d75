"""What nature does to an observation, as frozen models; the defaults do nothing.

Belongs here: options with their units.  Their combinations by name stand in
``presets.py``, what each does in the module named in its docstring.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

FaultKind = Literal["dead", "zero", "deaf", "jump", "noisy", "swapped"]
GlitchKind = Literal["shifted", "zeroed", "stuck", "saturated", "nan", "partial"]


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SkyOptions(_Options):
    """The sky (``sky.py``)."""

    radius_deg: float = Field(default=2.6, gt=0, le=6)
    """Sources lie this far from the pointing at mid-group, or nearer."""
    faintest_apparent_jy: float = Field(default=0.02, gt=0)
    """Least flux density through the beam of the sources that are kept apart and compared."""
    brightest_jy: float = Field(default=1.0, gt=0, le=10)
    """Counts are cut here (their fit holds to 1 Jy)."""
    separation_arcsec: float = Field(default=90.0, ge=0)
    """Of these sources from each other, at least."""
    spectral_index: float = -0.7
    spectral_scatter: float = Field(default=0.0, ge=0)
    extended_fraction: float = Field(default=0.0, ge=0, le=1)
    """Part of these sources that are no points."""
    extended_arcsec: float = Field(default=15.0, gt=0)
    """Median full width at half maximum, or separation of a double; log-normal, scatter 0.4."""
    double_fraction: float = Field(default=0.4, ge=0, le=1)
    """Of the extended ones, the part that are two points."""
    population_to_jy: float | None = Field(default=None, gt=0)
    """Apparent flux density down to which fainter sources lie anywhere; None: none of them."""
    population_to_noise: float | None = Field(default=None, gt=0)
    """The same in units of the image's thermal noise."""
    calibrator_polarisation: float = Field(default=0.0, ge=-1, le=1)
    """q of a calibrator: the feeds see (1 ± q) of its flux density."""


class Aperture(_Options):
    """What a dish's beam comes from (``aperture.py``)."""

    blockage_m: float = Field(default=0.0, ge=0, lt=4)
    """Diameter of the shadow of the feed's cabin."""
    leg_m: float = Field(default=0.0, ge=0, lt=0.5)
    """Width of each of four legs at 45° to the horizon."""
    edge_taper_db: float = Field(default=0.0, le=0)
    """Illumination at the rim over that at the centre (power)."""

    def __hash__(self) -> int:
        return hash((self.blockage_m, self.leg_m, self.edge_taper_db))


class BeamOptions(_Options):
    """Dishes (``dishes.py``)."""

    aperture: Aperture = Aperture()
    width_factor: float = Field(default=1.0, gt=0)
    """Of every beam over the diffraction's."""
    width_scatter: float = Field(default=0.0, ge=0)
    """Dish by dish, rms."""
    pointing_rms_deg: float = Field(default=0.0, ge=0)
    """Dish by dish and axis, rms."""
    feed_ellipticity: float = 0.0
    """X is this much wider east–west than north–south, Y the other way."""
    feed_squint_deg: float = 0.0
    """X points this far east of Y."""


class GainOptions(_Options):
    """Receivers (``gains.py``); everything by antenna and feed."""

    amplitude: float = Field(default=1.0, gt=0)
    """Correlator units per √Jy."""
    amplitude_scatter: float = Field(default=0.0, ge=0)
    """Of ln amplitude, rms."""
    random_phases: bool = False
    delay_ns: float = Field(default=0.0, ge=0)
    """Rms."""
    ripple: float = Field(default=0.0, ge=0)
    """Amplitude of a sine over the band, rms; its period is 20 to 60 MHz."""
    walk_amplitude: float = Field(default=0.0, ge=0)
    """Rms of a random walk's change in half an hour, relative."""
    walk_phase_deg: float = Field(default=0.0, ge=0)
    """The same of the phase, deg."""
    sefd_scatter: float = Field(default=0.0, ge=0)
    """Of ln SEFD, rms; the mean of 1/SEFD² is not kept."""
    position_error_m: float = Field(default=0.0, ge=0)
    """Of each coordinate of an antenna's true place about the one in the files, rms."""
    n_delay_changes: int = Field(default=0, ge=0)
    """Antennas whose applied delay is another in the target than in the calibrator."""
    delay_change_ns: float = 5.0
    """By how much, with either sign."""


class AtmosphereOptions(_Options):
    """Air and ionosphere (``geometry.py``)."""

    refractivity: float = Field(default=0.0, ge=0, lt=1e-3)
    """n − 1 at the ground, 2.8e-4 on an average day."""
    ionosphere_arcsec: float = Field(default=0.0, ge=0)
    """Amplitude at 1405 MHz of a common shift of the sky, along both axes; goes with ν⁻²."""
    ionosphere_period_s: float = Field(default=900.0, gt=0)


class Fault(_Options):
    """A bad span of one antenna (``faults.py``)."""

    antenna: str
    """Name."""
    kind: FaultKind
    feed: Literal["X", "Y", "both"] = "both"
    first: int = Field(default=0, ge=0)
    """First integration."""
    last: int = Field(default=-1, ge=-1)
    """Last integration; −1: the group's last."""
    subbands: tuple[int, ...] | None = None
    """None: all."""
    amplitude: float = Field(default=1.0, ge=0)
    """Of a jump: factor of the gain.  Deaf: factor of the signal.  Noisy: factor of the noise."""
    phase_deg: float = 0.0
    """Of a jump."""


class FaultOptions(_Options):
    """Antennas that are bad, by number; which and when is drawn from the seed (``faults.py``)."""

    n_dead: int = Field(default=0, ge=0)
    """Noise and no signal, all the time."""
    n_died: int = Field(default=0, ge=0)
    """The same from the middle third on."""
    n_revived: int = Field(default=0, ge=0)
    """The same up to the middle third."""
    n_dropped: int = Field(default=0, ge=0)
    """Zeros for a quarter of the time."""
    n_jumped: int = Field(default=0, ge=0)
    """Gain changes in the middle third and stays."""
    jump_amplitude: float = Field(default=1.2, gt=0)
    jump_phase_deg: float = 40.0
    n_deaf: int = Field(default=0, ge=0)
    """A fifth of the signal and all the noise, all the time."""
    n_noisy: int = Field(default=0, ge=0)
    """Three times the noise for a third of the time."""
    n_dead_feeds: int = Field(default=0, ge=0)
    """X or Y dead all the time."""
    n_swapped: int = Field(default=0, ge=0)
    """X and Y exchanged all the time."""
    explicit: tuple[Fault, ...] = ()


class InterferenceOptions(_Options):
    """Emitters by number (``interference.py``)."""

    n_carriers: int = Field(default=0, ge=0)
    """Narrow, always on, heard by all."""
    n_local: int = Field(default=0, ge=0)
    """Narrow, always on, heard by three to six neighbours."""
    n_arm: int = Field(default=0, ge=0)
    """Narrow, half of the time, heard by one arm."""
    n_drifting: int = Field(default=0, ge=0)
    """Narrow, moves by an eighth of the band in a group, heard by all."""
    n_bursts: int = Field(default=0, ge=0)
    """One integration, a third of the band or more, heard by all."""
    n_sparks: int = Field(default=0, ge=0)
    """One integration and channel each, heard by all."""
    weakest_jy: float = Field(default=20.0, gt=0)
    strongest_jy: float = Field(default=200.0, gt=0)


class Glitch(_Options):
    """A fault of the correlator or writer in one subband (``glitches.py``)."""

    kind: GlitchKind
    subband: int = Field(ge=0, le=15)
    first: int = Field(default=0, ge=0)
    last: int = Field(default=-1, ge=-1)
    """Last integration; −1: the group's last."""


class GlitchOptions(_Options):
    """Faults of files by number; which subbands and when is drawn from the seed (``glitches.py``)."""

    n_shifted: int = Field(default=0, ge=0)
    """Subbands that are one integration late."""
    n_zeroed: int = Field(default=0, ge=0)
    """Subbands that are zero for an integration or two."""
    n_stuck: int = Field(default=0, ge=0)
    """Subbands that repeat one integration for a quarter of the time."""
    n_saturated: int = Field(default=0, ge=0)
    """Subbands whose correlations are clipped at two noises for two integrations."""
    n_partial: int = Field(default=0, ge=0)
    """Subbands of which half the samples of an integration are there."""
    nan_integrations: int = Field(default=0, ge=0)
    """NaN at the end of the group, in all subbands."""
    missing_subbands: tuple[int, ...] = ()
    """Files that do not exist."""
    explicit: tuple[Glitch, ...] = ()


class Options(_Options):
    """All that can be chosen of a group."""

    sky: SkyOptions = SkyOptions()
    beam: BeamOptions = BeamOptions()
    gains: GainOptions = GainOptions()
    atmosphere: AtmosphereOptions = AtmosphereOptions()
    faults: FaultOptions = FaultOptions()
    interference: InterferenceOptions = InterferenceOptions()
    glitches: GlitchOptions = GlitchOptions()
    noise: bool = True
    smearing: bool = True
    """Average within integrations and channels, as the correlator does."""
    tolerance_jy: float = Field(default=1e-5, gt=0)
    """Error of that average on the longest baseline, for each source."""
