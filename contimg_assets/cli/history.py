"""``contimg history`` and ``contimg pointing``: what has happened, when, and why.

Belongs here: showing the catalogue's records of states, files, performance and
pointings.  Nothing is changed.
"""

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from contimg_assets.cli.operations import json_option, told_plainly
from contimg_assets.resources.dagster_resources import CatalogResource
from contimg_assets.settings import get_settings
from contimg_assets.station.arrivals import Arrivals
from contimg_assets.station.models import ArrivedFile, GroupTransition, Performance
from contimg_assets.station.views import standing

#: Files that are listed when no group is named.
FILES_SHOWN = 50


@click.command("history")
@click.argument("key", metavar="[GROUP]", required=False)
@json_option
@told_plainly
def history(key: str | None, as_json: bool) -> None:
    """Show what happened to GROUP: states, files, and what its products took to make.

    Without GROUP: how many files were used, and the newest of those that were not, with reasons.
    """
    catalog = CatalogResource().catalog()
    arrivals = Arrivals(catalog.engine, get_settings().incoming_folder)
    report: dict[str, Any]
    if key is None:
        report = {"files": arrivals.counts(), "not_used": [_file(f) for f in arrivals.not_used(FILES_SHOWN)]}
    else:
        group = catalog.group(key)
        report = {
            "group": group.key,
            "state": group.state,
            "verdict": standing(catalog, key).verdict,
            "retries": group.retries,
            "transitions": [_transition(step) for step in catalog.transitions(key)],
            "performance": [_performance(row) for row in catalog.performance(key)],
            "files": [_file(file) for file in arrivals.of_group(key)],
        }
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    console = Console()
    if key is None:
        click.echo(", ".join(f"{number} {outcome}" for outcome, number in report["files"].items()))
    for name, rows in report.items():
        if isinstance(rows, list) and rows:
            console.print(_table(name.replace("_", " "), rows))


@click.command("pointing")
@click.option("--since", default="", metavar="KEY", help="Group (or the first part of its key) to begin at.")
@json_option
@told_plainly
def pointing(since: str, as_json: bool) -> None:
    """Show where the telescope looked: one line for each spell without gap or change of declination."""
    spells = [vars(spell) for spell in CatalogResource().pointing().spells(since)]
    if as_json:
        click.echo(json.dumps({"spells": spells}, indent=2))
    elif spells:
        Console().print(_table("pointing", spells))


def _transition(step: GroupTransition) -> dict[str, Any]:
    return {
        "at": step.at.isoformat(timespec="milliseconds"),
        "from": step.from_state,
        "to": step.to_state,
        "reason": step.reason,
    }


def _performance(row: Performance) -> dict[str, Any]:
    return {
        "at": row.at.isoformat(timespec="seconds"),
        "product": row.product,
        "retry": row.retry,
        "writer": row.writer,
        "seconds": row.seconds,
        "peak_memory_mb": row.peak_memory_mb,
        "host": row.host,
        "run": row.run,
    }


def _file(file: ArrivedFile) -> dict[str, Any]:
    return {
        "at": file.at.isoformat(timespec="seconds"),
        "file": f"{file.folder}/{file.name}",
        "group": file.group_key,
        "outcome": file.outcome,
        "reason": file.reason,
    }


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(*rows[0], title=title, title_justify="left")
    for row in rows:
        table.add_row(*(Text(_shown(value)) for value in row.values()))
    return table


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


commands: list[click.Command] = [history, pointing]
