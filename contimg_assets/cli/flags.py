"""``contimg flags``: the versions of a group's flags, what they flag, and one of them back.

Belongs here: options and printing.  Does not belong here: flagging
(``stages.py``), or where versions lie (``station/store.py``).
"""

import json

import click
from rich.table import Table

from contimg_assets.cli import tables
from contimg_assets.cli.arguments import GROUP
from contimg_assets.cli.common import Opened, json_option, told_plainly
from contimg_assets.radio.flagging.flag_file import refuse_foreign
from contimg_assets.station import publication
from contimg_assets.station.flag_views import FLAGS, flag_summary, flag_versions, read_summary
from contimg_assets.station.numbers import numbers
from contimg_assets.station.operations import sole_owner
from contimg_assets.station.publication import content


@click.group("flags")
def flags() -> None:
    """Versions of a group's flags."""


@flags.command("list")
@click.argument("key", metavar="GROUP", type=GROUP)
@json_option
@told_plainly
def list_versions(key: str, as_json: bool) -> None:
    """List the versions of GROUP's flags, oldest first.

    A version is named by its content: the beginning of the hash that the header of an image gives.
    """
    opened = Opened(reading=True)
    rows = [vars(version) for version in flag_versions(opened.records, opened.store, opened.key(key))]
    if as_json:
        click.echo(json.dumps({"group": key, "versions": rows}, indent=2))
        return
    table = Table("version", "", "made, UTC", "flagged", "interference", "dead antennas", "alarms")
    for row in rows:
        table.add_row(
            row["version"],
            "current" if row["current"] else "",
            row["made"].removesuffix("+00:00"),
            f"{row['flag_fraction']:.2%}",
            f"{row['rfi_fraction']:.2%}",
            ", ".join(row["dead_antennas"]),
            "\n".join(row["alarms"]),
        )
    tables.show(table)


@flags.command("show")
@click.argument("key", metavar="GROUP", type=GROUP)
@click.argument("version", required=False)
@json_option
@told_plainly
def show(key: str, version: str | None, as_json: bool) -> None:
    """Show where GROUP's flags lie: by antenna, subband and integration, the most flagged first.

    Of the current VERSION if none is given; --json has the channels too.
    """
    opened = Opened(reading=True)
    told = flag_summary(opened.records, opened.store, opened.key(key), version)
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    click.echo(f"{told['flag_fraction']:.2%} of the cross-correlations flagged; alarm above ", nl=False)
    click.echo(f"{told['alarm_line']:.0%}")
    axes = {
        "antenna": told["by_antenna"],
        "subband": {f"sb{k:02d}": value for k, value in enumerate(told["by_subband"])},
        "integration": {str(t): value for t, value in enumerate(told["by_integration"])},
    }
    for axis, values in axes.items():
        most = sorted(values.items(), key=lambda item: -item[1])[:8]
        click.echo(f"{axis:12s} " + "  ".join(f"{name} {value:.1%}" for name, value in most))
    for span in told.get("bad_spans", ()):
        subbands = "" if span["subbands"] is None else f", subbands {span['subbands']}"
        when = f"integrations {span['first']} to {span['last']}"
        click.echo(f"antenna {span['antenna']}, feed {span['feed']}: {span['kind']}, {when}{subbands}")
    for jump in told.get("jumps", ()):
        turn = "unknown" if jump["phase_deg"] is None else f"{jump['phase_deg']:.0f} deg"
        where = f"antenna {jump['antenna']}, feed {jump['feed']}"
        click.echo(
            f"{where}: gain jumps at integration {jump['integration']}, "
            f"amplitude {jump['amplitude']:.2f}, phase {turn}"
        )
    for alarm in told["alarms"]:
        click.echo(f"ALARM {alarm}")


@flags.command("restore")
@click.argument("key", metavar="GROUP", type=GROUP)
@click.argument("version")
@json_option
@told_plainly
def restore(key: str, version: str, as_json: bool) -> None:
    """Make VERSION the current flags of GROUP again.

    Refused if it was made for another Measurement Set.  `contimg reprocess --keep-flags` then makes
    what follows; under the sensors a calibrator's scan is solved again by itself.
    """
    from dagster import AssetMaterialization

    from contimg_assets.assets.publishing import pictures
    from contimg_assets.radio import casa
    from contimg_assets.radio.group_key import ms_path
    from contimg_assets.resources.dagster_resources import StoreResource
    from contimg_assets.resources.dagster_runs import DagsterRuns

    opened = Opened()
    key = opened.records.group(opened.key(key)).key
    with (
        opened.instance() as instance,
        sole_owner(opened.leases, opened.store, DagsterRuns(instance), key, "contimg flags restore") as owner,
    ):
        wanted = opened.store.version(key, FLAGS, version)
        casa.configure(opened.settings.home / "casa")
        refuse_foreign(wanted, ms_path(content(opened.records, opened.store, key, "measurement_set"), key))
        told = read_summary(wanted)
        restored = publication.restore(
            opened.records, opened.store, wanted, key, FLAGS, numbers(told), owner=owner
        )
        metadata = {**numbers(told), **pictures(StoreResource(), opened.store.path(key, FLAGS))}
        instance.report_runless_asset_event(
            AssetMaterialization(FLAGS, "restored", metadata=metadata, partition=key)
        )
    if as_json:
        click.echo(json.dumps({"group": key, "version": restored.version}))
    else:
        click.echo(f"{key}: flags are those of {restored.version} again")


commands: list[click.Command] = [flags]
