"""``contimg status`` and ``contimg products``: how groups stand, and what there is of them.

Belongs here: options and printing.  Does not belong here: what is shown (``station/views.py``,
``station/group_listing.py``).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from contimg_assets.cli.arguments import GROUP
from contimg_assets.cli.common import Opened, console, json_option, told_plainly

if TYPE_CHECKING:
    from rich.text import Text

    from contimg_assets.station.group_listing import GroupLine
    from contimg_assets.station.models import CalibrationWait

#: Groups that are listed unless all are asked for.
_SHOWN = 50
#: Columns of a list that goes to a file or another program: longer than any path.
_PIPED_WIDTH = 5000
_STYLES = {"PASS": "green", "WARN": "yellow", "ERROR": "red"}


@click.command("status")
@click.option("--all", "everything", is_flag=True, help=f"List every group, not the newest {_SHOWN}.")
@json_option
@told_plainly
def status(everything: bool, as_json: bool) -> None:
    """Show the groups, their states and verdicts, what is completed but bad, and the newest alerts.

    A line a group: verdict, noise over what is expected, part flagged, and its report or why there is none.
    """
    from contimg_assets.station.group_listing import completed_by_verdict, completed_with_error, group_lines
    from contimg_assets.station.space import Guard
    from contimg_assets.station.views import errors_of

    opened = Opened(reading=True)
    shown = None if everything else _SHOWN
    engine = opened.records.engine
    alerts, counts = opened.notifier.recent(10), opened.records.counts()
    by_verdict, waits = completed_by_verdict(engine), opened.selection.waits()
    errors = {key: errors_of(opened.records, key) for key in completed_with_error(engine, shown)}
    space = Guard(engine, opened.settings).look()
    if as_json:
        rows = _described(opened, shown, waits)
        told = {"counts": counts, "completed": by_verdict, "completed_with_error": errors}
        told |= {"disk": space.as_json()}
        click.echo(json.dumps({**told, "groups": rows, "alerts": alerts}, indent=2))
        return
    click.echo(", ".join(f"{number} {state}" for state, number in counts.items()))
    if counts["completed"]:
        click.echo("completed: " + ", ".join(f"{number} {name}" for name, number in by_verdict.items()))
    click.echo(space.text)
    _print_lines(opened, group_lines(engine, limit=shown), waits)
    _tell_errors(errors, by_verdict["ERROR"])
    for alert in alerts:
        click.echo(f"{alert['at']} {alert['kind']} {alert['subject']}: {alert['message']}")


def _described(
    opened: Opened, shown: int | None, waits: "dict[str, CalibrationWait]"
) -> list[dict[str, Any]]:
    """Groups for programs, newest first."""
    from contimg_assets.station.group_listing import group_lines
    from contimg_assets.station.views import describe_group, describe_wait, standings

    groups = opened.records.groups(limit=shown)
    keys = {group.key for group in groups}
    stands = standings(opened.records, keys if shown is not None else None)
    lines = {line.key: line for line in group_lines(opened.records.engine, limit=shown)}
    return [
        {
            **describe_group(group, stands[group.key]),
            **_line_numbers(opened, lines.get(group.key)),
            "waits": describe_wait(waits.get(group.key)),
        }
        for group in groups
    ]


def _line_numbers(opened: Opened, line: "GroupLine | None") -> dict[str, Any]:
    if line is None:
        return {"rms_ratio": None, "flag_fraction": None, "report": None}
    report = str(_report(opened, line)) if line.has_report else None
    return {"rms_ratio": line.rms_ratio, "flag_fraction": line.flag_fraction, "report": report}


def _report(opened: Opened, line: "GroupLine") -> Path:
    return opened.store.path(line.key, "image_qa").absolute() / "report.html"


def _print_lines(opened: Opened, lines: "list[GroupLine]", waits: "dict[str, CalibrationWait]") -> None:
    """A line a group; on a terminal the word "report" is a link, since a path has no room beside the rest."""
    if not lines:
        return
    from rich.table import Column, Table
    from rich.text import Text

    out = console()
    if not out.is_terminal:
        # A path over two lines is of no use to another program.
        out.width = _PIPED_WIDTH
    # A key that is cut short names no group, and a state that is cut short may be another one.
    table = Table(
        Column("group", no_wrap=True),
        Column("state", no_wrap=True),
        Column("verdict", no_wrap=True),
        Column("noise/exp.", no_wrap=True, justify="right"),
        Column("flagged", no_wrap=True, justify="right"),
        Column("report, or reason", overflow="fold"),
        box=None,
        pad_edge=False,
    )
    for line in lines:
        table.add_row(
            line.key,
            line.state,
            Text(line.verdict, style=_STYLES.get(line.verdict, "")),
            "" if line.rms_ratio is None else f"{line.rms_ratio:.2f}",
            "" if line.flag_fraction is None else f"{line.flag_fraction:.1%}",
            _last(opened, line, waits.get(line.key), out.is_terminal),
        )
    out.print(table)
    if out.is_terminal and any(line.has_report for line in lines):
        click.echo("reports: follow the links, or `contimg products`")


def _last(opened: Opened, line: "GroupLine", wait: "CalibrationWait | None", terminal: bool) -> "Text":
    from rich.text import Text

    if line.has_report and line.state == "completed":
        path = _report(opened, line)
        return Text("report", style=f"link {path.as_uri()}") if terminal else Text(str(path))
    if wait is not None:
        return Text(f"waits for its calibration until {wait.deadline:%Y-%m-%d %H:%M} UTC: {wait.reason}")
    return Text(line.reason)


def _tell_errors(errors: dict[str, list[dict[str, Any]]], total: int) -> None:
    """The completed groups that nothing downstream may use, and why."""
    for key, checks in errors.items():
        click.echo(f"{key}  completed, verdict ERROR")
        for check in checks:
            click.echo(f"  {check['product']}: {check['text']}")
    if total > len(errors):
        click.echo(f"{total - len(errors)} more completed groups with ERROR: see --all")


@click.command("products")
@click.argument("key", metavar="[GROUP]", required=False, type=GROUP)
@click.option(
    "--make",
    nargs=2,
    metavar="GROUP PRODUCT",
    type=click.Tuple([GROUP, str]),
    help="Make one again that was removed or compressed: measurement_set, calibrated_ms or image.",
)
@json_option
@told_plainly
def products(key: str | None, make: tuple[str, str] | None, as_json: bool) -> None:
    """Show products: absolute paths, numbers, verdicts, and the set that calibrated GROUP.

    Without GROUP: a line a group, with its verdict, noise over what is expected, part flagged, and report.
    The beam-corrected image is the one that ends in pbcor.fits.fz.
    """
    if make is not None:
        if key is not None:
            raise click.UsageError("--make names its group: found another one beside it")
        from contimg_assets.cli.operations import make_again

        make_again(*make, as_json=as_json)
        return
    opened = Opened(reading=True)
    if key is None:
        _all_products(opened, as_json)
        return
    group = opened.described(opened.key(key))
    if as_json:
        click.echo(json.dumps(group, indent=2))
    else:
        _print_products(group)


def _all_products(opened: Opened, as_json: bool) -> None:
    if as_json:
        described = [opened.described(group.key) for group in reversed(opened.records.groups())]
        click.echo(json.dumps({"groups": described}, indent=2))
        return
    from contimg_assets.station.group_listing import group_lines
    from contimg_assets.station.views import standing_text

    lines = group_lines(opened.records.engine)
    if not lines:
        click.echo("no group is registered yet: see `contimg process --help`")
    for line in reversed(lines):
        numbers = "" if line.rms_ratio is None else f", noise {line.rms_ratio:.2f} of expected"
        numbers += "" if line.flag_fraction is None else f", {line.flag_fraction:.1%} flagged"
        last = str(_report(opened, line)) if line.has_report else line.reason
        click.echo(f"{line.key}  {standing_text(line.state, line.verdict)}{numbers}: {last}")


def _print_products(group: dict[str, Any]) -> None:
    from contimg_assets.station.views import standing_text

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
    for cause in group["likely_causes"]:
        click.echo(f"  likely: {cause}")
    for name, gone in group["removed"].items():
        click.echo(f"  {name}: removed {gone['at']} ({gone['why']}); `{gone['again']}` makes it again")
    if group["calibration"]:
        used = group["calibration"]
        click.echo(
            f"  calibrated by {used['set_id']} "
            f"({used['calibrator']}, {used['hours']:+.1f} h, {used['fallback'].replace('_', ' ')})"
            + (f", warning: {used['warning']}" if used["warning"] else "")
        )


commands: list[click.Command] = [status, products]
