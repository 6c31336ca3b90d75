"""``contimg retention``: what goes from the disk, and letting it go.

Belongs here: options and printing.  Does not belong here: what goes
(``station/retention.py``, ``resources/dagster_prune.py``).
"""

import json

import click

from contimg_assets.cli.common import Opened, console, json_option, told_plainly

#: Bytes of the unit in which sizes are shown.
_GB = 1e9


@click.command("retention")
@click.option("--apply", "remove", is_flag=True, help="Remove it; without this it is only listed.")
@json_option
@told_plainly
def retention(remove: bool, as_json: bool) -> None:
    """List what is no longer needed on disk, and why; with --apply, remove it.

    That is the content of versions that were superseded longer than the grace ago, and what killed processes
    left; calibrated Measurement Sets whose image has its verdict, Measurement Sets and logs after some days;
    and planes of images are compressed (settings `retention`).  Images, flags and calibration sets stay, and
    the history of every product; files of the telescope, unless a setting tells otherwise.  What a run or a
    campaign needs stays until that is done.  And the rows of Dagster's event log that tell neither product
    nor verdict, of runs that ended before the setting retention.event_days.
    """
    from rich.table import Table

    from contimg_assets.resources.dagster_prune import prunable_runs, prune
    from contimg_assets.station.retention import by_class, carry_out, everything, put_links_right
    from contimg_assets.station.space import Guard

    opened = Opened()
    engine, store = opened.records.engine, opened.store
    space = Guard(engine, opened.settings).look()
    links = put_links_right(opened.records, store) if remove else []
    sidecars = opened.registry.put_sidecars_right() if remove else []
    removals = everything(engine, opened.settings, wanted_bytes=space.wanted_bytes)
    freed = carry_out(engine, store, removals) if remove else 0
    days = opened.settings.retention.event_days
    with opened.instance() as instance:
        n_runs = prunable_runs(instance, days)
        n_rows = prune(instance, days).n_rows if remove else 0
    total = sum(removal.size for removal in removals)
    if as_json:
        rows = [
            {"path": str(r.path), "reason": r.reason, "bytes": r.size, "class": r.what, "action": r.action}
            for r in removals
        ]
        report = {"removals": rows, "bytes": total, "applied": remove, "bytes_freed": freed}
        report |= {"by_class": by_class(removals), "space": space.as_json()}
        right = {"links_put_right": [str(link) for link in links], "sidecars_put_right": sidecars}
        report |= {"runs_with_event_rows": n_runs, "event_rows_removed": n_rows}
        click.echo(json.dumps({**report, **right}, indent=2))
        return
    for link in links:
        click.echo(f"link put right: {link}")
    for set_id in sidecars:
        click.echo(f"sidecar of calibration set put right: {set_id}")
    table = Table("GB", "is", "path", "why")
    for removal in removals:
        done = "compressed" if removal.action == "compress" else "removed"
        table.add_row(f"{removal.size / _GB:.3f}", done, str(removal.path), removal.reason)
    if removals:
        console().print(table)
    for what, size in by_class(removals).items():
        click.echo(f"{size / _GB:.3f} GB  {what.replace('_', ' ')}")
    click.echo(space.text)
    told = f"{freed / _GB:.3f} GB freed" if remove else f"{total / _GB:.3f} GB would be freed: --apply"
    click.echo(f"{len(removals)} items, {told}")
    told = f"{n_rows} rows removed" if remove else "idle rows would go: --apply"
    click.echo(f"Dagster's event log: {n_runs} runs that ended more than {days:g} days ago, {told}")


commands: list[click.Command] = [retention]
