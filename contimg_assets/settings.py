"""Settings: everything a user may choose, each with a unit, a bound and a reason.

Read from the environment (``CONTIMG_*``).  Constants of the instrument live in
``radio/telescope.py``; limits on quality in ``radio/limits.toml``.
Nested groups use a double underscore: ``CONTIMG_IMAGING__ROBUST=0.5``.
"""

from functools import lru_cache
from pathlib import Path

from pydantic import Field, IPvAnyNetwork
from pydantic_settings import BaseSettings, SettingsConfigDict

from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.catalogues.options import CatalogueOptions
from contimg_assets.radio.conversion.options import ConversionOptions
from contimg_assets.radio.flagging.options import FlaggingOptions
from contimg_assets.radio.group_key import CLUSTER_S
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.options import Options


class IngestOptions(Options):
    """When a group's files are taken."""

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


class WebOptions(Options):
    """Under which names the web server is reached, and by which proxies."""

    allowed_hosts: tuple[str, ...] = ()
    """Host names, without port, that browsers may use besides those of the loopback interface."""
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    """Addresses or networks of proxies that say who the user is; the peer of a Unix socket is one anyhow."""
    user_header: str = "X-Contimg-User"
    """Header in which a trusted proxy gives the user's name."""
    role_header: str = "X-Contimg-Role"
    """Header in which it gives viewer, operator or admin; without it the user is a viewer."""


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
    ingest: IngestOptions = IngestOptions()
    conversion: ConversionOptions = ConversionOptions()
    flagging: FlaggingOptions = FlaggingOptions()
    calibration: CalibrationOptions = CalibrationOptions()
    imaging: ImagingOptions = ImagingOptions()
    catalogues: CatalogueOptions = CatalogueOptions()
    web: WebOptions = WebOptions()

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
