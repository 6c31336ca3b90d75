"""What commands share: ``--json``, opening the home, and showing errors plainly.

Belongs here: what more than one command needs of its surroundings.  Does not
belong here: what a command shows.  Dagster is imported only by those who ask for
its instance.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from contimg_assets.cli.surroundings import wrong_surroundings
from contimg_assets.radio import storage
from contimg_assets.radio.errors import ContimgError, SettingsError
from contimg_assets.radio.interrupts import Interrupted, raising
from contimg_assets.radio.processes import end_at_once
from contimg_assets.settings import Settings, get_settings

if TYPE_CHECKING:
    from dagster import DagsterInstance
    from rich.console import Console

P = ParamSpec("P")
#: Columns of output that goes to a file or another program, which has no width of its own.
PIPED_WIDTH = 160
#: Exit codes (0 is success, 1 a group that failed or a crash): a wrong command line or setting, …
WRONG_USE = 2
#: … and input that cannot be used.
BAD_INPUT = 3

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


def console() -> "Console":
    """Where tables go: as wide as the terminal, or wide enough that nothing is cut short."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)


def exit_code(error: ContimgError) -> int:
    """Exit code of a command that ends with one of our own errors."""
    return WRONG_USE if isinstance(error, SettingsError) else BAD_INPUT


def told_plainly(function: Callable[P, None]) -> Callable[P, None]:
    """Show our own errors, and those of storage and databases, as one line or as JSON, with their exit code.

    A signal ends the command with one line too, and a SQLite database is left whole in its file.
    """

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with raising():
                try:
                    function(*args, **kwargs)
                finally:
                    _checkpoint()
        except Interrupted as interrupt:
            _tell("Interrupted", str(interrupt), bool(kwargs.get("as_json")))
            raise SystemExit(interrupt.exit_code) from interrupt
        except Exception as error:
            told = error if isinstance(error, ContimgError) else _named(error)
            if told is None:
                raise
            _tell(type(told).__name__, str(told), bool(kwargs.get("as_json")))
            raise SystemExit(exit_code(told)) from error

    return wrapped


def _tell(name: str, text: str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"error": name, "message": text}))
    click.echo(text if name == "Interrupted" else f"{name}: {text}", err=True)


def _named(error: Exception) -> ContimgError | None:
    """Our own error for one of the system's or of a database; None for what is a fault of this program."""
    told = wrong_surroundings(error, get_settings()) or storage.fault_of(error)
    if told is not None or "sqlalchemy" not in sys.modules:
        return told
    from contimg_assets.station.database_faults import named

    return named(error, get_settings())


def _checkpoint() -> None:
    """Leave a SQLite database whole in its file, if this command has opened one."""
    if "contimg_assets.station.database" in sys.modules:
        from contimg_assets.station.database import checkpoint

        checkpoint()


class Opened:
    """What the commands work on: the station of a home.

    Parameters
    ----------
    reading : bool
        Only look: nothing is made, and Dagster is not loaded.
    dagster : bool
        Load Dagster and make what is not there yet; without it the station database alone is worked on.

    Raises
    ------
    MissingInputError
        If there is nothing to look at yet.
    DatabaseError
        If the home has products and the database knows of no group.
    """

    def __init__(self, *, reading: bool = False, dagster: bool = True) -> None:
        from contimg_assets.station.database import require
        from contimg_assets.station.database_faults import refuse_lost
        from contimg_assets.station.installation import Installation

        self.settings: Settings = get_settings()
        refuse_lost(self.settings)
        if reading or not dagster:
            require(self.settings.sqlalchemy_url)
        else:
            from contimg_assets.resources.instance import initialise

            end_at_once()
            self.dagster_home = initialise(self.settings)
        station = Installation(self.settings, reading=reading)
        self.records, self.registry, self.selection = station.records, station.registry, station.selection
        self.store, self.arrivals, self.pointing = station.store, station.arrivals, station.pointing
        self.notifier, self.leases, self.campaigns = station.notifier, station.leases, station.campaigns

    def key(self, key: str) -> str:
        """The key of the group that is meant, by its key or by one of its files."""
        from contimg_assets.station.group_names import registered_key

        return registered_key(self.records.engine, key)

    def instance(self) -> "DagsterInstance":
        """Dagster's instance of this home."""
        from dagster import DagsterInstance

        return DagsterInstance.from_config(str(self.dagster_home))

    def described(self, key: str) -> dict[str, Any]:
        """A group with its products."""
        from contimg_assets.station.views import describe_products

        return describe_products(self.records.group(key), self.records, self.registry, self.store)


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
