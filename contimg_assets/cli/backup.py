"""``contimg backup``, ``restore``, ``reconcile``: a copy of what cannot be made again, and going back to it.

Belongs here: options and printing.  Does not belong here: what is done
(``station/backup.py``, ``station/restore.py``, ``station/reconcile.py`` and Dagster's side
of them in ``resources/``).
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from contimg_assets.cli.common import Opened, console, json_option, told_plainly
from contimg_assets.settings import get_settings

if TYPE_CHECKING:
    from contimg_assets.station.reconcile import Difference

#: Parts of a backup (``station.backup.PARTS``, which loads more than a command line needs).
_PARTS = ("station", "dagster", "files")
folder_argument = click.argument("folder", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path))


@click.command("backup")
@folder_argument
@click.option(
    "--keep", type=click.IntRange(min=1), help="Whole backups of this home that stay, with the new one."
)
@click.option(
    "--product",
    "products",
    multiple=True,
    metavar="NAME",
    help="Take the current versions of a product, too, such as image; may be given more than once.",
)
@json_option
@told_plainly
def backup(folder: Path, keep: int | None, products: tuple[str, ...], as_json: bool) -> None:
    """Copy what cannot be made again into a new folder below FOLDER: both databases, the calibration
    registry, settings, tokens, alerts, source catalogues.

    Everything may go on working meanwhile. The backup appears whole, with the SHA-256 of every file in its
    manifest. FOLDER is best on another machine's disk.
    """
    from contimg_assets.resources.dagster_backup import DagsterDatabases
    from contimg_assets.station.backup import make

    settings = get_settings()
    path, manifest, removed = make(
        settings, folder.absolute(), DagsterDatabases(settings), keep=keep, products=products
    )
    if as_json:
        report = {"backup": str(path), "removed": [str(old) for old in removed], "bytes": manifest.size}
        click.echo(json.dumps(report | manifest.model_dump(mode="json", exclude={"files"}), indent=2))
        return
    click.echo(
        f"{path}: {manifest.n_groups} groups, {len(manifest.files)} files, {manifest.size / 1e6:.1f} MB"
    )
    for text in manifest.left_out:
        click.echo(f"not in it: {text}")
    for old in removed:
        click.echo(f"removed: {old}")


@click.command("restore")
@click.argument("backup", metavar="BACKUP", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Choice(_PARTS),
    help="Only this part; may be given more than once. Default: all.",
)
@click.option("--check", "only_check", is_flag=True, help="Only look whether it could be restored.")
@json_option
@told_plainly
def restore(backup: Path, parts: tuple[str, ...], only_check: bool, as_json: bool) -> None:
    """Restore BACKUP into CONTIMG_HOME, which is empty or was wiped, and into empty databases.

    The backup is held against its manifest first. A database that is in use is never overwritten, and files
    that are in the home stay. Stop services first. Then see `contimg reconcile`.
    """
    from contimg_assets.resources.dagster_backup import DagsterDatabases
    from contimg_assets.station import restore as restoring

    settings, wanted = get_settings(), parts or _PARTS
    dagster = DagsterDatabases(settings)
    if only_check:
        manifest = restoring.check(settings, backup.absolute(), dagster, wanted)
        text = f"{backup.name} is whole and can be restored into {settings.home}"
        report = {"files": len(manifest.files), "restorable": True}
        click.echo(json.dumps(report) if as_json else text)
        return

    def tell(text: str) -> None:
        if not as_json:
            click.echo(text)

    done = restoring.restore(settings, backup.absolute(), dagster, wanted, tell)
    if as_json:
        click.echo(json.dumps({"done": done.told, "kept": [str(path) for path in done.kept]}, indent=2))
        return
    for path in done.kept:
        click.echo(f"differs from the backup, and stays: {path}")
    click.echo("now: contimg reconcile")


@click.command("reconcile")
@click.option(
    "--hashes", is_flag=True, help="Read calibration sets, flags and images, and check their hashes."
)
@click.option("--fix", is_flag=True, help="Do what is safe: see below.")
@click.option("--lost", is_flag=True, help="With --fix: what is missing is lost, even if it is most of all.")
@json_option
@told_plainly
def reconcile(hashes: bool, fix: bool, lost: bool, as_json: bool) -> None:
    """Hold the station database against the disk and against Dagster's database; show what differs, and
    what to do.

    With --fix: links lead to current versions again, versions whose content is not there are marked lost
    (they keep their history), and Dagster is told of partitions and products that it does not know. Ends
    with exit code 1 if anything is left to do.
    """
    if lost and not fix:
        raise click.UsageError("--lost goes with --fix")
    from contimg_assets.definitions import build_defs
    from contimg_assets.resources.dagster_reconcile import examine_dagster, tell_dagster
    from contimg_assets.station.installation import Installation
    from contimg_assets.station.reconcile import examine, put_right

    opened = Opened()
    station = Installation(opened.settings)
    nodes = build_defs().resolve_asset_graph().get_all_asset_keys()
    assets = {key.path[-1] for key in nodes}
    with opened.instance() as instance:
        found = examine(station, hashes=hashes)
        if fix:
            done = put_right(station, found, sure=lost)
            told = tell_dagster(station, instance, examine_dagster(station, instance, assets))
            done += told
            found = examine(station, hashes=hashes)
        else:
            done = []
        found += examine_dagster(station, instance, assets)
    if as_json:
        click.echo(json.dumps({"differences": [asdict(each) for each in found], "done": done}, indent=2))
    else:
        _show(found, done)
    raise SystemExit(int(bool(found)))


def _show(found: "list[Difference]", done: list[str]) -> None:
    from rich.markup import escape

    out = console()
    for text in done:
        out.print(escape(text), soft_wrap=True)
    for each in found:
        out.print(f"[yellow]{each.kind}[/]  {escape(each.what)}: {escape(each.found)}", soft_wrap=True)
        out.print(f"      → {escape(each.fix)}", soft_wrap=True)
    safe = sum(each.safe for each in found)
    if not found:
        out.print("station database, disk and Dagster agree")
    else:
        out.print(f"{len(found)} differences, of which --fix puts right {safe}")


#: Commands that ``contimg`` takes from this module.
commands: list[click.Command] = [backup, restore, reconcile]
