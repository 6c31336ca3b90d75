"""``contimg lightcurve``: all measurements of one source.

Belongs here: arguments and printing.  Does not belong here: which measurements
count (``station/light_curves.py``).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from contimg_assets.cli.common import Opened, console, json_option, told_plainly
from contimg_assets.settings import get_settings

if TYPE_CHECKING:
    from contimg_assets.station.light_curves import LightCurve

#: Columns of the table: heading, column of the light curve, format.
_SHOWN = (
    ("group", "group", "s"),
    ("MJD", "mjd", ".5f"),
    ("mJy", "flux_jy", ".3f"),
    ("±", "flux_error_jy", ".3f"),
    ("limit", "upper_limit_jy", ".3f"),
    ("beam", "beam", ".2f"),
    ("χ²", "chi_squared", ".1f"),
)
_MILLI = ("flux_jy", "flux_error_jy", "upper_limit_jy")


# A declination may be negative, which is no option.
@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("place", metavar="NAME | RA DEC", nargs=-1, required=True)
@click.option("--radius", default=20.0, show_default=True, help="How far from RA, DEC it may be, arcsec.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values, with all columns.")
@click.option("--votable", type=click.Path(path_type=Path), help="Write a VOTable, with units and meanings.")
@click.option("--plot", type=click.Path(path_type=Path), help="Write a picture, PNG.")
@json_option
@told_plainly
def lightcurve(
    place: tuple[str, ...],
    radius: float,
    as_csv: bool,
    votable: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Show the light curve of a source, by NAME or by RA and DEC in degrees.

    Of every group the measurement that counts now: images that were made again have theirs once, those with
    a check that says ERROR none.
    """
    from contimg_assets.station.light_curves import light_curve

    opened = Opened(reading=True)
    name, position = _meant(place)
    found = light_curve(
        opened.records.engine,
        opened.store,
        name=name,
        position=position,
        radius_arcsec=radius,
        relative_error=get_settings().variability.relative_error,
    )
    if votable is not None:
        write_votable(votable, found)
    if plot is not None:
        from contimg_assets.radio.plots.light_curve import plot_light_curve

        plot_light_curve(plot, found.table, f"{found.source}, {found.ra_deg:.5f} {found.dec_deg:+.5f}")
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))
    elif as_csv:
        click.echo(found.table.to_csv(index=False), nl=False)
    else:
        _print(found)


def write_votable(path: Path, found: "LightCurve") -> None:
    """Write the rows as a VOTable: the file's columns with their units, and those of the flux scale."""
    from astropy import units
    from astropy.table import Column, Table

    from contimg_assets.radio.photometry.table import COLUMNS

    jansky, texts = {"flux_jy", "flux_error_jy", "upper_limit_jy"}, {"source", "kind", "group"}
    columns = []
    for name in found.table.columns:
        _, unit, told = COLUMNS.get(name, ("", "Jy" if name in jansky else "", ""))
        values = found.table[name].to_numpy(dtype=str if name in texts else None)
        columns.append(
            Column(values, str(name), unit=units.Unit(unit) if unit else None, description=told or None)
        )
    table = Table(columns, meta={"description": f"contimg light curve of {found.source}"})
    table.write(path, format="votable", overwrite=True)


def _meant(place: tuple[str, ...]) -> tuple[str | None, tuple[float, float] | None]:
    """A name, or a position: two numbers."""
    if len(place) == 2:
        try:
            return None, (float(place[0]), float(place[1]))
        except ValueError:
            pass
    return " ".join(place), None


def _print(found: "LightCurve") -> None:
    from rich.table import Table

    table = Table(title=f"{found.source}, {found.ra_deg:.5f} {found.dec_deg:+.5f}")
    for heading, _, kind in _SHOWN:
        table.add_column(heading, justify="left" if kind == "s" else "right")
    for row in found.table.to_dict("records"):
        cells = []
        for _, column, kind in _SHOWN:
            value = row[column]
            scaled = 1e3 * value if column in _MILLI else value
            cells.append(value if kind == "s" else ("" if scaled != scaled else f"{scaled:{kind}}"))
        table.add_row(*cells)
    console().print(table)
    said = found.statistics
    mean, error = 1e3 * said.weighted_mean_jy, 1e3 * said.weighted_mean_error_jy
    click.echo(
        f"{said.n} count: mean {mean:.3f} ± {error:.3f} mJy, "
        f"η {said.eta:.2f}, V {said.modulation:.3f}, Vs {said.pair_sigma:.1f}, m {said.pair_modulation:.2f}"
    )


commands: list[click.Command] = [lightcurve]
