"""The operational commands: registering, processing, looking.

Belongs here: options and printing.  Does not belong here: what is done
(``station/operations.py``), the stages (``stages.py``), or
calibrators and their sets (``calibration.py``).
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from contimg_assets.cli.common import Opened, console, json_option, output_to, told_plainly
from contimg_assets.radio.interrupts import Interrupted, note_signals

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from contimg_assets.station.models import CalibrationWait
    from contimg_assets.station.operations import Operations, Outcome

verbose_option = click.option("--verbose", "-v", is_flag=True, help="Show the log of every step.")
folder_argument = click.argument(
    "folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path)
)


@click.command("init")
@json_option
@told_plainly
def init(as_json: bool) -> None:
    """Make CONTIMG_HOME: Dagster's folder and storage, and the station database."""
    opened = Opened()
    made = {
        "home": str(opened.settings.home),
        "dagster_home": str(opened.dagster_home),
        "database": opened.records.engine.url.render_as_string(hide_password=True),
    }
    click.echo(json.dumps(made) if as_json else "\n".join(f"{name}: {value}" for name, value in made.items()))


@click.command("register")
@folder_argument
@json_option
@told_plainly
def register(folder: Path, as_json: bool) -> None:
    """Enter every ready group of DIR in the station database, and its key among Dagster's partitions.

    Prints the keys.  The groups are not processed, but sensors that run will start them.
    """
    opened = Opened()
    with opened.instance() as instance:
        ready, outcomes = _operations(opened, instance, "contimg register").survey(folder.absolute())
    if as_json:
        click.echo(json.dumps({"registered": sorted(ready), "others": [_outcome(o) for o in outcomes]}))
    else:
        for key in sorted(ready):
            click.echo(key)
        _tell_others(outcomes)
    raise SystemExit(int(any(outcome.bad for outcome in outcomes)))


@click.command("process")
@folder_argument
@json_option
@verbose_option
@told_plainly
def process(folder: Path, as_json: bool, verbose: bool) -> None:
    """Process every ready group of DIR to a calibrated image, calibrators first.

    DIR is taken as it stands: groups of 12 to 15 subbands do not wait for the
    rest, unless DIR is the folder where the telescope's files still arrive.
    Groups completed before are skipped.  Ends with exit code 1 if any group
    failed or was bad; the others are processed all the same.
    """
    opened = Opened()
    _run(opened, "contimg process", lambda ours: ours.process(folder.absolute()), as_json, verbose)


@click.command("reprocess")
@click.option("--group", "key", required=True, metavar="KEY", help="Group, YYYY-MM-DDTHH:MM:SS.")
@click.option(
    "--keep-flags", is_flag=True, help="Start from its Measurement Set and present flags, not its files."
)
@json_option
@verbose_option
@told_plainly
def reprocess(key: str, keep_flags: bool, as_json: bool, verbose: bool) -> None:
    """Make everything of one group again, from its files (or its flags) on."""
    opened = Opened()
    opened.records.group(key)
    _run(
        opened, "contimg reprocess", lambda ours: ours.reprocess(key, keep_flags=keep_flags), as_json, verbose
    )


def _operations(opened: Opened, instance: "DagsterInstance", name: str, **told: Any) -> "Operations":
    """The station's operations, with jobs that run in this process."""
    from contimg_assets.definitions import build_defs
    from contimg_assets.resources.foreground_runs import ForegroundRuns
    from contimg_assets.station.operations import Operations

    verbose = bool(told.pop("verbose", False))
    launcher = ForegroundRuns(instance, build_defs(), verbose=verbose)
    return Operations(opened.settings, opened.records, opened.leases, launcher, name=name, **told)


def _run(
    opened: Opened,
    name: str,
    work: "Callable[[Operations], list[Outcome]]",
    as_json: bool,
    verbose: bool,
) -> None:
    """Run groups with progress, then sum up.

    Raises
    ------
    Interrupted
        If a signal came; it says what that means.
    """
    from contimg_assets.station.database import patient
    from contimg_assets.station.storage import PATIENCE_S

    note_signals()
    try:
        with patient(PATIENCE_S):
            outcomes, log = _outcomes(opened, name, work, verbose)
    except Interrupted as interrupt:
        told = "unfinished groups are pending again, and go on after their last finished stage"
        raise Interrupted(interrupt.number, told) from None
    records = [_outcome(outcome) for outcome in outcomes]
    for record in records:
        if opened.records.find(record["group"]) is not None:
            described = opened.described(record["group"])
            record |= {name: described[name] for name in ("state", "verdict")} | {"products": described}
    failed = any(outcome.bad for outcome in outcomes)
    if as_json:
        click.echo(json.dumps({"ok": not failed, "groups": records}, indent=2))
    else:
        _summary(records)
        if failed:
            click.echo(f"log: {'above' if verbose else log}", err=True)
    raise SystemExit(int(failed))


def _outcomes(
    opened: Opened, name: str, work: "Callable[[Operations], list[Outcome]]", verbose: bool
) -> "tuple[list[Outcome], Path]":
    """What became of the groups, and where the log is."""
    log = opened.settings.home / "logs" / f"foreground-{os.getpid()}.log"
    with opened.instance() as instance:
        if verbose:
            told = {"progress": _tell_run, "tell": lambda text: click.echo(text, err=True)}
            outcomes = work(_operations(opened, instance, name, verbose=True, **told))
        else:
            with output_to(log) as terminal, os.fdopen(os.dup(terminal), "w") as stream:
                outcomes = _with_progress(
                    stream, lambda **told: work(_operations(opened, instance, name, **told))
                )
    return outcomes, log


def _tell_run(key: str, job: str, number: int, total: int) -> None:
    click.echo(f"[{number + 1}/{total}] {key} {job}", err=True)


def _with_progress(stream: Any, work: "Callable[..., list[Outcome]]") -> "list[Outcome]":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(file=stream)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("looking through the files", total=None)

        def tell(key: str, job: str, number: int, total: int) -> None:
            bar.update(task, description=f"{key} {job}", completed=number, total=total)
            if not console.is_terminal:
                console.print(f"[{number + 1}/{total}] {key} {job}", markup=False, highlight=False)

        def wait(text: str) -> None:
            console.print(text, markup=False, highlight=False)

        outcomes = work(progress=tell, tell=wait)
        total = bar.tasks[0].total
        bar.update(task, description="done", completed=total if total is not None else 0)
    return outcomes


def _outcome(outcome: "Outcome") -> dict[str, Any]:
    return {
        "group": outcome.key,
        "status": outcome.status,
        "reason": outcome.reason,
        "refused_files": [{"file": str(path), "reason": reason} for path, reason in outcome.refused],
        "seconds": round(outcome.seconds, 1),
    }


def _tell_others(outcomes: "list[Outcome]") -> None:
    for outcome in outcomes:
        click.echo(f"{outcome.key}: {outcome.status}: {outcome.reason}", err=True)
        for path, reason in outcome.refused:
            click.echo(f"  {path}: {reason}", err=True)


def _summary(records: list[dict[str, Any]]) -> None:

    for record in records:
        text = f"{record['group']}  {record['status']}"
        text += f", verdict {record['verdict']}" if record.get("verdict") else ""
        text += f" in {record['seconds']:.0f} s" if record["seconds"] else ""
        click.echo(text + (f": {record['reason']}" if record["reason"] else ""))
        for refused in record["refused_files"]:
            click.echo(f"  refused {refused['file']}: {refused['reason']}")
        described = record.get("products")
        if described is None:
            continue
        if described["calibration"]:
            used = described["calibration"]
            how = used["fallback"].replace("_", " ")
            click.echo(
                f"  calibration  {used['set_id']} ({used['calibrator']}, {used['hours']:+.1f} h, {how})"
            )
            if used["warning"]:
                click.echo(f"  warning  {used['warning']}")
        for name, path in described["files"].items():
            click.echo(f"  {name.replace('_', ' ')}  {path}")


def _reason(reason: str, wait: "CalibrationWait | None") -> str:
    if wait is None:
        return reason
    return f"waits for its calibration until {wait.deadline:%Y-%m-%d %H:%M} UTC: {wait.reason}"


@click.command("status")
@click.option("--all", "everything", is_flag=True, help="List every group, not the newest 50.")
@json_option
@told_plainly
def status(everything: bool, as_json: bool) -> None:
    """Show the groups, their states and verdicts, what is completed but bad, and the newest alerts."""
    from contimg_assets.station.views import (
        completed_by_verdict,
        describe_group,
        describe_wait,
        errors_of,
        standings,
    )

    opened = Opened(reading=True)
    shown = None if everything else 50
    groups = opened.records.groups(limit=shown)
    alerts = opened.notifier.recent(10)
    counts = opened.records.counts()
    waits = opened.selection.waits()
    stands = standings(opened.records)
    by_verdict = completed_by_verdict(stands)
    bad = sorted(
        (k for k, s in stands.items() if (s.state, s.verdict) == ("completed", "ERROR")), reverse=True
    )
    errors = {key: errors_of(opened.records, key) for key in bad[:shown]}
    if as_json:
        rows = [
            {**describe_group(group, stands[group.key]), "waits": describe_wait(waits.get(group.key))}
            for group in groups
        ]
        told = {"counts": counts, "completed": by_verdict, "completed_with_error": errors}
        click.echo(json.dumps({**told, "groups": rows, "alerts": alerts}, indent=2))
        return
    from rich.table import Column, Table

    from contimg_assets.radio.telescope import N_SUBBANDS

    click.echo(", ".join(f"{number} {state}" for state, number in counts.items()))
    if counts["completed"]:
        click.echo("completed: " + ", ".join(f"{number} {name}" for name, number in by_verdict.items()))
    # A key that is cut short names no group, and a state that is cut short may be another one.
    key = Column("group", min_width=len("2025-06-01T14:05:49"), no_wrap=True)
    state = Column("state", min_width=len("in_progress"), no_wrap=True)
    verdict, reason = Column("verdict", no_wrap=True), Column("reason", min_width=12)
    table = Table(key, state, verdict, "subbands", "dec, °", "calibrator", reason)
    for group in groups:
        table.add_row(
            group.key,
            group.state,
            stands[group.key].verdict,
            f"{group.n_subbands}/{N_SUBBANDS}",
            f"{group.declination_deg:+.2f}",
            group.calibrator_name or "",
            _reason(group.reason, waits.get(group.key)),
        )
    if groups:
        console().print(table)
    _tell_errors(errors, len(bad))
    for alert in alerts:
        click.echo(f"{alert['at']} {alert['kind']} {alert['subject']}: {alert['message']}")


def _tell_errors(errors: dict[str, list[dict[str, Any]]], total: int) -> None:
    """The completed groups that nothing downstream may use, and why."""
    for key, checks in errors.items():
        click.echo(f"{key}  completed, verdict ERROR")
        for check in checks:
            click.echo(f"  {check['product']}: {check['text']}")
    if total > len(errors):
        click.echo(f"{total - len(errors)} more completed groups with ERROR: see --all")


@click.command("products")
@click.argument("key", metavar="[GROUP]", required=False)
@json_option
@told_plainly
def products(key: str | None, as_json: bool) -> None:
    """Show products: absolute paths, numbers, verdicts, and the set that calibrated GROUP (or all groups).

    The beam-corrected image is the one that ends in pbcor.fits.
    """
    from contimg_assets.station.views import standing_text

    opened = Opened(reading=True)
    keys = [key] if key else [group.key for group in reversed(opened.records.groups())]
    described = [opened.described(each) for each in keys]
    if as_json:
        click.echo(json.dumps(described[0] if key else {"groups": described}, indent=2))
        return
    for group in described:
        text = standing_text(group["state"], group["verdict"])
        click.echo(f"{group['group']}  {text}" + (f": {group['reason']}" if group["reason"] else ""))
        for name, path in group["files"].items():
            click.echo(f"  {name.replace('_', ' ')}: {path}")
        for name, product in group["products"].items():
            click.echo(f"  {name}: {product['path']}")
            for label, value in product["numbers"].items():
                click.echo(f"    {label} = {value:.6g}")
            for check, verdict in group["verdicts"].get(name, {}).items():
                click.echo(f"    {verdict['status']} {check}")
        if group["calibration"]:
            used = group["calibration"]
            click.echo(
                f"  calibrated by {used['set_id']} "
                f"({used['calibrator']}, {used['hours']:+.1f} h, {used['fallback'].replace('_', ' ')})"
                + (f", warning: {used['warning']}" if used["warning"] else "")
            )


#: Commands that ``contimg`` takes from this module.
commands: list[click.Command] = [init, register, process, reprocess, status, products]
