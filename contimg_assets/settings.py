"""Settings: everything a user may choose, each with a unit, a bound and a reason.

Read from the environment (``CONTIMG_IMAGING__ROBUST=0.5``: a double underscore
separates a section from its setting) and from the file ``contimg.toml`` in the home;
the environment wins.  A name that does not exist, or a value that a setting does not
take, is an error that names the variable, or the file and its key.

Belongs here: composing the options of the parts, where they are read from, and what
is wrong with what was read.  Does not belong here: the options themselves, which
stand beside what they are the options of (``radio/imaging/options.py``, …);
constants of the instrument (``radio/telescope.py``); limits on quality
(``radio/limits.toml``).
"""

import json
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel, Field, IPvAnyNetwork, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.catalogues.options import CatalogueOptions
from contimg_assets.radio.conversion.options import ConversionOptions
from contimg_assets.radio.errors import SettingsError
from contimg_assets.radio.flagging.options import FlaggingOptions
from contimg_assets.radio.flux_scale.options import FluxScaleOptions
from contimg_assets.radio.group_key import CLUSTER_S
from contimg_assets.radio.images.options import ArchiveOptions
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.options import Options
from contimg_assets.radio.photometry.options import PhotometryOptions
from contimg_assets.radio.variability.options import VariabilityOptions

#: The settings file, in the home.
SETTINGS_FILE = "contimg.toml"
PREFIX, DELIMITER = "CONTIMG_", "__"
#: A setting that has a number otherwise is switched off by this word.
NONE = "none"
#: Addresses of alarms (``station/addresses.py``): secret, so no setting, which would be shown and recorded.
NOTIFY_VARIABLE = "CONTIMG_NOTIFY_URLS"
#: Variables that begin like settings and are none: PostgreSQL and Redis of Dagster's instance (``deploy/``),
#: what a Slurm job finds the installation by, and what ``radio/casa.py`` tells CASA in this process and
#: those that it starts.
OTHER_VARIABLES = frozenset(
    {
        *("CONTIMG_DAGSTER_DATABASE_URL", "CONTIMG_REDIS_URL", "CONTIMG_ENVIRONMENT", "CONTIMG_BIN"),
        *("CONTIMG_CASA_DATA", "CONTIMG_CASA_LOG", "CONTIMG_CASA_CACHE"),
        NOTIFY_VARIABLE,
    }
)


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
    heartbeat_s: float = Field(default=10.0, gt=0, le=20)
    """A worker gives a sign of life this often, s; who judges the dead waits for twice as long within a tick
    of a sensor, which Dagster ends after 60 s."""
    dead_after_s: float = Field(default=60.0, gt=0)
    """A worker without a sign of life for this long is suspected to be dead, s; several times
    ``heartbeat_s``."""
    attempts: int = Field(default=3, ge=1)
    """Workers that may die of one group in succession before it is given up."""
    gap_s: float = Field(default=30.0, gt=0)
    """Time without data between two groups above which it is a gap, s (an integration is 12.9 s)."""
    declination_change_deg: float = Field(default=0.05, gt=0)
    """Difference of declination between two groups above which the telescope was moved, deg."""
    hot_window_days: float = Field(default=90.0, gt=0)
    """Age at which a group's partition key is retired from Dagster, days."""


class RetentionOptions(Options):
    """How long what is no longer needed stays on disk."""

    grace_hours: float = Field(default=24.0, ge=0)
    """Content of a version stays for this long after another has taken its place, h: longer than any run
    or person that reads it."""
    calibrated_hours: float = Field(default=0.0, ge=0)
    """A calibrated Measurement Set is written for every group, and stays for this long after the image that
    was made of it, h; it waits for the image's verdict, and for ``measurement_set_days`` if that is no good
    one. 0: none is written, and the calibration is applied while the image is made."""
    measurement_set_days: float = Field(default=14.0, ge=0)
    """The Measurement Set of a group with a good image stays for this long after the group was done, days:
    flags are looked at again within two weeks; its files make it again in half a minute."""
    measurement_sets_gb: float | None = Field(default=None, gt=0)
    """More Measurement Sets than this go before their days are over, the oldest first, GB; none: no limit but
    the disk's."""
    compress_days: float | None = Field(default=2.0, ge=0)
    """Planes of an image are compressed this long after it was made, days: most people look at it within
    two; none: never."""
    raw_days: float | None = Field(default=None, ge=0)
    """Files of the telescope of a group with a good image are removed this long after it was done, days;
    none: never."""
    log_days: float = Field(default=30.0, ge=1)
    """Logs of foreground commands, of CASA, and what runs printed stay for this long, days."""
    event_days: float = Field(default=14.0, ge=1)
    """Rows of Dagster's event log that tell neither product nor verdict stay for this long after the end of
    their run, days: why a run failed is looked into within two weeks, and sensors read them within a day."""


class SpaceOptions(Options):
    """When a disk that fills up holds new groups back."""

    reserve_gb: float = Field(default=5.0, ge=0)
    """Room that groups may not use, GB: databases and logs have it, and what stages need in scratch while
    they work."""
    resume_groups: int = Field(default=2, ge=1)
    """New groups are let go on when there is room for this many; they are held back when there is none for
    one."""
    warn_days: float = Field(default=2.0, ge=0)
    """An alarm says that the disk will be full if that is sooner than this, days: two nights."""


class BackupOptions(Options):
    """How backups are made, and how old the newest may be."""

    hours: float = Field(default=26.0, gt=0)
    """Age from which `contimg doctor` says that the newest backup is too old, h: one a day, and two more."""
    server: str | None = Field(default=None, pattern=r"^[^:\s]+:\d+$")
    """host:port of PostgreSQL itself, where the databases' addresses name a pooler (PgBouncer), through
    which they cannot be copied; None: the addresses as they are."""


class TraceOptions(Options):
    """Where the traces of groups go."""

    endpoint: str | None = Field(default=None, pattern=r"^https?://[^/\s@]+/\S*$")
    """Address of a collector of OpenTelemetry that takes traces by HTTP, such as
    http://127.0.0.1:4318/v1/traces; None: none are sent."""


class AlarmOptions(Options):
    """When people are told, and how often."""

    messages_an_hour: int = Field(default=10, ge=1)
    """Messages about new alarms that one hour may have; the others are held back for a summary."""
    summary_minutes: float = Field(default=10.0, gt=0)
    """What was held back is summed up after this time, min; what goes on happening, after 6 times as long
    each time, once a day at last."""
    over_after_hours: float = Field(default=1.0, gt=0)
    """An alarm of something that happened, such as a failed run, is over when it has not happened again for
    this long, h."""
    no_data_minutes: float | None = Field(default=60.0, gt=0)
    """Time without a new group, while the telescope's data come live, from which that is an alarm, min;
    None: it never is."""
    no_image_minutes: float = Field(default=30.0, gt=0)
    """Time without an image, while data come, from which that is an alarm, min."""
    stuck_hours: float = Field(default=2.0, gt=0)
    """Groups are stuck that are in progress for this long, or wait while none has begun for this long, h."""
    warn_streak: int = Field(default=10, ge=2)
    """Groups in succession of which a check says WARN, from which that is an alarm."""
    disk_days: float = Field(default=2.0, gt=0)
    """A disk that is full within this time at last week's growth wants somebody to look now, days; within
    two and a half times as long, people are told."""
    silent_minutes: float = Field(default=30.0, gt=0)
    """A sensor that is switched on and has not looked for this long is silent, min."""


class WebOptions(Options):
    """Under which names the web server is reached, and by which proxies."""

    base_url: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    """Address at which people reach the pages, such as https://contimg.example.org: messages have links below
    it; None: they have none."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names, without port, that browsers may use besides those of the loopback interface."""
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    """Addresses or networks of proxies that say who the user is; the peer of a Unix socket is one anyhow."""
    user_header: str = "X-Contimg-User"
    """Header in which a trusted proxy gives the user's name."""
    role_header: str = "X-Contimg-Role"
    """Header in which it gives viewer, operator or admin; without it the user is a viewer."""
    writes_per_minute: int = Field(default=60, ge=1)
    """Writes that one user may ask for in a minute."""
    streams_per_user: int = Field(default=4, ge=1)
    """Streams of log lines that one user may have open; a browser's tab takes one."""
    streams: int = Field(default=64, ge=1)
    """Streams of log lines that may be open in all."""


class Settings(BaseSettings):
    """All settings of one installation."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
        env_parse_none_str=NONE,
        extra="forbid",
        use_attribute_docstrings=True,
    )

    home: Path = Path.home() / "contimg"
    """Everything that a run keeps lies below this folder."""
    incoming: Path | None = None
    """Folder where the telescope's files arrive; None: ``<home>/incoming``."""
    scratch: Path | None = None
    """Folder on the machine's own disk for what a run needs only while it works, which must be there; None:
    ``<home>/scratch``."""
    database_url: str | None = None
    """SQLAlchemy URL of the station database, such as ``postgresql+psycopg2://user@host/name``; None: SQLite
    in ``home``."""
    threads: int = Field(default=2, ge=1)
    """Threads that one stage may use."""
    ingest: IngestOptions = IngestOptions()
    conversion: ConversionOptions = ConversionOptions()
    flagging: FlaggingOptions = FlaggingOptions()
    calibration: CalibrationOptions = CalibrationOptions()
    imaging: ImagingOptions = ImagingOptions()
    catalogues: CatalogueOptions = CatalogueOptions()
    photometry: PhotometryOptions = PhotometryOptions()
    flux_scale: FluxScaleOptions = FluxScaleOptions()
    variability: VariabilityOptions = VariabilityOptions()
    archive: ArchiveOptions = ArchiveOptions()
    retention: RetentionOptions = RetentionOptions()
    space: SpaceOptions = SpaceOptions()
    backup: BackupOptions = BackupOptions()
    alarms: AlarmOptions = AlarmOptions()
    traces: TraceOptions = TraceOptions()
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
        """URL of the station database."""
        return with_driver(self.database_url or f"sqlite:///{self.home.absolute() / 'catalogue.sqlite'}")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Where settings come from, the first that has one wins: arguments, environment, file."""
        _check_environment()
        return init_settings, env_settings, InitSettingsSource(settings_cls, _read_file())


def with_driver(url: str) -> str:
    """A database's URL that names its driver: SQLAlchemy and dagster-postgres do not agree on the default."""
    bare = "postgresql://"
    return f"postgresql+psycopg2://{url.removeprefix(bare)}" if url.startswith(bare) else url


@dataclass(frozen=True)
class Setting:
    """One setting and its names."""

    path: tuple[str, ...]
    """Section, if it is in one, and name."""
    field: FieldInfo

    @property
    def variable(self) -> str:
        """Name in the environment."""
        return PREFIX + DELIMITER.join(self.path).upper()

    @property
    def key(self) -> str:
        """Name in the settings file."""
        return ".".join(self.path)

    def value(self, settings: "Settings") -> Any:
        """What it is set to."""
        found: Any = settings
        for name in self.path:
            found = getattr(found, name)
        return found


@lru_cache(maxsize=1)
def all_settings() -> tuple[Setting, ...]:
    """Every setting there is, in the order of the sections."""
    found: list[Setting] = []
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            found += [Setting((name, inner), its) for inner, its in section.model_fields.items()]
        else:
            found.append(Setting((name,), field))
    return tuple(found)


def origins() -> dict[str, str]:
    """Where each value comes from, by the setting's key: ``environment``, ``file`` or ``default``."""
    given, written = _environment(), {".".join(path) for path, _ in _leaves(_read_file())}

    def origin(setting: Setting) -> str:
        if setting.variable in given:
            return "environment"
        return "file" if setting.key in written else "default"

    return {setting.key: origin(setting) for setting in all_settings()}


def settings_file() -> Path:
    """Where the settings file is looked for; the home is not known from it."""
    home = _environment().get(f"{PREFIX}HOME")
    return (Path(home) if home else Settings.model_fields["home"].default).expanduser() / SETTINGS_FILE


def _environment() -> dict[str, str]:
    """Our part of the environment, in capitals: case does not count."""
    found = {name.upper(): value for name, value in os.environ.items()}
    return {name: value for name, value in found.items() if name.startswith(PREFIX)}


def _check_environment() -> None:
    known = {setting.variable: setting for setting in all_settings()}
    for name, value in _environment().items():
        if name in OTHER_VARIABLES:
            continue
        if name not in known:
            near = _nearest(name, known, DELIMITER)
            raise SettingsError(f"{name} is not a setting{near}")
        if get_origin(known[name].field.annotation) is tuple:
            try:
                json.loads(value)
            except json.JSONDecodeError:
                raise SettingsError(
                    f"{name}: found {value!r}; expected a list in brackets, such as [0, 60]"
                ) from None


def _read_file() -> dict[str, Any]:
    """What the settings file says, if there is one."""
    path = settings_file()
    if not path.is_file():
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: found no TOML: {error}") from None
    known = {setting.key: setting for setting in all_settings()}
    result: dict[str, Any] = {}
    for place, value in _leaves(content):
        name = ".".join(place)
        if name == "home":
            raise SettingsError(
                f"{path}: found home; expected it in the environment only ({PREFIX}HOME), where this file is"
            )
        if name not in known:
            raise SettingsError(f"{path}: {name} is not a setting{_nearest(name, known, '.')}")
        section = result
        for outer in place[:-1]:
            section = section.setdefault(outer, {})
        section[place[-1]] = None if value == NONE else value
    return result


def _leaves(content: Mapping[str, Any], *outer: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Paths and values of nested tables."""
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _leaves(value, *outer, name)
        else:
            yield (*outer, name), value


def _nearest(name: str, known: Iterable[str], delimiter: str) -> str:
    """A hint at the setting that is meant: of the same name in another section, or of a similar one."""
    # What all variables begin with would make any two alike.
    own = {other.removeprefix(PREFIX): other for other in known}
    name = name.removeprefix(PREFIX)
    last = name.rsplit(delimiter, 1)[-1]
    same = [other for other in own if other.rsplit(delimiter, 1)[-1] == last]
    near = get_close_matches(name, same, n=1, cutoff=0.0) or get_close_matches(name, own, n=1)
    return f"; did you mean {own[near[0]]}?" if near else "; `contimg settings` shows all there are"


def _wrong_values(error: ValidationError) -> str:
    """What was found and what was expected, with the name of the variable or key, in one line."""
    told: list[str] = []
    for one in error.errors():
        place = tuple(str(part) for part in one["loc"])
        setting = next(s for s in all_settings() if s.path == place[: len(s.path)])
        where = setting.variable
        if where not in _environment():
            where = f"{settings_file()}: {setting.key}"
        if one["type"] == "value_error":
            told.append(f"{where}: {one['msg'].removeprefix('Value error, ')}")
            continue
        expected = one["msg"].removeprefix("Input should be ").split(", unable to")[0]
        told.append(f"{where}: found {one['input']!r}; expected {expected}")
    return "; ".join(told)


def read_settings() -> Settings:
    """The settings, from the environment and the file as they are now.

    Raises
    ------
    SettingsError
        If a name does not exist or a value is wrong; it says which, and where.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        raise SettingsError(_wrong_values(error)) from None
    places = {"home": settings.home, "scratch": settings.scratch}
    return settings.model_copy(
        update={name: path.expanduser().absolute() for name, path in places.items() if path is not None}
    )


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return read_settings()
