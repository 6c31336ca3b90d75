"""``contimg settings``: every setting, its value, and where that comes from; the README's table of them.

Belongs here: showing.  Does not belong here: the settings (``settings.py``), or what of them is shown
(``station/settings_views.py``).
"""

import json
from pathlib import Path
from typing import Literal, get_args, get_origin

import click

from contimg_assets.cli.common import console, json_option, told_plainly
from contimg_assets.settings import Setting, all_settings, settings_file
from contimg_assets.station.settings_views import meaning_of, plain, settings_in_force, shown_as_typed

#: Bounds of numbers, by the attribute that Pydantic keeps them in.
_BOUNDS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


@click.command("settings")
@click.option("--markdown", is_flag=True, help="Print the table of the README: defaults, bounds, meanings.")
@json_option
@told_plainly
def settings(markdown: bool, as_json: bool) -> None:
    """Show every setting, its present value, and where that comes from: default, file or environment.

    The file is contimg.toml in CONTIMG_HOME; the environment wins over it.
    """
    if markdown:
        click.echo(markdown_table())
        return
    rows = settings_in_force()
    file = settings_file()
    if as_json:
        click.echo(json.dumps({"file": str(file), "settings": rows}, indent=2))
        return
    from rich.table import Table

    table = Table("variable", "value", "from", "meaning")
    for row in rows:
        table.add_row(
            row["variable"], shown_as_typed(row["value"]), row["origin"], row["meaning"].replace("`", "")
        )
    console().print(table)
    click.echo(f"file: {file}" + ("" if file.is_file() else " (not there)"))


def markdown_table() -> str:
    """All settings as a Markdown table, as the README has it."""
    lines = ["| variable | default | values | meaning |", "|---|---|---|---|"]
    for setting in all_settings():
        meaning, without = meaning_of(setting)
        default = setting.field.get_default(call_default_factory=True)
        shown = (
            without
            if default is None
            else f"`{shown_as_typed(plain(default))}`".replace(str(Path.home()), "~")
        )
        lines.append(f"| `{setting.variable}` | {shown} | {_values(setting)} | {meaning} |")
    return "\n".join(lines)


def _values(setting: Setting) -> str:
    """What a setting takes: words, or bounds of a number."""
    kinds = [setting.field.annotation, *get_args(setting.field.annotation)]
    for kind in kinds:
        if get_origin(kind) is Literal:
            return ", ".join(f"`{word}`" for word in get_args(kind))
    if bool in kinds:
        return "`true`, `false`"
    bounds = [
        f"{sign} {getattr(one, name):g}"
        for one in setting.field.metadata
        for name, sign in _BOUNDS.items()
        if getattr(one, name, None) is not None
    ]
    return ", ".join(bounds)


commands: list[click.Command] = [settings]
