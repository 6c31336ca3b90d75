"""``contimg serve`` and ``contimg ui``: everything that browsers see, on one port.

Belongs here: options and what is printed.  Does not belong here: the server (``web/server.py``).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from contimg_assets.cli.common import Opened, json_option, told_plainly
from contimg_assets.station.services import WEB, serving
from contimg_assets.web.server import access_for, listener, serve

_OPTIONS = (
    click.option("--port", default=3000, show_default=True, type=click.IntRange(0, 65535), help="Port."),
    click.option(
        "--host",
        default="127.0.0.1",
        show_default=True,
        help="Address to listen on; others than the loopback's need tokens or a proxy.",
    ),
    click.option(
        "--uds",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Unix socket to listen on, for a proxy; in place of host and port.",
    ),
    json_option,
)


def _listening(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("serve")
@_listening
@click.option(
    "--workspace",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Workspace file that names a code server; default: one of the server's own.",
)
@told_plainly
def serve_command(port: int, host: str, uds: Path | None, workspace: Path | None, as_json: bool) -> None:
    """Serve pages, products and Dagster's web UI on one port, without the daemon.

    At a station: the daemon is a service of its own.
    """
    _run(port, host, uds, as_json, daemon=False, workspace=workspace)


@click.command("ui")
@_listening
@told_plainly
def ui(port: int, host: str, uds: Path | None, as_json: bool) -> None:
    """Serve pages, products and Dagster's web UI on one port, and run Dagster's daemon.

    The sensors start with it: files that arrive in the incoming folder are processed.
    """
    _run(port, host, uds, as_json, daemon=True)


def _run(
    port: int, host: str, uds: Path | None, as_json: bool, *, daemon: bool, workspace: Path | None = None
) -> None:
    opened = Opened()
    with listener(host, port, uds) as listening, opened.instance() as instance:
        access = access_for(opened.settings, listening)
        told: dict[str, Any] = {"address": listening.url, "access": access.mode}
        if daemon:
            told["incoming"] = str(opened.settings.incoming_folder)
        click.echo(json.dumps(told) if as_json else "\n".join(f"{k}: {v}" for k, v in told.items()))
        named = workspace.absolute() if workspace else None
        with serving(opened.settings, WEB):
            code = serve(opened.settings, instance, listening, access, daemon=daemon, workspace=named)
    raise SystemExit(code)


#: Commands that ``contimg`` takes from this module.
commands: list[click.Command] = [serve_command, ui]
