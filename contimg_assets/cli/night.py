"""``contimg night``: the report of a night, by hand.

Belongs here: options and printing.  Does not belong here: the report (``station/night_products.py``).
"""

import json
from datetime import UTC, datetime, timedelta

import click

from contimg_assets.cli.arguments import NIGHT
from contimg_assets.cli.common import Opened, json_option, told_plainly
from contimg_assets.settings import get_settings


@click.command("night")
@click.argument("date", required=False, metavar="[DATE]", type=NIGHT)
@click.option("--send", is_flag=True, help="Send it to the addresses of alarms.")
@json_option
@told_plainly
def night(date: str | None, send: bool, as_json: bool) -> None:
    """Make the report of the night DATE, a day UTC such as 2025-06-01 (default: yesterday).

    Every night's is made and sent by itself while Dagster's daemon works.
    """
    from contimg_assets.station.addresses import read_addresses
    from contimg_assets.station.deliveries import deliver
    from contimg_assets.station.installation import Installation
    from contimg_assets.station.night_products import make_report, report_of, send_report
    from contimg_assets.station.night_report_page import sentence

    Opened(dagster=False)
    station = Installation(get_settings())
    chosen = date or (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    report, _ = make_report(station, chosen)
    path = report_of(station, report.date)
    sent = send_report(station, report) if send else []
    failed = []
    if sent:
        outcomes = deliver(station.engine, station.settings.home, read_addresses(station.settings.home))
        failed = [outcome.error for outcome in outcomes if outcome.error]
    if as_json:
        click.echo(json.dumps({"page": str(path), "sent_to": sent, "failed": failed, **report.numbers}))
    else:
        click.echo(sentence(report))
        click.echo(str(path))
        for name in sent:
            click.echo(
                f"for {name}: queued and tried at once" + (f"; {len(failed)} not sent" if failed else "")
            )
    raise SystemExit(int(bool(failed)))


#: Commands that ``contimg`` takes from this module.
commands: list[click.Command] = [night]
