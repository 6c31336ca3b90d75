"""Commands about calibration: calibrators of a day, sets of the registry, provenance of images.

Belongs here: options and printing.  Does not belong here: what is done
(``radio/calibration``, ``station/calibration_registry.py``), or solving and
applying (``stages.py``).
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from contimg_assets.cli.arguments import DECLINATION, GROUP
from contimg_assets.cli.common import Opened, json_option, told_plainly
from contimg_assets.cli.tables import show
from contimg_assets.radio.caltables.set_files import SIDECAR
from contimg_assets.radio.errors import MissingInputError
from contimg_assets.settings import get_settings
from contimg_assets.station.calibration_selection import need_of
from contimg_assets.station.models import SET_STATES
from contimg_assets.station.store import Store
from contimg_assets.station.views import Standing, describe_set, standings


def _groups_of(
    opened: Opened, declination_deg: float, transits: list[Any]
) -> dict[int, list[dict[str, Any]]]:
    """Groups of the station database in whose beam each transit's calibrator was, by the transit's index."""
    from contimg_assets.radio.calibration.calibrators import LEAST_POWER, beam_weighted

    found: dict[int, list[dict[str, Any]]] = {index: [] for index in range(len(transits))}
    strip = opened.settings.calibration.strip_deg
    # At half power a source takes at most this long from the transit, days (declination 80 deg).
    reach = 0.05
    for group in reversed(opened.records.groups()):
        if abs(group.declination_deg - declination_deg) > strip:
            continue
        near = [i for i, t in enumerate(transits) if abs(t.mjd - group.mid_mjd) < reach]
        if not near:
            continue
        sources = [transits[i].source for i in near]
        power, apparent = beam_weighted(sources, group.declination_deg, group.mid_mjd)
        for i, p, jy in zip(near, power, apparent, strict=True):
            if p >= LEAST_POWER:
                found[i].append({"group": group.key, "apparent_jy": float(jy)})
    stands = standings(opened.records, {each["group"] for held in found.values() for each in held})
    for each in (each for held in found.values() for each in held):
        each |= {"state": stands[each["group"]].state, "verdict": stands[each["group"]].verdict}
    return found


@click.command("calibrators")
@click.option("--declination", type=DECLINATION, required=True, help="Apparent, of the pointing, deg.")
@click.option("--date", type=click.DateTime(["%Y-%m-%d"]), help="Day, UTC; today if not given.")
@json_option
@told_plainly
def calibrators(declination: float, date: datetime | None, as_json: bool) -> None:
    """Show when calibrators cross the beam on a day, how well each would do, and the groups that hold them.

    The brightest through the beam is the first choice, the others stand in for it.  Those fainter
    than CONTIMG_CALIBRATION__MINIMUM_CALIBRATOR_JY are used only when no other set fits.
    """
    from astropy.time import Time

    from contimg_assets.radio.calibration.transits import transits as find

    opened = Opened()
    day = (date or datetime.now(UTC)).strftime("%Y-%m-%d")
    start = float(Time(day, scale="utc").mjd)
    choices = opened.settings.calibration
    found = find(declination, start, start + 1.0, choices)
    held = _groups_of(opened, declination, found)
    rows = [
        {
            "calibrator": transit.source.name,
            "role": transit.role,
            "transit_utc": Time(transit.mjd, format="mjd", scale="utc").strftime("%Y-%m-%dT%H:%M:%S"),
            "transit_mjd": transit.mjd,
            "ra_deg": transit.source.ra_deg,
            "dec_deg": transit.source.dec_deg,
            "separation_deg": transit.separation_deg,
            "beam_power": transit.beam_power,
            "apparent_jy": transit.apparent_jy,
            "expected_snr": transit.expected_snr,
            "strong_sources": [one.text for one in transit.strong],
            "groups": held[index],
        }
        for index, transit in enumerate(found)
    ]
    first, *backups = list(dict.fromkeys(row["calibrator"] for row in rows)) or [None]
    if as_json:
        chosen = {"first_choice": first, "backups": backups}
        click.echo(
            json.dumps({"declination_deg": declination, "date": day, **chosen, "transits": rows}, indent=2)
        )
        return
    if first is None:
        click.echo(
            f"no calibrator above {choices.backup_calibrator_jy:g} Jy crosses the beam at "
            f"{declination:+.2f} deg on {day}: a longer list goes into CONTIMG_CALIBRATION__CALIBRATOR_LIST"
        )
        return
    show(_transit_table(f"Calibrators at {declination:+.2f}° on {day} (UTC)", rows))
    click.echo("S/N: of one antenna's gain in one channel and polarisation, from one group of 96 antennas.")
    click.echo(f"first choice: {first}; back-ups: {', '.join(backups) or 'none'}")


def _transit_table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=title)
    for column in ("calibrator", "role", "transit", "off axis", "apparent, Jy", "S/N", "groups", "beware of"):
        table.add_column(
            column,
            justify="left" if column in ("calibrator", "role", "groups", "beware of") else "right",
        )
    for row in rows:
        table.add_row(
            row["calibrator"],
            row["role"],
            row["transit_utc"][11:],
            f"{row['separation_deg']:.2f}°",
            f"{row['apparent_jy']:.2f}",
            f"{row['expected_snr']:.0f}",
            "\n".join(
                f"{g['group']} ({g['apparent_jy']:.1f} Jy, {Standing(g['state'], g['verdict']).text})"
                for g in row["groups"]
            )
            or "none",
            "\n".join(row["strong_sources"]),
        )
    return table


@click.group("registry")
def registry() -> None:
    """The calibration registry."""


def _table(sets: list[dict[str, Any]], **columns: Callable[[dict[str, Any]], str]) -> None:
    if not sets:
        click.echo("no calibration set")
        return
    table = Table()
    table.add_column("set", no_wrap=True)  # to be copied into the next command
    for name in ("status", "calibrator", "mid MJD", "dec [deg]", "antennas", "reference", *columns):
        table.add_column(name)
    for found in sets:
        table.add_row(
            found["id"],
            found["status"],
            found["calibrator"],
            f"{found['mid_mjd']:.5f}",
            f"{found['declination_deg']:+.2f}",
            str(len(found["antennas"])),
            found["refant"],
            *(column(found) for column in columns.values()),
        )
    show(table)


@registry.command("list")
@click.option("--status", type=click.Choice(SET_STATES), help="Only sets of this status.")
@json_option
@told_plainly
def registry_list(status: str | None, as_json: bool) -> None:
    """List the calibration sets, oldest observation first."""
    opened = Opened(reading=True)
    sets = [
        describe_set(found, opened.settings.home)
        for found in opened.registry.list(*([status] if status else []))
    ]
    if as_json:
        click.echo(json.dumps({"sets": sets}, indent=2))
        return
    _table(sets, reason=lambda found: found["reason"])


@registry.command("show")
@click.argument("set_id", metavar="SET")
@json_option
@told_plainly
def registry_show(set_id: str, as_json: bool) -> None:
    """Show one calibration set whole."""
    opened = Opened(reading=True)
    described = describe_set(opened.registry.get(set_id), opened.settings.home)
    if as_json:
        click.echo(json.dumps(described, indent=2))
        return
    for name, value in described.items():
        click.echo(f"{name}: {value}")


@registry.command("active")
@click.option("--mjd", type=float, required=True, help="Time, MJD UTC.")
@click.option("--declination", type=DECLINATION, required=True, help="Apparent, of the pointing, deg.")
@json_option
@told_plainly
def registry_active(mjd: float, declination: float, as_json: bool) -> None:
    """Show the active sets that are valid at a time and declination, nearest in time first."""
    opened = Opened(reading=True)
    found = opened.registry.active(mjd, declination)
    sets = [
        {**describe_set(item, opened.settings.home), "hours": (item.mid_mjd - mjd) * 24.0} for item in found
    ]
    if as_json:
        click.echo(json.dumps({"sets": sets}, indent=2))
        return
    _table(sets, hours=lambda item: f"{item['hours']:+.2f}")


@registry.command("retire")
@click.argument("set_id", metavar="SET")
@click.option("--reason", required=True, help="Why; kept with the set.")
@click.option("--replaced-by", metavar="SET", help="The set that takes its place.")
@json_option
@told_plainly
def registry_retire(set_id: str, reason: str, replaced_by: str | None, as_json: bool) -> None:
    """Take a set out of use.  Its files stay, so that images made with it can be traced."""
    opened = Opened()
    opened.registry.retire(set_id, reason, replaced_by)
    found = describe_set(opened.registry.get(set_id), opened.settings.home)
    click.echo(json.dumps(found, indent=2) if as_json else f"{set_id}  retired: {reason}")


@registry.command("import")
@click.argument(
    "folders", metavar="[FOLDER]...", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@json_option
@told_plainly
def registry_import(folders: tuple[Path, ...], as_json: bool) -> None:
    """Enter sets: those that `contimg solve` wrote into FOLDERs, or all on disk that have no entry.

    A set from a FOLDER is copied, its numbers are judged, and it becomes active or failed.
    Without FOLDER, entries are rebuilt from the sidecars in CONTIMG_HOME/calibration, as they stood.
    """
    opened = Opened()
    entered: dict[str, str] = {}
    if not folders:
        entered = {set_id: opened.registry.get(set_id).status for set_id in opened.registry.rebuild()}
    for folder in folders:
        set_id, status = _import_one(opened, folder.absolute())
        entered[set_id] = status
    if as_json:
        click.echo(json.dumps({"entered": entered}, indent=2))
        return
    for set_id, status in entered.items():
        click.echo(f"{set_id}  {status}")
    click.echo(f"{len(entered)} sets")


def _import_one(opened: Opened, folder: Path) -> tuple[str, str]:
    """Register a solver's folder, and judge it by the numbers that its check would see."""
    from contimg_assets.radio import casa
    from contimg_assets.radio.limits import error_text, judge

    casa.configure(opened.settings.home / "casa")
    from contimg_assets.radio.quality.calibration import calibration_numbers

    sidecar = folder / SIDECAR
    if not sidecar.is_file():
        raise MissingInputError(f"{sidecar}: found no sidecar; expected that of a solved set")
    solutions = json.loads(sidecar.read_text(encoding="utf-8"))
    same = opened.registry.find_same(solutions)
    if same is not None:
        return same.id, same.status
    with opened.store.scratch_folder("import") as work:
        numbers = calibration_numbers(folder, work)
    errors = [
        error_text(found.metric, found.value, found.limit.hard)
        for found in judge("calibration_qa", numbers)
        if found.status == "ERROR"
    ]
    set_id = opened.registry.register(solutions, folder)
    return set_id, opened.registry.conclude(set_id, errors)


@registry.command("validate")
@click.argument("set_id", metavar="SET")
@click.option("--group", "key", required=True, metavar="GROUP", type=GROUP, help="Which group.")
@json_option
@told_plainly
def registry_validate(set_id: str, key: str, as_json: bool) -> None:
    """Say of each table of SET what fits the group and what does not; exit code 1 if anything does not."""
    opened = Opened(reading=True)
    key = opened.key(key)
    need = need_of(opened.records.group(key), opened.records)
    found = opened.registry.get(set_id)
    from contimg_assets.radio import casa

    casa.configure(opened.settings.home / "casa")
    from contimg_assets.radio.calibration.compatibility import validate

    files = [table.file for table in found.tables]
    report = validate(opened.settings.home / found.path, files, need, opened.settings.calibration)
    fits = all(finding.fits for findings in report.values() for finding in findings)
    if as_json:
        tables = {name: [vars(finding) for finding in findings] for name, findings in report.items()}
        click.echo(json.dumps({"set": set_id, "group": key, "fits": fits, "tables": tables}, indent=2))
    else:
        for name, findings in report.items():
            for finding in findings:
                word = "fits" if finding.fits else "DOES NOT FIT"
                click.echo(f"{name:8s} {finding.property:12s} {word:13s} {finding.detail}")
    raise SystemExit(int(not fits))


@registry.command("verify")
@json_option
@told_plainly
def registry_verify(as_json: bool) -> None:
    """Hold the files of every set against their hashes; exit code 1 if any differ, are missing or unknown."""
    outcomes = Opened(reading=True).registry.verify()
    if as_json:
        click.echo(json.dumps({"sets": [vars(outcome) for outcome in outcomes]}, indent=2))
    else:
        for outcome in outcomes:
            click.echo(f"{outcome.set_id}  {outcome.status}: {outcome.detail}")
    raise SystemExit(int(any(outcome.status not in ("ok", "gone") for outcome in outcomes)))


@click.command("provenance")
@click.argument("image", metavar="IMAGE.fits", type=click.Path(path_type=Path))
@json_option
@told_plainly
def provenance(image: Path, as_json: bool) -> None:
    """Tell from the header of IMAGE.fits what made it; exit code 1 if a table is not the one it names.

    Tables are looked for where the header says, then among the sets of CONTIMG_HOME.
    """
    from contimg_assets.radio.images.provenance import read_provenance, verify_tables

    found = read_provenance(image)
    tables = list(verify_tables(found, Store(get_settings().home).calibration))
    bad = [table for table in tables if table.status != "verified"]
    if as_json:
        click.echo(json.dumps({**found, "tables": [vars(table) for table in tables]}, indent=2))
        raise SystemExit(int(bool(bad)))
    click.echo(f"{image}: {found['object']}, {found['origin']}")
    if found["set_id"] is None:
        click.echo("calibration: none, the data were imaged as they came")
        return
    how = str(found.get("fallback", "not recorded")).replace("_", " ")
    click.echo(f"calibration set: {found['set_id']} ({how}, {found['hours']:+.2f} h)")
    if found.get("warning"):
        click.echo(f"  warning: {found['warning']}")
    click.echo(f"calibrator: {found['calibrator']}, group {found['group']}")
    for name, label in (
        ("flux_model", "flux model"),
        ("refant", "reference antenna"),
        ("flags", "flags"),
        ("interpolated", "interpolated towards"),
        ("self_calibration", "self-calibration"),
        ("solved_with", "solved with"),
        ("software", "software"),
    ):
        optional = name in ("interpolated", "self_calibration")
        value = found.get(name, "none" if optional else "not recorded")
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items() if key != "tables")
        click.echo(f"{label}: {value}")
    for table in tables:
        click.echo(f"table {table.type:3s} {table.file}  sha256 {table.sha256}  {table.status}: {table.path}")
    raise SystemExit(int(bool(bad)))


#: Commands that ``contimg`` takes from this module.
commands: list[click.Command] = [calibrators, registry, provenance]
