"""``contimg history`` and ``contimg pointing``: what has happened, when, and why.

Belongs here: showing the station database's records of states, files, performance and
pointings.  Nothing is changed.
"""

import json
from typing import TYPE_CHECKING, Any

import click

from contimg_assets.cli.arguments import GROUP, KEY_BEGINNING
from contimg_assets.cli.common import Opened, json_option, told_plainly

if TYPE_CHECKING:
    from rich.table import Table

#: Files that are listed when no group is named.
FILES_SHOWN = 50
#: Columns of running text.
_FOLDED = ("reason", "event")


@click.command("history")
@click.argument("key", metavar="[GROUP]", required=False, type=GROUP)
@click.option(
    "--product", help="Only versions of this product of GROUP, and all that the current one is from."
)
@json_option
@told_plainly
def history(key: str | None, product: str | None, as_json: bool) -> None:
    """Show what happened to GROUP: states, files, versions of its products, and what they took to make.

    Without GROUP: how many files were used, and the newest of those that were not, with reasons.
    """
    if product is not None and key is None:
        raise click.UsageError("--product is of a GROUP: name it")
    from contimg_assets.station.version_views import lineage_of, versions_of
    from contimg_assets.station.views import describe_file, describe_history

    opened = Opened(reading=True)
    records, arrivals = opened.records, opened.arrivals
    key = opened.key(key) if key is not None else None
    report: dict[str, Any]
    if key is None:
        not_used = [describe_file(file) for file in arrivals.not_used(FILES_SHOWN)]
        report = {"files": arrivals.counts(), "not_used": not_used}
    elif product is not None:
        report = {
            "group": records.group(key).key,
            "versions": [vars(view) for view in versions_of(records.engine, key, product)],
            "lineage": [
                {"steps": view.steps, **vars(view.version)}
                for view in lineage_of(records.engine, key, product)
            ],
        }
    else:
        told = describe_history(records, arrivals, key)
        versions = [vars(view) for view in versions_of(records.engine, key)]
        # In the order in which it is shown.
        report = {**{n: told.pop(n) for n in ("group", "state", "verdict", "retries", "transitions")}}
        report |= {"versions": versions, **told}
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    from contimg_assets.cli.tables import show

    if key is None:
        click.echo(", ".join(f"{number} {outcome}" for outcome, number in report["files"].items()))
    for name, rows in report.items():
        if isinstance(rows, list) and rows:
            shown = [_short(row) for row in rows] if name in ("versions", "lineage") else rows
            show(_table(name.replace("_", " "), shown))


@click.command("pointing")
@click.option(
    "--since",
    default="",
    type=KEY_BEGINNING,
    metavar="KEY",
    help="Group (or the first part of its key) to begin at.",
)
@json_option
@told_plainly
def pointing(since: str, as_json: bool) -> None:
    """Show where the telescope looked: one line for each spell without gap or change of declination."""
    spells = [vars(spell) for spell in Opened(reading=True).pointing.spells(since)]
    if as_json:
        click.echo(json.dumps({"spells": spells}, indent=2))
    elif spells:
        from contimg_assets.cli.tables import show

        show(_table("pointing", spells))
    else:
        click.echo("no group is registered" + (f" since {since}" if since else " yet"))


def _short(version: dict[str, Any]) -> dict[str, Any]:
    """What a table has room for of a version; in a lineage, a step further in for each step back."""
    key, inputs = version["key"], version["inputs"]
    return {
        "product": "  " * version.get("steps", 0) + version["product"],
        "version": version["version"],
        **({"key": key} if "steps" in version else {}),
        **{name: version[name] for name in ("made", "superseded", "deleted", "seconds")},
        "run": (version["run"] or "")[:8],
        **(
            {}
            if "steps" in version
            else {"made from": tuple(each.removeprefix(f"{key} ") for each in inputs)}
        ),
    }


def _table(title: str, rows: list[dict[str, Any]]) -> "Table":
    from rich.table import Column, Table
    from rich.text import Text

    columns = (Column(name, overflow="fold" if name in _FOLDED else "ellipsis") for name in rows[0])
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(Text(_shown(value)) for value in row.values()))
    return table


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return "\n".join(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


commands: list[click.Command] = [history, pointing]
