"""``contimg groups DIR``: what lies in a folder, and why some of it cannot be used.

Belongs here: showing ``radio/grouping.py``'s findings to people and programs.
Nothing is registered, moved or changed.
"""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from contimg_assets.cli.common import json_option, told_plainly
from contimg_assets.radio.grouping import FileGroup, group_files, list_folder
from contimg_assets.settings import get_settings

_STYLES = {"complete": "green", "partial": "yellow", "bad": "red"}


@click.command("groups")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--check-contents", is_flag=True, help="Also read all data and refuse files with unflagged NaN."
)
@json_option
@told_plainly
def groups(folder: Path, as_json: bool, check_contents: bool) -> None:
    """Show the observation groups in DIR: complete, partial, bad and why.

    Sub-folders are not searched.  The exit code is 0 whatever is found.
    """
    folder = folder.absolute()
    listing = list_folder(folder)
    found = group_files(
        (file.path for file in listing.files),
        cluster_s=get_settings().ingest.cluster_s,
        check_contents=check_contents,
    )
    counts = {status: sum(g.status == status for g in found) for status in _STYLES}
    counts["ignored_files"] = len(listing.ignored)
    if as_json:
        report = {
            "folder": str(folder),
            "counts": counts,
            "groups": [group_record(group) for group in found],
            "ignored": [{"file": str(path), "reason": reason} for path, reason in listing.ignored],
        }
        click.echo(json.dumps(report, indent=2))
        return
    console = Console()
    if found:
        console.print(_group_table(found))
    refused = [(path, f"{group.key or 'no group'}: {why}") for group in found for path, why in group.bad]
    copies = [(path, f"{group.key}: identical copy") for group in found for path in group.duplicates]
    for title, files in (("Refused", refused), ("Not needed", copies), ("Ignored", listing.ignored)):
        if files:
            console.print(_file_table(title, files))
    console.print(
        f"{counts['complete']} complete, {counts['partial']} partial, {counts['bad']} bad; "
        f"{counts['ignored_files']} files ignored"
    )


def group_record(group: FileGroup) -> dict[str, object]:
    """A group as plain JSON values; numbers are null where no file can be used."""
    header = group.header
    return {
        "group": group.key,
        "status": group.status,
        "reason": group.reason,
        "declination_deg": group.declination_deg,
        "n_subbands": len(group.files),
        "missing_subbands": group.missing,
        "start_mjd": header.start_mjd if header else None,
        "n_integrations": header.n_integrations if header else None,
        "integration_s": header.integration_s if header else None,
        "n_antennas": header.n_antennas if header else None,
        "n_channels_per_subband": header.n_channels if header else None,
        "n_polarisations": header.n_polarisations if header else None,
        "files": {str(subband): str(path) for subband, path in group.files.items()},
        "bad": [{"file": str(path), "reason": reason} for path, reason in group.bad],
        "duplicates": [str(path) for path in group.duplicates],
    }


def _group_table(found: list[FileGroup]) -> Table:
    table = Table(title="Observation groups", title_justify="left")
    for column in ("Group", "Status", "Dec", "Times", "Ants", "Why"):
        table.add_column(column, overflow="fold", no_wrap=column != "Why")
    for group in found:
        header = group.header
        table.add_row(
            group.key or "unknown",
            Text(group.status, style=_STYLES[group.status]),
            f"{header.declination_deg:+.3f}°" if header else "",
            str(header.n_integrations) if header else "",
            str(header.n_antennas) if header else "",
            group.reason,
        )
    return table


def _file_table(title: str, files: list[tuple[Path, str]]) -> Table:
    table = Table(title=f"{title}: {len(files)}", title_justify="left")
    table.add_column("File", overflow="fold")
    table.add_column("Why", overflow="fold", ratio=1)
    for path, reason in files:
        table.add_row(_printable(path.name), _printable(reason))
    return table


def _printable(text: str) -> Text:
    """Text without markup or control characters: file names can hold anything."""
    return Text("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))


commands: list[click.Command] = [groups]
