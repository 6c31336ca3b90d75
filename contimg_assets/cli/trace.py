"""``contimg trace``: the way of a group, stretch by stretch.

Belongs here: options and printing.  Does not belong here: which spans there are
(``station/group_traces.py``).
"""

import json
from dataclasses import asdict

import click
from rich.table import Table

from contimg_assets.cli.common import Opened, console, json_option, told_plainly
from contimg_assets.radio.errors import SettingsError


@click.command("trace")
@click.argument("group")
@click.option("--send", is_flag=True, help="Send it to the collector of the setting traces.endpoint.")
@json_option
@told_plainly
def trace(group: str, send: bool, as_json: bool) -> None:
    """Show how long GROUP was in each state and stage, from its first file to its end.

    With --send it also goes to a collector of OpenTelemetry; sent again it is the same trace.
    """
    from contimg_assets.station.group_traces import trace_of
    from contimg_assets.station.trace_export import export

    opened = Opened(reading=True)
    found = trace_of(opened.records.engine, opened.key(group))
    endpoint = opened.settings.traces.endpoint
    if send:
        if endpoint is None:
            raise SettingsError("found no CONTIMG_TRACES__ENDPOINT; expected a collector's address")
        export([found], endpoint)
    if as_json:
        spans = [{**asdict(span), "identity": span.identity} for span in found.spans]
        click.echo(json.dumps({"trace": found.identity, "spans": spans}, default=str))
        return
    table = Table("stretch", "begins", "s", "", title=f"trace {found.identity}", title_justify="left")
    root = found.spans[0]
    for span in sorted(found.spans, key=lambda each: (each.begins, each.parent is not None)):
        deep = 0 if span is root else 1 if span.parent == root.identity else 2
        length = (span.ends - span.begins).total_seconds()
        table.add_row(
            "  " * deep + span.name, f"{span.begins:%Y-%m-%d %H:%M:%S}", f"{length:.1f}", span.error
        )
    console().print(table)


#: Commands that ``contimg`` takes from this module.
commands: list[click.Command] = [trace]
