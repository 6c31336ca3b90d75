"""Dagster's instance of a home: ``CONTIMG_HOME`` and ``DAGSTER_HOME``, made once, before anything runs.

Belongs here: folders, the instance's configuration and first initialisation.
Does not belong here: what runs then.
"""

import fcntl
import os
from importlib.resources import files
from pathlib import Path

from dagster import DagsterInstance

from contimg_assets.radio.files import write_atomically
from contimg_assets.settings import Settings
from contimg_assets.station.database import engine_for

INSTANCE_FILE = "dagster.yaml"


def instance_configuration() -> str:
    """The instance's configuration on one machine; the repository's ``dagster.yaml`` is the same file."""
    return (files("contimg_assets.resources") / INSTANCE_FILE).read_text(encoding="utf-8")


def dagster_home(settings: Settings) -> Path:
    """Dagster's folder: ``DAGSTER_HOME``, or ``dagster`` in ``CONTIMG_HOME`` (and then set so)."""
    home = os.environ.setdefault("DAGSTER_HOME", str(settings.home / "dagster"))
    return Path(home)


def initialise(settings: Settings) -> Path:
    """Make the home folders, Dagster's storage and the station database, as far as they are not there.

    Parameters
    ----------
    settings : Settings
        Of this process; ``CONTIMG_HOME`` is set to its home for all that it starts.

    Returns
    -------
    Path
        ``DAGSTER_HOME``.
    """
    os.environ["CONTIMG_HOME"] = str(settings.home)
    folder = dagster_home(settings)
    for needed in (settings.home / "products", settings.home / "logs", folder):
        needed.mkdir(parents=True, exist_ok=True)
    # Two processes that initialise SQLite storage at once corrupt its migrations.
    with (settings.home / "init.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / INSTANCE_FILE).exists():
            write_atomically(folder / INSTANCE_FILE, instance_configuration())
        with DagsterInstance.from_config(str(folder)) as instance:
            instance.get_runs(limit=1)
            instance.all_asset_keys()
        engine_for(settings.sqlalchemy_url)
    return folder
