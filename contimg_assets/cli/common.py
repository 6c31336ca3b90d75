"""What commands of a home share: opening it, and showing errors plainly."""

import json
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import click
from dagster import DagsterInstance
from rich.console import Console

from contimg_assets.cli.home import initialise
from contimg_assets.radio.errors import ContimgError
from contimg_assets.resources.dagster_resources import CatalogResource, StoreResource
from contimg_assets.settings import Settings, get_settings
from contimg_assets.station.views import describe_products

P = ParamSpec("P")
#: Columns of output that goes to a file or another program, which has no width of its own.
PIPED_WIDTH = 160

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


def console() -> Console:
    """Where tables go: as wide as the terminal, or wide enough that nothing is cut short."""
    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)


def told_plainly(function: Callable[P, None]) -> Callable[P, None]:
    """Show our own errors as one line, or as JSON, and end with exit code 3."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except ContimgError as error:
            if kwargs.get("as_json"):
                click.echo(json.dumps({"error": type(error).__name__, "message": str(error)}))
            click.echo(f"{type(error).__name__}: {error}", err=True)
            raise SystemExit(3) from error

    return wrapped


class Opened:
    """What the commands work on: home initialised, catalogue open."""

    def __init__(self) -> None:
        self.settings: Settings = get_settings()
        self.dagster_home = initialise(self.settings)
        database = CatalogResource()
        self.catalog, self.registry = database.catalog(), database.registry()
        self.selection = database.selection()
        self.store = StoreResource().store()

    def instance(self) -> DagsterInstance:
        """Dagster's instance of this home."""
        return DagsterInstance.from_config(str(self.dagster_home))

    def described(self, key: str) -> dict[str, Any]:
        """A group with its products."""
        return describe_products(self.catalog.group(key), self.catalog, self.registry, self.store)
