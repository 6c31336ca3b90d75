"""``CONTIMG_HOME`` and ``DAGSTER_HOME``: made once, before anything runs.

Belongs here: folders, the instance's configuration and first initialisation,
and the log of foreground commands.  Does not belong here: what runs then.
"""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dagster import DagsterInstance

import contimg_assets
from contimg_assets.radio.errors import MissingInputError
from contimg_assets.settings import Settings
from contimg_assets.station.database import engine_for

INSTANCE_FILE = "dagster.yaml"
#: The repository's instance configuration: the package is installed in place (``make install``).
INSTANCE_SOURCE = Path(contimg_assets.__file__).parent.parent / INSTANCE_FILE


def dagster_home(settings: Settings) -> Path:
    """Dagster's folder: ``DAGSTER_HOME``, or ``dagster`` in ``CONTIMG_HOME`` (and then set so)."""
    home = os.environ.setdefault("DAGSTER_HOME", str(settings.home / "dagster"))
    return Path(home)


def initialise(settings: Settings) -> Path:
    """Make the home folders, Dagster's storage and the catalogue, as far as they are not there.

    Parameters
    ----------
    settings : Settings
        Of this process; ``CONTIMG_HOME`` is set to its home for all that it starts.

    Returns
    -------
    Path
        ``DAGSTER_HOME``.

    Raises
    ------
    MissingInputError
        If the repository's ``dagster.yaml`` is needed and cannot be found.
    """
    os.environ["CONTIMG_HOME"] = str(settings.home)
    folder = dagster_home(settings)
    for needed in (settings.home / "products", settings.home / "logs", folder):
        needed.mkdir(parents=True, exist_ok=True)
    # Two processes that initialise SQLite storage at once corrupt its station/migrations.
    with (settings.home / "init.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        target = folder / INSTANCE_FILE
        if not target.exists():
            if not INSTANCE_SOURCE.is_file():
                raise MissingInputError(f"{INSTANCE_SOURCE} is not there: install with `make install`")
            staged = target.with_suffix(".new")
            staged.write_text(INSTANCE_SOURCE.read_text(encoding="utf-8"), encoding="utf-8")
            staged.replace(target)
        with DagsterInstance.from_config(str(folder)) as instance:
            instance.get_runs(limit=1)
            instance.all_asset_keys()
        engine_for(settings.sqlalchemy_url)
    return folder


@contextmanager
def output_to(log: Path) -> Iterator[int]:
    """Send this process's output, and that of all it starts, to a file for the length of the block.

    Dagster copies every step's output to the terminal while it captures it;
    people who watch progress do not want CASA's log in between.

    Yields
    ------
    int
        File descriptor of the real standard error, for progress.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = (os.dup(1), os.dup(2))
    with log.open("ab") as handle:
        os.dup2(handle.fileno(), 1)
        os.dup2(handle.fileno(), 2)
    try:
        yield saved[1]
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for original, number in zip(saved, (1, 2), strict=True):
            os.dup2(original, number)
            os.close(original)
