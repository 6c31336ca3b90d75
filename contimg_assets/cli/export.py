"""``contimg export``: a night, or groups, handed over as a folder that speaks for itself.

Belongs here: which groups, and saying what was done.  Does not belong here: what
the folder holds (``station/export.py``).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from contimg_assets.cli.arguments import GROUP, NIGHT, WEB_ADDRESS
from contimg_assets.cli.common import Opened, json_option, told_plainly

if TYPE_CHECKING:
    from contimg_assets.station.group_listing import GroupLine


@click.command("export")
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("keys", metavar="[GROUP]...", nargs=-1, type=GROUP)
@click.option("--night", type=NIGHT, help="All groups that begin on this day, UTC.")
@click.option("--everything", is_flag=True, help="Also residual, model, dirty beam, mask and components.")
@click.option("--with-errors", is_flag=True, help="Also images whose verdict is ERROR.")
@click.option(
    "--url",
    default="",
    type=WEB_ADDRESS,
    help="Address that OUT will have, for access_url; default: file://…",
)
@json_option
@told_plainly
def export(
    out: Path,
    keys: tuple[str, ...],
    night: str | None,
    everything: bool,
    with_errors: bool,
    url: str,
    as_json: bool,
) -> None:
    """Hand over images, source lists, numbers and provenance of GROUPs (or of a night) as the new folder OUT.

    It has a README, a manifest and SHA-256 sums.  OUT appears whole or not at all; one that is there is
    never touched.  Groups without an image, or with the verdict ERROR, are left out of a night, and named.
    """
    if bool(keys) == (night is not None):
        raise click.UsageError("name GROUPs or a --night, and not both")
    from contimg_assets.radio.errors import ExportError
    from contimg_assets.station.export import Request
    from contimg_assets.station.export import export as hand_over
    from contimg_assets.station.group_listing import GroupFilter, group_lines

    opened = Opened(reading=True)
    engine = opened.records.engine
    if night is not None:
        lines = group_lines(engine, GroupFilter(since=night, until=night))
    else:
        wanted = [opened.records.group(opened.key(key)).key for key in keys]
        lines = group_lines(engine, GroupFilter(keys=tuple(wanted)))
    lines = lines[::-1]
    reasons = {line.key: _why_not(line, with_errors) for line in lines}
    left_out = [(key, why) for key, why in reasons.items() if why]
    if keys and left_out:
        raise ExportError("; ".join(f"group {key} cannot go along: {why}" for key, why in left_out))
    request = Request(
        [line for line in lines if not reasons[line.key]], everything, url, left_out, opened.settings.archive
    )
    done = hand_over(opened.records, opened.store, request, out)
    if as_json:
        told = {"path": str(done.path), "groups": done.groups, "files": done.n_files, "bytes": done.n_bytes}
        click.echo(json.dumps({**told, "left_out": dict(done.left_out)}, indent=2))
        return
    for key, why in done.left_out:
        click.echo(f"left out: {key}, {why}")
    click.echo(f"{done.path}: {len(done.groups)} groups, {done.n_files} files, {done.n_bytes / 1e6:.0f} MB")


def _why_not(line: "GroupLine", with_errors: bool) -> str:
    """Why a group does not go along; empty if it does."""
    if line.image_path is None:
        return "it has no image"
    if line.verdict == "ERROR" and not with_errors:
        return f"its verdict is ERROR ({line.worst_check}); --with-errors takes it along"
    return ""


commands: list[click.Command] = [export]
