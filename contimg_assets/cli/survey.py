"""``contimg sources``, ``watch`` and ``survey``: sources of the sky, and what days and tiles make of them.

Belongs here: arguments and printing.  Does not belong here: what is found or made
(``station/sources.py``, ``survey_day.py``, ``watched_sources.py``).
"""

import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from contimg_assets.cli.arguments import NIGHT
from contimg_assets.cli.common import Opened, console, json_option, told_plainly

if TYPE_CHECKING:
    import pandas

_FILE = click.Path(dir_okay=False, path_type=Path)
#: Columns of the table of sources: heading, column, scale and format.
_SHOWN: tuple[tuple[str, str, float, str], ...] = (
    ("source", "name", 1, "s"),
    ("RA", "ra_deg", 1, ".5f"),
    ("Dec", "dec_deg", 1, "+.5f"),
    ("n", "n", 1, ".0f"),
    ("mJy", "mean_jy", 1e3, ".2f"),
    ("η", "eta", 1, ".2f"),
    ("V", "modulation", 1, ".3f"),
    ("Vs", "pair_sigma", 1, ".1f"),
)
_EVENTS: tuple[tuple[str, str, float, str], ...] = (
    ("source", "source", 1, "s"),
    ("σ", "significance", 1, ".1f"),
    ("depth", "depth", 1, ".2f"),
    ("begin MJD", "begin_mjd", 1, ".0f"),
    ("days", "length_days", 1, ".0f"),
    ("Δα", "index_change", 1, "+.2f"),
    ("±", "index_change_error", 1, ".2f"),
    ("mJy", "median_jy", 1e3, ".2f"),
    ("rise σ", "rise_significance", 1, ".1f"),
    ("verdict", "verdict", 1, "s"),
)


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--cone", nargs=3, type=float, metavar="RA DEC RADIUS", help="Within RADIUS of a place, deg.")
@click.option("--box", nargs=4, type=float, metavar="RA RA DEC DEC", help="Between these, deg.")
@click.option("--region", type=_FILE, help="Within a MOC, or the credible part of a map of probability.")
@click.option("--level", default=0.9, show_default=True, help="Probability of that part.")
@click.option("--least-mjy", type=float, help="Mean flux density at least this, mJy.")
@click.option("--least-eta", type=float, help="η at least this.")
@click.option("--least-v", type=float, help="V at least this.")
@click.option("--variable", is_flag=True, help="Only sources beyond the cuts.")
@click.option(
    "--order", default="name", show_default=True, help="name, eta, modulation, mean_jy, pair_sigma."
)
@click.option("--limit", default=1000, show_default=True, help="Rows at most.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@json_option
@told_plainly
def sources(
    cone: tuple[float, float, float] | None,
    box: tuple[float, float, float, float] | None,
    region: Path | None,
    level: float,
    least_mjy: float | None,
    least_eta: float | None,
    least_v: float | None,
    variable: bool,
    order: str,
    limit: int,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Find sources of the survey: in a cone, a box or a part of the sky, by what their light curves say."""
    from contimg_assets.radio.sky_regions import read_region
    from contimg_assets.station.sources import SourceQuery, find_sources

    opened = Opened(reading=True)
    query = SourceQuery(
        cone=cone,
        box=box,
        region=None if region is None else read_region(region, level),
        least_jy=None if least_mjy is None else least_mjy / 1e3,
        least_eta=least_eta,
        least_modulation=least_v,
        variable=True if variable else None,
        order=order,
        limit=limit,
    )
    found = find_sources(opened.records.engine, query)
    if as_csv:
        click.echo(found.to_csv(index=False), nl=False)
    elif as_json:
        click.echo(json.dumps({"sources": records_of(found)}, indent=2))
    else:
        _print(_SHOWN, found.to_dict("records"))
        click.echo(f"{len(found)} sources")


def records_of(table: "pandas.DataFrame") -> list[dict[str, Any]]:
    """Rows as plain values; what is not a number is None."""
    plain = table.astype(object).where(table.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]


def _print(columns: tuple[tuple[str, str, float, str], ...], rows: list[dict[Any, Any]]) -> None:
    from rich.table import Table

    table = Table()
    for heading, _, _, kind in columns:
        table.add_column(heading, justify="left" if kind == "s" else "right")
    for row in rows:
        cells = []
        for _, name, scale, kind in columns:
            value = row[name]
            if value is None or value != value:
                cells.append("")
            else:
                cells.append(str(value) if kind == "s" else f"{scale * value:{kind}}")
        table.add_row(*cells)
    console().print(table)


@click.group()
def survey() -> None:
    """Sidereal days and their products; candidates and what people say of them."""


@survey.command()
@json_option
@told_plainly
def due(as_json: bool) -> None:
    """Show the days whose measurements are not in the files of tiles yet."""
    from contimg_assets.station.measured import days_due

    days = days_due(Opened(reading=True).records.engine)
    click.echo(json.dumps({"days": days}) if as_json else "\n".join(days) or "no day is due")


@survey.command()
@click.argument("days", metavar="[DAY]...", nargs=-1, type=NIGHT)
@click.option("--again", is_flag=True, help="Also what has not changed: files of tiles were lost, say.")
@json_option
@told_plainly
def day(days: tuple[str, ...], again: bool, as_json: bool) -> None:
    """Make the products of sidereal days (such as 2026-01-15; default: all that are due).

    Scales of groups and the beam, files of tiles, numbers of light curves, events.
    """
    from contimg_assets.station.measured import days_due
    from contimg_assets.station.survey_day import make_day

    opened = Opened(dagster=False)
    engine, made = opened.records.engine, []
    for one in days or days_due(engine):
        done = make_day(engine, opened.store, opened.settings, one, again=again)
        made.append({"day": one, "products": len(done.versions), "refused": done.refused})
        if not as_json:
            click.echo(f"{one}: {len(done.versions)} products")
            for reason in done.refused:
                click.echo(f"  not made: {reason}")
    if as_json:
        click.echo(json.dumps({"days": made}, indent=2))
    if any(each["refused"] for each in made) and not any(each["products"] for each in made):
        raise SystemExit(3)


@survey.command()
@click.argument("day", required=False, type=NIGHT)
@json_option
@told_plainly
def candidates(day: str | None, as_json: bool) -> None:
    """Show extreme scattering events of a day's sources (default: the newest list), best first."""
    from contimg_assets.station.scattering_events import candidates as listed

    opened = Opened(reading=True)
    of_day, found = listed(opened.records.engine, opened.store, day)
    rows = [one.as_dict() for one in found]
    if as_json:
        click.echo(json.dumps({"day": of_day, "candidates": rows}, indent=2))
    else:
        _print(_EVENTS, rows)
        click.echo(f"{len(rows)} candidates of {of_day}")


@survey.command()
@click.argument("day", required=False, type=NIGHT)
@json_option
@told_plainly
def truth(day: str | None, as_json: bool) -> None:
    """Show what became of made-up sources (CONTIMG_PHOTOMETRY__INJECTED) on a day; default: the newest."""
    from contimg_assets.station.injected_truth import newest_truth

    of_day, numbers = newest_truth(Opened(reading=True).records.engine, day)
    if as_json:
        click.echo(json.dumps({"day": of_day, "numbers": numbers}, indent=2))
        return
    click.echo(of_day)
    for name, value in numbers.items():
        click.echo(f"{name:24} {value:.5g}" if isinstance(value, float) else f"{name:24} {value}")


@survey.command()
@click.argument("out", required=False, type=_FILE)
@click.option("--since", default="", metavar="TIME", help="Groups from this UTC time on.")
@click.option("--until", default="", metavar="TIME", help="… before this one.")
@click.option(
    "--beam", type=click.FloatRange(0, 1, min_open=True), help="Least beam (default: photometry's)."
)
@click.option("--map", "map_file", type=_FILE, help="How much of this map's probability is covered.")
@json_option
@told_plainly
def coverage(
    out: Path | None, since: str, until: str, beam: float | None, map_file: Path | None, as_json: bool
) -> None:
    """Show how much sky is covered, and write it as a MOC to OUT (.fits, .txt or .json)."""
    from contimg_assets.radio.sky_regions import Region, read_region, write_moc
    from contimg_assets.station.sky_coverage import coverage as covered

    opened = Opened(reading=True)
    least = opened.settings.photometry.least_beam if beam is None else beam
    found = Region(covered(opened.records.engine, least, since=since, until=until))
    told: dict[str, Any] = {"area_deg2": found.area_deg2, "least_beam": least}
    probability = None if map_file is None else read_region(map_file).probability_within(found.moc)
    if probability is not None:
        told["probability"] = probability
    if out is not None:
        write_moc(found.moc, out, {"MOCID": "contimg coverage"})
        told["moc"] = str(out)
    if as_json:
        click.echo(json.dumps(told))
        return
    click.echo(f"{found.area_deg2:.1f} deg² with a beam of {least:g} and more")
    if probability is not None:
        click.echo(f"{100 * probability:.1f} % of the map's probability")


@survey.command()
@click.argument("source")
@click.argument("begin_mjd", type=float)
@click.argument("end_mjd", type=float)
@click.argument("verdict", type=click.Choice(["event", "maybe", "no"]))
@click.option("--note", default="", help="Why.")
@json_option
@told_plainly
def verdict(source: str, begin_mjd: float, end_mjd: float, verdict: str, note: str, as_json: bool) -> None:
    """Say what an event of SOURCE is; it stands for all its events that overlap the time."""
    from contimg_assets.station.scattering_events import review_candidate

    engine = Opened(dagster=False).records.engine
    review_candidate(engine, source, begin_mjd, end_mjd, verdict, note, getpass.getuser())
    told = {"source": source, "begin_mjd": begin_mjd, "end_mjd": end_mjd, "verdict": verdict, "note": note}
    click.echo(json.dumps(told) if as_json else f"{source}: {verdict}")


@click.group()
def watch() -> None:
    """The list of sources that are measured in every image (CONTIMG_PHOTOMETRY__WATCHED)."""


@watch.command(name="list")
@json_option
@told_plainly
def list_watched(as_json: bool) -> None:
    """Show the list."""
    from contimg_assets.settings import get_settings
    from contimg_assets.station.watched_sources import watched

    rows = watched(get_settings())
    if as_json:
        click.echo(json.dumps({"watched": rows}, indent=2))
        return
    for row in rows:
        click.echo(f"{row['name']:32} {row['ra_deg']:.6f} {row['dec_deg']:+.6f}")
    if not rows:
        click.echo("no source is watched")


@watch.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("ra", type=float)
@click.argument("dec", type=float)
@json_option
@told_plainly
def add(name: str, ra: float, dec: float, as_json: bool) -> None:
    """Watch NAME at RA, DEC (ICRS, deg) from the next image on."""
    from contimg_assets.settings import get_settings
    from contimg_assets.station.watched_sources import add_watched

    path = add_watched(get_settings(), name, ra, dec)
    click.echo(json.dumps({"name": name, "list": str(path)}) if as_json else f"{name} is in {path}")


@watch.command()
@click.argument("name")
@click.option("--since", default="", metavar="TIME", help="Images of groups from this UTC time on.")
@click.option("--until", default="9999", metavar="TIME", help="… before this one.")
@json_option
@told_plainly
def measure(name: str, since: str, until: str, as_json: bool) -> None:
    """Measure NAME in the images that were made before it was watched, the newest first.

    Their measurements are made again, in this process; images stay as they are.
    """
    from contimg_assets.cli.operations import run_steps
    from contimg_assets.station.measure_back import STEP, groups_without

    opened = Opened()
    keys = groups_without(
        opened.records.engine, opened.store, opened.settings, name, since=since, until=until
    )
    if keys:
        run_steps(opened, "contimg watch measure", {key: (STEP,) for key in keys}, as_json=as_json)
    click.echo(json.dumps({"ok": True, "groups": []}) if as_json else f"all images of {name} have it")


@watch.command()
@click.argument("name")
@json_option
@told_plainly
def remove(name: str, as_json: bool) -> None:
    """Watch NAME no more; its measurements stay."""
    from contimg_assets.settings import get_settings
    from contimg_assets.station.watched_sources import remove_watched

    path = remove_watched(get_settings(), name)
    click.echo(json.dumps({"name": name, "list": str(path)}) if as_json else f"{name} is no longer in {path}")


commands: list[click.Command] = [sources, survey, watch]
