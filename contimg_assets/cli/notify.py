"""``contimg notify``: who is told of alarms, which there are, and that somebody has seen to one.

Belongs here: options and printing.  Does not belong here: what an alarm is
(``station/alarms.py``), or sending (``station/deliveries.py``).
"""

import getpass
import json
from typing import TYPE_CHECKING, Any

import click

from contimg_assets.cli.common import Opened, console, json_option, told_plainly
from contimg_assets.settings import get_settings

if TYPE_CHECKING:
    from contimg_assets.station.alarm_models import Alarm


@click.group("notify")
def notify() -> None:
    """Alarms: to whom they go, which there are, and who has seen to one.

    Addresses are read from CONTIMG_NOTIFY_URLS, or from notify.toml in CONTIMG_HOME, which nobody else
    may be able to read; they are never shown.
    """


@notify.command("test")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@json_option
@told_plainly
def test(names: tuple[str, ...], as_json: bool) -> None:
    """Send a test message to every address, or those called NAME, at once.

    Ends with exit code 1 if one did not take it.
    """
    from contimg_assets.radio.errors import SettingsError
    from contimg_assets.station.addresses import ADDRESS_FILE, read_addresses
    from contimg_assets.station.deliveries import send_each

    home = get_settings().home
    known = {address.name: address for address in read_addresses(home)}
    unknown = [name for name in names if name not in known]
    if unknown or not known:
        there = ", ".join(known) or f"none: give CONTIMG_NOTIFY_URLS, or {home / ADDRESS_FILE}"
        raise SettingsError(f"no address is called {', '.join(unknown) or 'anything'}; there are {there}")
    chosen = [known[name] for name in names] or list(known.values())
    body = f"A test of contimg's alarms, asked for by {getpass.getuser()}. Nothing is wrong."
    work = {
        address: [{"id": place, "title": "contimg: test", "body": body, "attachment": None}]
        for place, address in enumerate(chosen)
    }
    found = {chosen[outcome.id].name: outcome.error for outcome in send_each(work)}
    if as_json:
        click.echo(json.dumps([{"address": name, "error": error} for name, error in found.items()], indent=2))
    else:
        for name, error in found.items():
            click.echo(f"{name}: {error or 'sent'}")
    raise SystemExit(int(any(found.values())))


@notify.command("list")
@click.option("--all", "over", is_flag=True, help="Also alarms that are over.")
@json_option
@told_plainly
def list_(over: bool, as_json: bool) -> None:
    """Show alarms that are open, names of addresses, and messages that could not be sent yet."""
    from contimg_assets.station.addresses import read_addresses
    from contimg_assets.station.alarms import Alarms
    from contimg_assets.station.deliveries import waiting

    opened = Opened(reading=True)
    engine = opened.records.engine
    alarms = Alarms(engine).list(over=over)
    addresses = read_addresses(opened.settings.home)
    queue = waiting(engine)
    if as_json:
        told = {
            "alarms": [described(alarm) for alarm in alarms],
            "addresses": [
                {"name": each.name, "severity": each.severity, "reports": each.reports} for each in addresses
            ],
            "waiting": [
                {
                    "address": each.address,
                    "title": each.title,
                    "queued_at": each.queued_at.isoformat(),
                    "attempts": each.attempts,
                    "error": each.error,
                }
                for each in queue
            ],
        }
        click.echo(json.dumps(told, indent=2))
        return
    from rich.markup import escape
    from rich.table import Table

    from contimg_assets.station.alarm_messages import heading

    table = Table("no.", "severity", "alarm", "about", "times", "since", "seen to by")
    for alarm in alarms:
        seen = alarm.acknowledged_by or ("over" if alarm.cleared_at else "–")
        since = f"{alarm.opened_at:%Y-%m-%d %H:%M}"
        subject = alarm.subjects[0] if alarm.subjects else ""
        cells = (str(alarm.id), alarm.severity, heading(alarm), subject, str(alarm.n_times), since, seen)
        table.add_row(*map(escape, cells))
    if alarms:
        console().print(table)
    else:
        click.echo("no alarm is open")
    names = ", ".join(f"{each.name} ({each.severity})" for each in addresses)
    click.echo(f"addresses: {names or 'none, so nobody is told'}")
    for each in queue:
        click.echo(
            f"not sent yet to {each.address}: {each.title} ({each.attempts} tries; {each.error or 'waits'})"
        )


@notify.command("acknowledge")
@click.argument("number", type=int)
@click.option("--note", default="", help="What is being done about it.")
@json_option
@told_plainly
def acknowledge(number: int, note: str, as_json: bool) -> None:
    """Say that you have seen to alarm NUMBER: no more is told of it until it is over."""
    from contimg_assets.station.alarms import Alarms
    from contimg_assets.station.operator_actions import Action, OperatorActions

    engine, user = Opened(dagster=False).records.engine, getpass.getuser()
    command = f"notify acknowledge {number}"
    OperatorActions(engine).record(
        Action(user, "admin", "command line", "", "COMMAND", command, content=note)
    )
    alarm = Alarms(engine).acknowledge(number, user, note)
    click.echo(
        json.dumps(described(alarm), indent=2) if as_json else f"alarm {number}: {user} has seen to it"
    )


@notify.command("send")
@click.option("--waiting", is_flag=True, help="Only send what waits; do not look for what is new.")
@json_option
@told_plainly
def send(waiting: bool, as_json: bool) -> None:
    """Look for alarms and send what waits, once, as the sensor has it done every half a minute.

    To be called by a timer of the system as well, so that a silent daemon is told of.
    """
    from contimg_assets.sensors.requests import unusable
    from contimg_assets.station.addresses import read_addresses
    from contimg_assets.station.alarm_look import look, tell_without_database
    from contimg_assets.station.deliveries import deliver
    from contimg_assets.station.installation import Installation

    settings = get_settings()
    away = unusable()
    if away is not None:
        outcomes = tell_without_database(settings, away)
    else:
        station = Installation(settings)
        if not waiting:
            opened = Opened()
            from contimg_assets.definitions import defs
            from contimg_assets.resources.dagster_alarms import KINDS, dagster_conditions

            names = [each.name for each in defs.sensors or ()]
            with opened.instance() as instance:
                found = dagster_conditions(instance, names, settings.alarms.silent_minutes)
            look(station, found, KINDS)
        outcomes = deliver(station.engine, settings.home, read_addresses(settings.home))
    failed = [outcome for outcome in outcomes if outcome.error]
    if as_json:
        click.echo(json.dumps({"sent": len(outcomes) - len(failed), "failed": [o.error for o in failed]}))
    else:
        click.echo(
            f"{len(outcomes) - len(failed)} messages sent, {len(failed)} not: they are tried again later"
        )
    raise SystemExit(int(bool(failed)))


def described(alarm: "Alarm") -> dict[str, Any]:
    """An alarm as JSON."""
    from contimg_assets.station.alarm_messages import heading

    times = ("opened_at", "last_at", "told_at", "acknowledged_at", "cleared_at")
    names = ("id", "kind", "cause", "severity", "subjects", "message", "n_times", "acknowledged_by", "note")
    found = {name: getattr(alarm, name) for name in names}
    at = {name: getattr(alarm, name) for name in times}
    return {
        **found,
        "heading": heading(alarm),
        **{name: None if value is None else value.isoformat() for name, value in at.items()},
    }


#: Commands that ``contimg`` takes from this module.
commands: list[click.Command] = [notify]
