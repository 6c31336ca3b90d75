"""``contimg campaign``, and the part of ``contimg reprocess`` that makes one.

Belongs here: options and printing.  Does not belong here: which groups a campaign has
(``station/campaign_selection.py``), or what becomes of them (``station/campaigns.py``).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from contimg_assets.cli.common import Opened, console, json_option, told_plainly

if TYPE_CHECKING:
    from contimg_assets.station.campaign_estimate import Estimate
    from contimg_assets.station.campaign_selection import Selection
    from contimg_assets.station.campaign_views import CampaignDetails, CampaignView
    from contimg_assets.station.campaigns import Plan

#: Bytes of the unit in which sizes are shown.
_GB = 1e9


class _Time(click.ParamType):
    """A time, UTC, or a day; as keys of groups have it."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"found {value!r}; expected 2026-01-15 or 2026-01-15T03:00:00", param, ctx)
        at = at.astimezone(UTC) if at.tzinfo else at
        return at.strftime("%Y-%m-%dT%H:%M:%S")


_SELECTING = (
    click.option(
        "--since", type=_Time(), metavar="TIME", help="Groups that began at this time (UTC) or after."
    ),
    click.option("--until", type=_Time(), metavar="TIME", help="Groups that began before this time (UTC)."),
    click.option(
        "--declination", type=(float, float), metavar="MIN MAX", help="Groups within these declinations, deg."
    ),
    click.option(
        "--verdict", type=click.Choice(["PASS", "WARN", "ERROR"]), help="Groups with this worst verdict."
    ),
    click.option(
        "--set", "calibration_set", metavar="SET", help="Groups that this calibration set calibrated."
    ),
    click.option(
        "--outdated", is_flag=True, help="Groups made with other settings than now, or by another version."
    ),
    click.option("--all", "everything", is_flag=True, help="Take those that are up to date, too."),
    click.option("--name", metavar="NAME", help="Of the campaign; default: campaign-N."),
    click.option("--dry-run", is_flag=True, help="Only tell what would be done, and what that takes."),
)


def selecting_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that say which groups a campaign has."""
    for option in reversed(_SELECTING):
        command = option(command)
    return command


def selection_of(given: Mapping[str, Any]) -> "Selection":
    """What those options ask for."""
    from contimg_assets.station.campaign_selection import Selection

    low, high = given["declination"] or (None, None)
    return Selection(
        given["since"],
        given["until"],
        low,
        high,
        given["verdict"],
        given["calibration_set"],
        given["outdated"],
        given["everything"],
    )


def start_campaign(selection: "Selection", name: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Tell what a campaign would do, and make it unless that is all."""
    from contimg_assets.resources.dagster_runs import pool_limit_of, slots_of

    opened = Opened()
    with opened.instance() as instance:
        plan = opened.campaigns.plan(selection, slots=slots_of(instance), pool_limit=pool_limit_of(instance))
    if not as_json:
        _tell_plan(plan)
    made = None
    if plan.n_groups and not dry_run:
        made = opened.campaigns.create(plan, name)
    if as_json:
        click.echo(json.dumps({**_plan_record(plan), "campaign": made}, indent=2))
    elif made:
        click.echo(f"{made}: its groups wait for the daemon; see `contimg campaign show {made}`")
    elif not dry_run:
        click.echo("nothing to do")


def _plan_record(plan: "Plan") -> dict[str, Any]:
    expected = plan.estimate
    derived = {name: getattr(expected, name) for name in ("hours", "written_bytes", "extra_bytes")}
    return {
        "selection": plan.selection.described(),
        "groups": plan.n_groups,
        "reasons": plan.taken,
        "left_out": plan.left_out,
        "estimate": {**asdict(expected), **derived},
    }


def _tell_plan(plan: "Plan") -> None:
    expected = plan.estimate
    click.echo(f"{plan.n_groups} groups to be made again, {expected.n_calibrators} of them calibrator scans")
    for reason, number in plan.taken.items():
        click.echo(f"  {number:7d}  {reason}")
    if plan.left_out:
        click.echo(f"{sum(plan.left_out.values())} selected groups left out")
        for reason, number in plan.left_out.items():
            click.echo(f"  {number:7d}  {reason}")
    if plan.n_groups:
        click.echo(_time_text(expected))
        click.echo(_disk_text(expected))


def _time_text(expected: "Estimate") -> str:
    if expected.hours is None:
        return "time: not known, since no group has been made here yet"
    pools = f", {expected.pool_limit} stage of a kind at once" if expected.pool_limit else ""
    runs = "one run" if expected.slots == 1 else f"{expected.slots} runs"
    return (
        f"time: {expected.hours:.1f} h for stages of {expected.group_s:.0f} s a group (the median here), "
        f"{runs} at once{pools}, if nothing else runs"
    )


def _disk_text(expected: "Estimate") -> str:
    free = f"{expected.free_bytes / _GB:.1f} GB are free"
    if expected.extra_bytes is None or expected.written_bytes is None:
        return f"disk: not known, since no group has been made here yet; {free}"
    written, extra = expected.written_bytes / _GB, expected.extra_bytes / _GB
    return (
        f"disk: {written:.1f} GB written in place of as much; up to {extra:.1f} GB more while replaced "
        f"versions stay for {expected.grace_hours:g} h; {free}"
        + (": NOT ENOUGH" if expected.extra_bytes > expected.free_bytes else "")
    )


# -- contimg campaign -----------------------------------------------------------------------


@click.group("campaign")
def campaign() -> None:
    """Groups made again in great number: list, look, pause, resume, cancel."""


@campaign.command("list")
@json_option
@told_plainly
def list_campaigns(as_json: bool) -> None:
    """Show all campaigns, newest first."""
    from rich.table import Table

    from contimg_assets.station.campaign_views import campaigns_of

    found = campaigns_of(Opened(reading=True).records.engine)
    if as_json:
        click.echo(json.dumps({"campaigns": [_record(view) for view in found]}, indent=2))
        return
    table = Table("campaign", "state", "groups", "left", "completed", "failed", "an hour", "end")
    for view in found:
        table.add_row(
            view.name,
            view.state,
            str(view.n_groups),
            str(view.left),
            _completed(view),
            str(view.groups["failed"]),
            f"{view.per_hour:.0f}" if view.per_hour else "",
            view.ended_at or (f"about {view.estimated_end}" if view.estimated_end else ""),
        )
    if found:
        console().print(table)
    else:
        click.echo("no campaign has been made here; `contimg reprocess` makes one")


@campaign.command("show")
@click.argument("name")
@json_option
@told_plainly
def show(name: str, as_json: bool) -> None:
    """Show how far the campaign NAME has come, its rate and estimated end, and failures by reason."""
    from contimg_assets.station.campaign_views import campaign_details, campaign_view

    opened = Opened(reading=True)
    engine = opened.records.engine
    view, details = campaign_view(engine, name), campaign_details(engine, name, opened.settings)
    if as_json:
        click.echo(json.dumps({**_record(view), **asdict(details)}, indent=2))
        return
    _tell_campaign(view, details)


def _tell_campaign(view: "CampaignView", details: "CampaignDetails") -> None:
    click.echo(f"{view.name}: {view.state}, made {view.made_at} by {view.made_by}")
    click.echo("asked for: " + ", ".join(f"{name} {value}" for name, value in view.selection.items()))
    counts = ", ".join(f"{number} {state}" for state, number in view.groups.items() if number)
    click.echo(f"{view.n_groups} groups: {counts}")
    if view.groups["completed"]:
        click.echo(f"completed: {_completed(view)}")
    if view.per_hour:
        click.echo(f"{view.per_hour:.1f} groups an hour of late")
    if view.ended_at or view.estimated_end:
        click.echo(f"ended: {view.ended_at}" if view.ended_at else f"estimated end: {view.estimated_end}")
    for reason, number in details.reasons.items():
        click.echo(f"  {number:7d}  {reason}")
    for text in details.changed_settings:
        click.echo(f"settings have changed since: {text}")
    for failed in details.failures:
        click.echo(f"{failed.number} failed: {failed.kind}; the newest, {failed.key}: {failed.reason}")


def _completed(view: "CampaignView") -> str:
    return ", ".join(f"{number} {verdict}" for verdict, number in view.completed.items() if number)


def _record(view: "CampaignView") -> dict[str, Any]:
    return {**asdict(view), "n_groups": view.n_groups, "left": view.left}


def _changing(name: str, text: str) -> click.Command:
    """A command that changes a campaign's state, and shows what it is then."""

    @campaign.command(name, help=text)
    @click.argument("name")
    @json_option
    @told_plainly
    def change(name: str, as_json: bool) -> None:
        from contimg_assets.station.campaign_views import campaign_view

        opened = Opened(dagster=False)
        getattr(opened.campaigns, change_name)(name)
        view = campaign_view(opened.records.engine, name)
        if as_json:
            click.echo(json.dumps(_record(view), indent=2))
        else:
            click.echo(f"{view.name}: {view.state}, {view.left} groups left")

    change_name = name
    return change


_changing("pause", "Let the campaign NAME start no more groups; those that were started go on.")
_changing("resume", "Let the paused campaign NAME go on.")
_changing("cancel", "End the campaign NAME; groups that were started go on, the others stay as they are.")

commands: list[click.Command] = [campaign]
