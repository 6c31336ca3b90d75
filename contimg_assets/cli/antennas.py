"""The command about antennas: where each dish points, and how wide its beam is.

Belongs here: options and printing.  Does not belong here: gathering
(``station/dish_beams.py``).
"""

import json
from dataclasses import asdict

import click
from rich.table import Table

from contimg_assets.cli.common import Opened, json_option, told_plainly
from contimg_assets.cli.tables import show


@click.command("antennas")
@json_option
@told_plainly
def antennas(as_json: bool) -> None:
    """Show the beam of each antenna: where it points, and how wide it is.

    East and width are from the transits of calibrators, north from the bright sources of images, relative
    to the array's mean.  Means over the newest calibration sets and images.
    """
    from contimg_assets.station.dish_beams import Measured, dish_beams
    from contimg_assets.station.installation import Installation

    beams = dish_beams(Installation(Opened(reading=True).settings, reading=True))
    if as_json:
        click.echo(json.dumps({"antennas": [asdict(each) for each in beams]}, indent=2))
        return
    if not beams:
        click.echo("no calibration set or image tells where antennas point")
        return

    def shown(value: Measured | None, digits: int) -> str:
        return "" if value is None else f"{value.value:.{digits}f} ± {value.error:.{digits}f}"

    table = Table(title="Beams of antennas")
    for name in ("antenna", "east, deg", "width", "north, deg", "sets", "images"):
        table.add_column(name, justify="right")
    for each in beams:
        table.add_row(
            each.antenna,
            shown(each.east_deg, 3),
            shown(each.width, 3),
            shown(each.north_deg, 3),
            str(each.east_deg.n if each.east_deg else 0),
            str(each.north_deg.n if each.north_deg else 0),
        )
    show(table)


commands: list[click.Command] = [antennas]
