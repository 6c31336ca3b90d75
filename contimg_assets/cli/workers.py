"""``contimg workers``: the workers of a station, and which of them take runs.

Belongs here: showing and asking.  Does not belong here: how workers are reached
(``resources/workers.py``), or how they are started (``deploy/``).
"""

import json
from datetime import UTC, datetime
from typing import Any

import click
from dagster import DagsterInstance
from rich.table import Table

from contimg_assets.cli.common import Opened, console, json_option, told_plainly
from contimg_assets.partitions import PARTITION_TAG
from contimg_assets.resources.workers import StationWorkers, WorkerState, control_app


@click.group("workers", invoke_without_command=True)
@click.pass_context
def workers(context: click.Context) -> None:
    """Show a station's workers, or have one take no more runs."""
    if context.invoked_subcommand is None:
        context.invoke(list_workers)


@workers.command("list")
@json_option
@told_plainly
def list_workers(as_json: bool = False) -> None:
    """Show every worker that answers: what it takes from, and the run in its hands."""
    states = StationWorkers(control_app()).states()
    groups: dict[str, str] = {}
    if any(state.run for state in states):
        with Opened().instance() as instance:
            groups = {state.run: _group(instance, state.run) for state in states if state.run}
    _show([_row(state, groups) for state in states], as_json)


@workers.command("drain")
@click.argument("name")
@json_option
@told_plainly
def drain(name: str, as_json: bool) -> None:
    """Have the worker NAME take no more runs; the one in hand goes on to its end.

    A worker that is started anew takes runs again.
    """
    _show([_row(StationWorkers(control_app()).drain(name), {})], as_json)


@workers.command("resume")
@click.argument("name")
@json_option
@told_plainly
def resume(name: str, as_json: bool) -> None:
    """Have the drained worker NAME take runs again."""
    _show([_row(StationWorkers(control_app()).resume(name), {})], as_json)


def _group(instance: DagsterInstance, run_id: str) -> str:
    run = instance.get_run_by_id(run_id)
    return run.tags.get(PARTITION_TAG, "") if run else ""


def _row(state: WorkerState, groups: dict[str, str]) -> dict[str, Any]:
    return {
        "name": state.name,
        "host": state.host,
        "queues": state.queues,
        "drained": state.drained,
        "run": state.run,
        "group": groups.get(state.run or "") or None,
        "since": state.since.isoformat(timespec="seconds") if state.since else None,
    }


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"workers": rows}, indent=2))
        return
    if not rows:
        click.echo("no worker answers")
        return
    table = Table()
    for heading in ("worker", "takes from", "run in hand", "group", "for"):
        table.add_column(heading)
    for row in rows:
        takes = "drained" if row["drained"] else ", ".join(row["queues"])
        table.add_row(row["name"], takes, row["run"] or "", row["group"] or "", _elapsed(row["since"]))
    console().print(table)


def _elapsed(since: str | None) -> str:
    if since is None:
        return ""
    return f"{(datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds():.0f} s"


commands = (workers,)
