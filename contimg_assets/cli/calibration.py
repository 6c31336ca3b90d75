"""Commands about calibration: calibrators of a day, sets of the registry.

Belongs here: options and printing.  Does not belong here: what is done
(``radio/calibration``, ``resources/calibration_registry.py``), or solving and
applying (``stages.py``).
"""

import json
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from contimg_assets.cli.common import Opened, json_option, told_plainly
from contimg_assets.cli.describe import describe_set


def _groups_of(
    opened: Opened, declination_deg: float, transits: list[Any]
) -> dict[int, list[dict[str, Any]]]:
    """Groups of the catalogue in whose beam each transit's calibrator was, by the transit's index."""
    from contimg_assets.radio.calibration.calibrators import LEAST_POWER, beam_weighted

    found: dict[int, list[dict[str, Any]]] = {index: [] for index in range(len(transits))}
    strip = opened.settings.calibration.strip_deg
    # At half power a source takes at most this long from the transit, days (declination 80 deg).
    reach = 0.05
    for group in reversed(opened.catalog.groups()):
        if abs(group.declination_deg - declination_deg) > strip:
            continue
        near = [i for i, t in enumerate(transits) if abs(t.mjd - group.mid_mjd) < reach]
        if not near:
            continue
        sources = [transits[i].source for i in near]
        power, apparent = beam_weighted(sources, group.declination_deg, group.mid_mjd)
        for i, p, jy in zip(near, power, apparent, strict=True):
            if p >= LEAST_POWER:
                found[i].append({"group": group.key, "state": group.state, "apparent_jy": float(jy)})
    return found


@click.command("calibrators")
@click.option("--declination", type=float, required=True, help="Apparent declination of the pointing, deg.")
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
    table = Table(title=f"Calibrators at {declination:+.2f}° on {day} (UTC)")
    for column in ("calibrator", "role", "transit", "off axis", "apparent, Jy", "S/N", "groups"):
        table.add_column(column, justify="left" if column in ("calibrator", "role", "groups") else "right")
    for row in rows:
        table.add_row(
            row["calibrator"],
            row["role"],
            row["transit_utc"][11:],
            f"{row['separation_deg']:.2f}°",
            f"{row['apparent_jy']:.2f}",
            f"{row['expected_snr']:.0f}",
            "\n".join(f"{g['group']} ({g['state']}, {g['apparent_jy']:.1f} Jy)" for g in row["groups"])
            or "none",
        )
    if first is None:
        click.echo(
            f"no calibrator above {choices.backup_calibrator_jy:g} Jy crosses the beam at "
            f"{declination:+.2f} deg on {day}: a longer list goes into CONTIMG_CALIBRATION__CALIBRATOR_LIST"
        )
        return
    Console().print(table)
    click.echo("S/N: of one antenna's gain in one channel and polarisation, from one group of 96 antennas.")
    click.echo(f"first choice: {first}; back-ups: {', '.join(backups) or 'none'}")


@click.group("registry")
def registry() -> None:
    """The calibration registry."""


@registry.command("list")
@json_option
@told_plainly
def registry_list(as_json: bool) -> None:
    """List all calibration sets, oldest observation first."""
    sets = [describe_set(found) for found in Opened().registry.list()]
    if as_json:
        click.echo(json.dumps({"sets": sets}, indent=2))
        return
    table = Table("set", "status", "calibrator", "mid MJD", "dec [deg]", "antennas", "reference", "tables")
    for found in sets:
        tables = " ".join(item["file"] for item in found["tables"])
        table.add_row(
            found["id"],
            found["status"],
            found["calibrator"],
            f"{found['mid_mjd']:.5f}",
            f"{found['declination_deg']:+.2f}",
            str(len(found["antennas"])),
            found["refant"],
            tables,
        )
    Console().print(table)


@registry.command("show")
@click.argument("set_id", metavar="SET")
@json_option
@told_plainly
def registry_show(set_id: str, as_json: bool) -> None:
    """Show one calibration set whole."""
    described = describe_set(Opened().registry.get(set_id))
    if as_json:
        click.echo(json.dumps(described, indent=2))
        return
    for name, value in described.items():
        click.echo(f"{name}: {value}")


@registry.command("verify")
@json_option
@told_plainly
def registry_verify(as_json: bool) -> None:
    """Hold the files of every set against their hashes; exit code 1 if any differ or are missing."""
    outcomes = Opened().registry.verify()
    if as_json:
        click.echo(json.dumps({"sets": [vars(outcome) for outcome in outcomes]}, indent=2))
    else:
        for outcome in outcomes:
            click.echo(f"{outcome.set_id}  {outcome.status}: {outcome.detail}")
    raise SystemExit(int(any(outcome.status in ("changed", "missing") for outcome in outcomes)))


#: Commands that ``contimg`` takes from this module.
commands: list[click.Command] = [calibrators, registry]
