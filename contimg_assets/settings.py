"""Settings: everything a user may choose, each with a unit, a bound and a reason.

Read from the environment (``CONTIMG_*``).  Constants of the instrument live in
``radio/telescope.py``; limits on quality in ``radio/limits.toml``.
Nested groups use a double underscore: ``CONTIMG_IMAGING__ROBUST=0.5``.
"""

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contimg_assets.radio.group_key import CLUSTER_S


class IngestSettings(BaseModel):
    """When a group's files are taken."""

    writer: Literal["direct", "pyuvdata", "auto"] = "direct"
    """``pyuvdata`` is the reference; ``auto``: that one for files that ``direct`` does not take."""
    timeout_s: float = Field(default=900.0, ge=0)
    """Time after the last arrival when a group of 12–15 subbands is taken, s."""
    settle_s: float = Field(default=5.0, ge=0)
    """A file counts as closed when its size and mtime have not changed for this long, s."""
    cluster_s: float = Field(default=CLUSTER_S, gt=0, lt=300)
    """File-name stamps within this span are a first guess of one group, s."""
    starts_per_tick: int = Field(default=24, ge=1)
    """Run requests at most in one sensor tick (a run costs ~160 ms to create); a catch-up keeps at most
    twice as many runs waiting."""
    heartbeat_s: float = Field(default=10.0, gt=0)
    """A worker gives a sign of life this often, s."""
    dead_after_s: float = Field(default=60.0, gt=0)
    """A worker without a sign of life for this long is dead, s; several times ``heartbeat_s``."""
    attempts: int = Field(default=3, ge=1)
    """Workers that may die of one group in succession before it is given up."""
    gap_s: float = Field(default=30.0, gt=0)
    """Time without data between two groups above which it is a gap, s (an integration is 12.9 s)."""
    declination_change_deg: float = Field(default=0.05, gt=0)
    """Difference of declination between two groups above which the telescope was moved, deg."""
    hot_window_days: float = Field(default=90.0, gt=0)
    """Age at which a group's partition key is retired from Dagster, days."""


class FlaggingSettings(BaseModel):
    """The first, statistical flagger."""

    sigma: float = Field(default=6.0, gt=3)
    """Amplitudes of samples and of blocks of them this many robust deviations out are flagged."""
    common_sigma: float = Field(default=7.0, gt=3)
    """Channel × integration cells whose array-wide statistic is this far out are flagged."""
    false_alarm: float = Field(default=3e-4, gt=0, lt=0.01)
    """Part of clean samples that may be flagged when each is compared with its neighbours in frequency."""
    growth_fraction: float = Field(default=0.7, gt=0, le=1)
    """Runs of samples of which more than this part is flagged are flagged whole."""
    dead_coherence: float = Field(default=0.2, gt=0, lt=1)
    """An antenna whose coherence with the array is below this part of the median is dead."""


class CalibrationSettings(BaseModel):
    """Solving and choosing calibration."""

    minimum_calibrator_jy: float = Field(default=3.0, gt=0)
    """Beam-weighted flux density from which a scan's set is taken as a matter of course, Jy."""
    backup_calibrator_jy: float = Field(default=1.0, gt=0)
    """Beam-weighted flux density from which a group is solved, as a back-up below the former, Jy
    (S/N of 18 for one antenna in one channel)."""
    calibrator_list: Path | None = None
    """NRAO's VLA calibrator list in its text format; None: the project's own short table."""
    sky_catalogue: Path | None = None
    """CSV of further sources (name, ra_deg, dec_deg, flux_jy[, spectral_index]) for the field model."""
    image_field: bool = True
    """Without a ``sky_catalogue``: image the calibrator's scan, add the sources found to its model and solve
    again, twice, if the misfit falls by it.  Takes as long as two images."""
    reference_antenna: str | None = None
    """Name (1-based) of the reference antenna; None: chosen from the data."""
    minimum_snr: float = Field(default=3.0, gt=0)
    """Solutions below this signal-to-noise ratio are flagged."""
    minimum_uv_m: float = Field(default=0.0, ge=0)
    """Baselines shorter than this are not used in solving, m: the shortest see what the model lacks."""
    gain_interval_s: float | None = Field(default=None, gt=0)
    """Gains are solved for in intervals of this length, s; None: one for the scan, since in five minutes
    they drift less than the noise of a part of it.  Bandpass and delays always take the whole scan."""
    fast: bool = False
    """Quick look: gains in phase only, for a calibrator whose flux density is not to be trusted."""
    validity_hours: float = Field(default=12.0, gt=0)
    """A set is valid this long on either side of its mid-time, h."""
    warn_hours: float = Field(default=6.0, gt=0)
    """A set this far from its target is used with a warning, h."""
    strip_deg: float = Field(default=0.5, gt=0)
    """Declinations within this of each other are one strip, deg."""
    overlap_hours: float = Field(default=0.5, ge=0)
    """Sets whose distances in time differ by less than this are equally near: the better one is taken, h."""
    interpolate: bool = True
    """Take gains between the sets before and after a group, if both fit, in place of the nearest alone."""
    bandpass_hours: float = Field(default=36.0, gt=0)
    """A set this near gives its bandpass to a field that can calibrate its own gains, h."""
    earlier_days: float = Field(default=7.0, gt=0)
    """The oldest set of a strip that is used, with a warning, when nothing else is there, days."""
    deadline_hours: float = Field(default=14.0, ge=0)
    """A group waits this long for its calibration: ``validity_hours`` and time to solve, h."""
    self_calibrate: bool = False
    """Self-calibrate every target on its own field after the calibrator's tables."""


class ImagingSettings(BaseModel):
    """The image and how it is deconvolved."""

    engine: Literal["wgridder", "tclean", "wsclean"] = "wgridder"
    """``wgridder``: our CLEAN on ducc0's w-gridder; ``tclean``: CASA's, with w-projection; ``wsclean``: the
    system's program, with its w-gridder."""
    mode: Literal["full", "quick"] = "full"
    """``quick``: every image is a quick look, as with ``contimg image --quick``."""
    field_deg: float = Field(default=6.0, gt=0, le=8)
    """Width of the image, deg: to the beam's first null, since what lies outside leaves stripes."""
    samples_per_beam: float = Field(default=4.0, ge=3)
    """Pixels across the narrow side of the dirty beam."""
    weighting: Literal["natural", "uniform", "briggs"] = "briggs"
    """Visibility weighting."""
    robust: float = Field(default=0.0, ge=-2, le=2)
    """Briggs robustness: at 0.5 the dirty beam stands on a plateau that no Gaussian fits (66″ × 40″),
    at 0 it is 45″ × 17″ for 13 % more noise."""
    shortest_wavelengths: float = Field(default=0.0, ge=0)
    """Shorter projected baselines are left out, wavelengths."""
    longest_wavelengths: float = Field(default=float("inf"), gt=0)
    """Longer projected baselines are left out, wavelengths."""
    iterations: int = Field(default=50_000, ge=0)
    """Most CLEAN components."""
    major_cycles: int = Field(default=15, ge=1)
    """Most major cycles of our own engine."""
    threshold_sigma: float = Field(default=3.0, gt=0)
    """CLEAN stops at this multiple of the noise, measured or expected, whichever is higher."""
    gain: float = Field(default=0.1, gt=0, le=1)
    """CLEAN loop gain."""
    scales_arcsec: tuple[float, ...] = (0.0,)
    """Full widths at half maximum of CLEAN's components, arcsec, from zero (points) upwards. Resolved sources
    keep a part of their flux density in the residual unless a width comes near theirs."""
    seed_sigma: float | None = Field(default=None, ge=5)
    """CLEAN starts from the sources of the installed catalogue that appear this many times the expected
    noise; None: from nothing."""
    outside_sigma: float | None = Field(default=30.0, ge=10)
    """Sources of the installed catalogue outside the image that should appear this many times the expected
    noise are looked for, and what is seen of them is taken away (our own engine only); None: only named."""
    spectra_sigma: float | None = Field(default=300.0, ge=30)
    """Sources of this many times the expected noise have their spectral indices measured and are subtracted
    with them (our own engine only); None: all are taken to have the typical one."""
    inject: bool = False
    """Make a second image of the data with known sources added to the visibilities, and tell what of them
    CLEAN keeps (our own engine only; takes as long as an image)."""
    w_planes: int = Field(default=32, ge=1)
    """Planes of CASA's w-projection."""
    beam_cutoff: float = Field(default=0.1, gt=0, lt=1)
    """The beam-corrected image is blank where the beam is below this."""

    @field_validator("scales_arcsec")
    @classmethod
    def _from_zero_upwards(cls, widths: tuple[float, ...]) -> tuple[float, ...]:
        if widths[:1] != (0.0,) or list(widths) != sorted(set(widths)):
            raise ValueError(f"found {widths}; expected widths that begin with 0 and rise")
        return widths

    def quick(self) -> "ImagingSettings":
        """The same for a quick look: a beam of 85″ × 46″ and a shallow CLEAN of the main lobe's field."""
        return self.model_copy(
            update={
                "mode": "quick",
                "field_deg": min(self.field_deg, 4.5),
                "longest_wavelengths": min(self.longest_wavelengths, 5000.0),
                "major_cycles": min(self.major_cycles, 2),
                "threshold_sigma": max(self.threshold_sigma, 5.0),
            }
        )


class CatalogueSettings(BaseModel):
    """What images are compared with."""

    comparison: Literal["nvss", "first", "vlass", "racs"] = "nvss"
    """Survey that sources are compared with, if it is installed (``contimg catalogs``)."""
    typical_spectral_index: float = Field(default=-0.7, ge=-2, le=1)
    """Taken for sources whose index is not known, to carry a survey's flux densities to ours."""
    apply_corrections: bool = False
    """Apply the measured offset and flux ratio to the source list of ``image_qa`` (never to an image)."""


class Settings(BaseSettings):
    """All settings of one installation."""

    model_config = SettingsConfigDict(
        env_prefix="CONTIMG_", env_nested_delimiter="__", env_parse_none_str="none", extra="ignore"
    )

    home: Path = Path.home() / "contimg"
    """Everything that a run keeps lies below this folder."""
    incoming: Path | None = None
    """Folder where the telescope's files arrive; None: ``<home>/incoming``."""
    database_url: str | None = None
    """SQLAlchemy URL of the catalogue; None: SQLite in ``home``."""
    threads: int = Field(default=2, ge=1)
    """Threads that one stage may use."""
    products_url: str = "http://localhost:3001"
    """Where the small static route serves pictures and reports from."""
    ingest: IngestSettings = IngestSettings()
    flagging: FlaggingSettings = FlaggingSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    imaging: ImagingSettings = ImagingSettings()
    catalogues: CatalogueSettings = CatalogueSettings()

    @property
    def catalogues_folder(self) -> Path:
        """Folder of the installed source catalogues."""
        return self.home / "catalogues"

    @property
    def incoming_folder(self) -> Path:
        """Folder where the telescope's files arrive."""
        return self.incoming if self.incoming is not None else self.home / "incoming"

    @property
    def sqlalchemy_url(self) -> str:
        """URL of the product catalogue and calibration registry.

        A bare ``postgresql://`` names its driver here, since SQLAlchemy and
        dagster-postgres do not agree on the default.
        """
        url = self.database_url or f"sqlite:///{self.home.absolute() / 'catalogue.sqlite'}"
        if url.startswith("postgresql://"):
            url = "postgresql+psycopg2://" + url.removeprefix("postgresql://")
        return url


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once from the environment."""
    settings = Settings()
    return settings.model_copy(update={"home": settings.home.expanduser().absolute()})
