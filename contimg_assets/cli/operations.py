"""The operational commands: registering and processing.

Belongs here: options and printing.  Does not belong here: what is done
(``station/operations.py``), looking (``status.py``), the stages (``stages.py``), or
calibrators and their sets (``calibration.py``).
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from contimg_assets.cli.arguments import GROUP
from contimg_assets.cli.campaigns import selecting_options, selection_of, start_campaign
from contimg_assets.cli.common import Opened, json_option, output_to, told_plainly
from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.interrupts import Interrupted, note_signals

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from contimg_assets.station.make_again import Step
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
    if not ready and not outcomes:
        raise no_groups(folder)
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

    def work(ours: "Operations") -> "list[Outcome]":
        outcomes = ours.process(folder.absolute())
        if not outcomes:
            raise no_groups(folder)
        return outcomes

    _run(opened, "contimg process", work, as_json, verbose)


def no_groups(folder: Path) -> MissingInputError:
    """What to say of a folder that holds nothing to work on."""
    return MissingInputError(
        f"{folder.absolute()}: found no observation group; expected files such as "
        "2025-06-01T12:00:00_sb00.hdf5 (sub-folders are not searched)"
    )


@click.command("reprocess")
@click.option("--group", "key", metavar="GROUP", type=GROUP, help="One group, now and in this process.")
@click.option(
    "--keep-flags",
    is_flag=True,
    help="With --group: start from its Measurement Set and flags, not its files.",
)
@selecting_options
@json_option
@verbose_option
@told_plainly
def reprocess(key: str | None, keep_flags: bool, as_json: bool, verbose: bool, **selecting: Any) -> None:
    """Make groups again: one at once, or many as a campaign.

    With --group, everything of one group is made again in the foreground, from its files (or its flags) on.
    With other options, all groups that meet all of them and are out of date wait as a campaign, which the
    daemon makes bit by bit, after everything else: see `contimg campaign`.
    """
    if key is None:
        if keep_flags:
            raise click.UsageError("--keep-flags is for --group")
        name, dry_run = selecting.pop("name"), selecting.pop("dry_run")
        start_campaign(selection_of(selecting), name, dry_run=dry_run, as_json=as_json)
        return
    if any(selecting.values()):
        raise click.UsageError("--group is one group: the options of a campaign do not go with it")
    opened = Opened()
    key = opened.records.group(opened.key(key)).key
    _run(
        opened, "contimg reprocess", lambda ours: ours.reprocess(key, keep_flags=keep_flags), as_json, verbose
    )


def make_again(key: str, product: str, *, as_json: bool) -> None:
    """Make a product again that retention removed, in this process."""
    opened = Opened()
    key = opened.records.group(opened.key(key)).key
    _run(opened, "contimg products", lambda ours: ours.make_again(key, product), as_json, verbose=False)


def run_steps(opened: Opened, name: str, steps: "Mapping[str, Sequence[Step]]", *, as_json: bool) -> NoReturn:
    """Run steps of completed groups, in this process; ends the command."""
    _run(opened, name, lambda ours: ours.make_steps(steps), as_json, verbose=False)


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
) -> NoReturn:
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


#: Commands that ``contimg`` takes from this module.
commands: list[click.Command] = [init, register, process, reprocess]
