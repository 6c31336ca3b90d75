"""Is a machine fit to work for an installation, and is the installation whole?

Belongs here: what can be asked of the machine, the home and the station database; each
answer is good, or says what to do.  Does not belong here: Dagster's daemon, sensors and
workers (``resources/dagster_doctor.py``), or printing (``cli/doctor.py``).
"""

import ctypes
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from contimg_assets import __version__
from contimg_assets.radio.catalogues.store import installed
from contimg_assets.radio.errors import BackupError
from contimg_assets.settings import Settings, origins
from contimg_assets.station.backup import last_backup
from contimg_assets.station.database import create, database_now, head, revision
from contimg_assets.station.services import running
from contimg_assets.station.settings_views import shown_as_typed

#: Packages whose results or formats go into products.
PACKAGES = ("casatasks", "python-casacore", "pyuvdata", "ducc0", "astropy", "dagster")
#: Age of CASA's data (leap seconds, frames, Earth orientation) from which it should be renewed, days.
CASA_DATA_DAYS = 550
#: The same of the bulletins that astropy uses: their predictions reach a year, and are good to 0.1 s of
#: UT1 (1.5 arcsec) for the first months.
IERS_DAYS = 120
#: Memory that the largest stage, a full-size calibrator's solution, has been seen to take, GiB.
LARGEST_STAGE_GIB = 6.1
#: What a full-size group writes, bytes, and how many there are in a night of 24 h.
GROUP_BYTES, GROUPS_A_DAY = 4.8e9, 280
#: Written to learn the disk's speed, bytes; and the speed below which the disk holds up the work, bytes/s:
#: four times what continuous observing writes.
PROBE_BYTES, SLOW_BYTES_S = 64 * 2**20, 64e6
#: Settings that are named of a service that has others.
_NAMED = 3
#: Difference between two clocks from which times no longer fit together, s.
CLOCK_S = 2.0
#: adjtimex(2): the clock is not synchronised.
_TIME_ERROR = 5
GIB = 2.0**30


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    what: str
    found: str
    """What was found, with units."""
    grade: str = "good"
    """``good``; ``look``: it works, but not for long, or not as well as it could; ``bad``: it does not."""
    advice: str = ""
    """What to do, if it is not good."""


def examine(settings: Settings) -> Iterator[Finding]:
    """Examine machine, home and station database.

    Parameters
    ----------
    settings : Settings

    Yields
    ------
    Finding
        One by one, as they are made.
    """
    yield Finding("contimg", f"{__version__}, Python {platform.python_version()}, {platform.platform()}")
    yield Finding("packages", ", ".join(f"{name} {version(name)}" for name in PACKAGES))
    yield _data_age("CASA's data", "casadata", CASA_DATA_DAYS)
    yield _data_age("Earth orientation", "astropy-iers-data", IERS_DAYS)
    yield _wsclean(settings)
    yield _memory()
    yield from _home(settings)
    yield _incoming(settings.incoming_folder)
    yield _clock()
    yield from _database(settings)
    yield _backup(settings)
    yield _catalogues(settings)
    yield _settings()
    yield from _services(settings)


def _services(settings: Settings) -> Iterator[Finding]:
    """What the services that run here have loaded: an upgrade reaches them when they start again."""
    for each in running(settings.home):
        text = f"version {each.version}, process {each.pid} on {each.host} since {each.since}"
        why = [f"{__version__} is installed"] if each.version != __version__ else []
        other = each.other_settings(settings)
        if other:
            told = [f"{key} {shown_as_typed(had)}" for key, (had, _) in sorted(other.items())[:_NAMED]]
            more = f" and {len(other) - _NAMED} more" if len(other) > _NAMED else ""
            text += f", started with {', '.join(told)}{more}"
            why += ["settings are others here now"]
        advice = f"{' and '.join(why)}: restart it, a worker after it was drained" if why else ""
        yield Finding(f"service {each.service}", text, "look" if why else "good", advice)


def _data_age(what: str, package: str, limit_days: int) -> Finding:
    """Age of a package of data whose version is a date."""
    found = version(package)
    match = re.search(r"(20\d\d)\.(\d+)\.(\d+)", found)
    if match is None:
        return Finding(what, f"{package} {found}, which tells no date", "look", f"see what {package} is")
    made = date(*map(int, match.groups()))
    days = (datetime.now(UTC).date() - made).days
    text = f"{package} of {made.isoformat()}, {days} days old"
    if days <= limit_days:
        return Finding(what, text)
    return Finding(what, text, "look", f"install a newer {package}; {limit_days} days are the limit")


def _wsclean(settings: Settings) -> Finding:
    program = shutil.which("wsclean")
    if program is not None:
        return Finding("WSClean", program)
    if settings.imaging.engine == "wsclean":
        return Finding("WSClean", "not there, and the setting asks for it", "bad", "apt-get install wsclean")
    return Finding("WSClean", f"not there; the engine {settings.imaging.engine} does not need it")


def _memory() -> Finding:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kib = {name: int(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}
    total, free = kib["MemTotal"] * 1024 / GIB, kib["MemAvailable"] * 1024 / GIB
    text = f"{total:.1f} GiB, {free:.1f} available; {os.cpu_count()} cores"
    if total < LARGEST_STAGE_GIB:
        advice = f"a full-size calibrator takes {LARGEST_STAGE_GIB} GiB"
        return Finding("memory", text, "bad", advice)
    if free < LARGEST_STAGE_GIB:
        return Finding(
            "memory", text, "look", f"see what has it; the largest stage takes {LARGEST_STAGE_GIB} GiB"
        )
    return Finding("memory", text)


def _home(settings: Settings) -> Iterator[Finding]:
    home = settings.home
    if not home.is_dir():
        yield Finding("home", f"{home} is not there", "bad", "contimg init, or set CONTIMG_HOME")
        return
    try:
        speed = _write_speed(home)
    except OSError as error:
        yield Finding(
            "home", f"{home}: {error.strerror}", "bad", "nothing can be made there until that is mended"
        )
    else:
        text = f"{home}, writes {speed / 1e6:.0f} MB/s"
        slow = speed < SLOW_BYTES_S
        advice = f"continuous observing needs {SLOW_BYTES_S / 1e6:.0f} MB/s to be at ease" if slow else ""
        yield Finding("home", text, "look" if slow else "good", advice)
    free = shutil.disk_usage(home).free
    groups = int(free / GROUP_BYTES)
    text = f"{free / 1e9:.0f} GB free, room for {groups} full-size groups"
    if groups < 10:
        yield Finding("disk", text, "bad", "contimg retention lists what can go")
    elif groups < GROUPS_A_DAY:
        yield Finding(
            "disk",
            text,
            "look",
            f"a day of observing has {GROUPS_A_DAY}; contimg retention lists what can go",
        )
    else:
        yield Finding("disk", text)


def _write_speed(folder: Path) -> float:
    """Bytes per second of one large write that has reached the disk."""
    probe = folder / f".doctor-{os.getpid()}"
    try:
        began = time.monotonic()
        with probe.open("wb") as handle:
            handle.write(os.urandom(PROBE_BYTES))
            handle.flush()
            os.fsync(handle.fileno())
        return PROBE_BYTES / (time.monotonic() - began)
    finally:
        probe.unlink(missing_ok=True)


def _incoming(folder: Path) -> Finding:
    if not folder.is_dir():
        advice = "mount or make it, or set CONTIMG_INCOMING: until then no group is found"
        return Finding("incoming", f"{folder} is not there", "look", advice)
    if not os.access(folder, os.R_OK | os.X_OK):
        return Finding("incoming", f"{folder} cannot be read", "bad", "give this user the right to read it")
    return Finding("incoming", str(folder))


def _clock() -> Finding:
    """Whether the kernel's clock is kept by a time server."""
    # struct timex is 208 bytes on 64-bit Linux; zeros only ask.
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    text = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if state == _TIME_ERROR:
        advice = (
            "run a time service (chrony); expiry and ages are told by this clock, leases by the database's"
        )
        return Finding("clock", f"{text}, not synchronised", "look", advice)
    return Finding("clock", f"{text}, synchronised")


def _database(settings: Settings) -> Iterator[Finding]:
    url = settings.sqlalchemy_url
    path = settings.home / "catalogue.sqlite"
    if url.startswith("sqlite") and settings.database_url is None and not path.is_file():
        products = settings.home / "products"
        full = products.is_dir() and any(products.iterdir())
        advice = "restore it: products are there without it" if full else "contimg init"
        yield Finding("station database", f"{path} is not there", "bad", advice)
        return
    engine = create(url)
    shown = engine.url.render_as_string(hide_password=True)
    try:
        began = time.monotonic()
        with engine.connect() as connection:
            theirs = connection.scalar(select(database_now()))
        took = time.monotonic() - began
        at = revision(engine)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        yield Finding(
            "station database", f"{shown}: {reason}", "bad", "start it, or set CONTIMG_DATABASE_URL"
        )
        return
    finally:
        engine.dispose()
    text = f"{shown}, revision {at}, answers in {1e3 * took:.0f} ms"
    if at == head():
        yield Finding("station database", text)
    else:
        yield Finding("station database", text, "look", f"contimg init brings it to revision {head()}")
    if theirs is not None and abs((datetime.now(UTC) - theirs).total_seconds()) > CLOCK_S:
        advice = "set both by a time service"
        yield Finding("database's clock", f"{theirs:%H:%M:%S}, not this machine's", "look", advice)


def _backup(settings: Settings) -> Finding:
    """How old the newest backup is."""
    advice = "contimg backup FOLDER, once a day, onto another machine's disk"
    try:
        newest = last_backup(settings.home)
    except BackupError as error:
        return Finding("backup", str(error), "look", advice)
    if newest is None:
        return Finding("backup", "none was made of this home", "look", advice)
    hours = (datetime.now(UTC) - newest.at).total_seconds() / 3600
    text = f"{hours:.1f} h old, {newest.folder}"
    limit = settings.backup.hours
    if hours > limit:
        return Finding("backup", text, "look", f"see why none was made for {limit:g} h")
    return Finding("backup", text)


def _catalogues(settings: Settings) -> Finding:
    found = installed(settings.catalogues_folder)
    if not found:
        advice = "contimg catalogs fetch nvss: without one, nobody checks flux densities and positions"
        return Finding("source catalogues", "none", "look", advice)
    return Finding(
        "source catalogues",
        ", ".join(sorted(f"{each.manifest.survey} ({each.manifest.n_sources} sources)" for each in found)),
    )


def _settings() -> Finding:
    changed = [f"{key} ({origin})" for key, origin in origins().items() if origin != "default"]
    return Finding(
        "settings", f"not at their defaults: {', '.join(changed)}" if changed else "all at their defaults"
    )
