"""``contimg settings``: every setting, its value, and where that comes from; the README's table of them.

Belongs here: showing.  Does not belong here: the settings (``settings.py``).
"""

import json
import re
from math import isfinite
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click

from contimg_assets.cli.common import console, json_option, told_plainly
from contimg_assets.settings import NONE, Setting, all_settings, get_settings, origins, settings_file

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
    present, origin_of = get_settings(), origins()
    rows = [
        {
            "variable": setting.variable,
            "key": setting.key,
            "value": _plain(setting.value(present)),
            "origin": origin_of[setting.key],
            "meaning": _meaning(setting)[0],
        }
        for setting in all_settings()
    ]
    file = settings_file()
    if as_json:
        click.echo(json.dumps({"file": str(file), "settings": rows}, indent=2))
        return
    from rich.table import Table

    table = Table("variable", "value", "from", "meaning")
    for row in rows:
        table.add_row(row["variable"], _shown(row["value"]), row["origin"], row["meaning"].replace("`", ""))
    console().print(table)
    click.echo(f"file: {file}" + ("" if file.is_file() else " (not there)"))


def markdown_table() -> str:
    """All settings as a Markdown table, as the README has it."""
    lines = ["| variable | default | values | meaning |", "|---|---|---|---|"]
    for setting in all_settings():
        meaning, without = _meaning(setting)
        default = setting.field.get_default(call_default_factory=True)
        shown = without if default is None else f"`{_shown(_plain(default))}`".replace(str(Path.home()), "~")
        lines.append(f"| `{setting.variable}` | {shown} | {_values(setting)} | {meaning} |")
    return "\n".join(lines)


def _plain(value: Any) -> Any:
    """A value as JSON has it, without passwords."""
    if isinstance(value, tuple):
        return list(value)
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value)):
        return value
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", str(value))


def _shown(value: Any) -> str:
    """A value as it is typed."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _meaning(setting: Setting) -> tuple[str, str]:
    """First sentence of what a setting means, and what it is when none is given (a dash if nobody says)."""
    text = " ".join((setting.field.description or "").split()).replace("``", "`")
    sentence = re.split(r"\.(?= )", text)[0].removesuffix(".")
    default = setting.field.get_default(call_default_factory=True)
    meaning, mark, without = sentence.partition("; None: ")
    if default is None:
        return meaning, without or "–"
    return sentence.replace(f"{mark}{without}", f"; `{NONE}`: {without}") if mark else sentence, "–"


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
