"""``contimg daemon``: Dagster's daemon, of which one at a time works.

Belongs here: options and what is told.  Does not belong here: who is the one
(``resources/daemon.py``).
"""

import json
import tempfile
from pathlib import Path

import click

from contimg_assets.cli.common import Opened, json_option, told_plainly

_TEXTS = {
    "waiting": "another daemon works on this instance (or its database is away): waiting to take over",
    "running": "this daemon works",
    "lost": "the lock is gone, so this daemon was ended",
    "ended": "the daemon has ended",
}


@click.command("daemon")
@click.option(
    "--workspace",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Workspace file that names a code server; default: the daemon loads the definitions itself.",
)
@json_option
@told_plainly
def daemon(workspace: Path | None, as_json: bool) -> None:
    """Run Dagster's daemon, or wait while another one works on the same instance.

    As many as you like may be started, on any machines: if the one that works ends, another takes over.
    """
    from contimg_assets.resources.daemon import (
        ENDING,
        daemon_command,
        lock_of,
        run_one,
        told_to_end,
        write_workspace,
    )
    from contimg_assets.station.services import DAEMON, serving

    def tell(what: str) -> None:
        click.echo(json.dumps({"daemon": what}) if as_json else _TEXTS[what])

    opened = Opened()
    with opened.instance() as instance:
        lock = lock_of(instance, opened.dagster_home)
    with told_to_end() as ending, tempfile.TemporaryDirectory(prefix="contimg-") as name:
        command = daemon_command(workspace.absolute() if workspace else write_workspace(Path(name)))
        with serving(opened.settings, DAEMON):
            code = run_one(lock, command, opened.settings.home, tell, ending, opened.dagster_home / ENDING)
    raise SystemExit(code)


commands: list[click.Command] = [daemon]
