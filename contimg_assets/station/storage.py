"""Storage that is full, read-only, ill or away, as the station meets it: told once and waited for.

Belongs here: which errors of databases are such a fault, whether a home can be
worked in, waiting until it can, and the one alert of each cause.  Does not belong
here: the system's errors (``radio/storage.py``), or what becomes of a group
(``interruptions.py``).
"""

import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from contimg_assets.radio import storage
from contimg_assets.radio.errors import StorageError
from contimg_assets.settings import Settings
from contimg_assets.station.alerts import Notifier
from contimg_assets.station.database import engine_for, patient
from contimg_assets.station.models import ObservationGroup

#: A run waits so long for storage to come back before it gives up, s: an outage is minutes, a night is lost
#: by then.
PATIENCE_S = 3600.0
#: Between two looks, s.
LOOK_S = 2.0
#: What databases say of their disk, …
_DISK = re.compile(
    r"database or disk is full|disk I/O error|readonly database|unable to open database file|"
    r"could not (write|extend|open) ",
    re.IGNORECASE,
)
#: … and of a server that is away: each who meets it is told in other words.
_AWAY = re.compile(
    r"connection refused|could not connect|connection to server|server closed the connection|"
    r"connection (is |was )?(already )?closed|terminating connection|is (starting up|shutting down)|"
    r"in recovery mode|SSL connection has been closed|query_wait_timeout|"
    r"server conn crashed|cannot connect to server|server login",
    re.IGNORECASE,
)


#: How the fault of a server that is away begins.
_SILENT = "the database does not answer"


def fault_of(error: BaseException) -> StorageError | None:
    """The fault of storage or of a database behind an error; None if there is none."""
    one: BaseException | None = error
    while one is not None:
        if isinstance(one, OperationalError | InterfaceError) and of_words(str(one.orig)):
            return StorageError(_database(one))
        one = one.__cause__ or one.__context__
    return storage.fault_of(error)


def of_words(told: str) -> bool:
    """Whether what was told of an error is of a database that is away, or of a full or ill disk."""
    return any(words.search(told) for words in (_AWAY, _DISK))


def _database(error: DBAPIError) -> str:
    words = " ".join(str(error.orig).split())
    what = _SILENT if _AWAY.search(words) else "the database cannot be used"
    return f"{what}: {words[:200]}"


def fault_here(settings: Settings) -> StorageError | None:
    """Measure whether work is possible here: home and scratch have room, and the database answers."""
    for folder in (settings.home, settings.scratch or settings.home / "scratch"):
        found = storage.fault_at(folder)
        if found is not None:
            return found
    try:
        with patient(0.0), engine_for(settings.sqlalchemy_url).connect() as connection:
            connection.execute(text("SELECT 1"))
    except DBAPIError as error:
        return StorageError(_database(error))
    return None


def located(fault: StorageError, settings: Settings) -> StorageError:
    """A fault with its folder, if it can be measured where: databases and C++ libraries do not say."""
    return fault if fault.folder is not None else fault_here(settings) or fault


def wait_until_usable(
    settings: Settings, tell: Callable[[StorageError], None] = lambda _: None
) -> StorageError | None:
    """Wait while this installation cannot be worked in.

    Parameters
    ----------
    settings : Settings
        Of the process.
    tell : callable
        Told of the fault, once.

    Returns
    -------
    StorageError
        The fault that there was; None if there was none.

    Raises
    ------
    StorageError
        If it is still there after :data:`PATIENCE_S`.
    """
    first: StorageError | None = None
    deadline = time.monotonic() + PATIENCE_S
    while (found := fault_here(settings)) is not None:
        if first is None:
            tell(found)
        first = first or found
        if time.monotonic() > deadline:
            raise found
        time.sleep(LOOK_S)
    return first


def retry(work: Callable[[], object], seconds: float) -> None:
    """Do what a fault of storage may keep from being done, again until it is done or the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            work()
        except (DBAPIError, OSError) as error:
            if fault_of(error) is None or time.monotonic() > deadline:
                raise
            time.sleep(min(LOOK_S, seconds / 10))
        else:
            return


def tell_once(notifier: Notifier, fault: StorageError) -> None:
    """One alert for a cause, however many groups meet it, and in whatever words a database tells it."""
    same = _SILENT if fault.cause.startswith(_SILENT) else None
    notifier.send_once("storage", place_of(fault), fault.cause, same=same)


def place_of(fault: StorageError) -> str:
    """What alerts call the place of a fault."""
    return str(fault.folder or "database")


def folders_away(groups: Iterable[ObservationGroup]) -> dict[str, StorageError]:
    """Groups whose files' folder is not there, by key."""
    known: dict[Path, bool] = {}
    found: dict[str, StorageError] = {}
    for group in groups:
        for folder in {Path(path).parent for path in group.files.values()}:
            if not known.setdefault(folder, folder.is_dir()):
                found[group.key] = StorageError("the folder is not there", folder)
    return found


def database_place(url: str) -> str:
    """A database as people know it: the file, or the address without its password."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return str(parsed.database)
    return parsed.render_as_string(hide_password=True)
