"""``contimg token``: who may reach the web server from other machines.

Belongs here: options and printing.  Does not belong here: the file of tokens (``web/tokens.py``).
"""

import getpass
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from contimg_assets.cli.common import console, json_option, told_plainly
from contimg_assets.settings import get_settings
from contimg_assets.web.roles import NAME, Principal, Role
from contimg_assets.web.tokens import Token, Tokens


def _name(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    if not re.fullmatch(NAME, value):
        raise click.BadParameter(f"found {value!r}, expected letters, digits and _.@+- (64 at most)")
    return value


_name_argument = click.argument("name", callback=_name)


def _described(token: Token) -> dict[str, Any]:
    at = datetime.now(UTC)
    return {
        "name": token.name,
        "role": token.role,
        "created": token.created.isoformat(),
        "expires": None if token.expires is None else token.expires.isoformat(),
        "expired": token.expired(at),
    }


def _home(command: str | None) -> Path:
    """``CONTIMG_HOME``, where a command that changes tokens has been recorded."""
    home = get_settings().home
    (home / "logs").mkdir(parents=True, exist_ok=True)
    if command is not None:
        from contimg_assets.station.database import engine_for
        from contimg_assets.station.operator_actions import Action, OperatorActions

        user = Principal(getpass.getuser(), Role.ADMIN, "command line")
        engine = engine_for(get_settings().sqlalchemy_url)
        OperatorActions(engine).record(Action(user.name, user.role, user.by, "", "COMMAND", command))
    return home


@click.group("token")
def token() -> None:
    """Tokens with which people and scripts reach the web server from other machines."""


@token.command("add")
@_name_argument
@click.option(
    "--role", required=True, type=click.Choice([role.value for role in Role]), help="What it may do."
)
@click.option(
    "--days", type=click.FloatRange(min=0, min_open=True), help="Time until it expires; else never."
)
@json_option
@told_plainly
def add(name: str, role: str, days: float | None, as_json: bool) -> None:
    """Make a token called NAME and show it: this once, as only its hash is kept."""
    home = _home(f"token add {name} --role {role}")
    secret, made = Tokens(home).add(name, Role(role), days)
    if as_json:
        click.echo(json.dumps({"token": secret, **_described(made)}))
        return
    click.echo(secret)
    until = "for ever" if made.expires is None else f"until {made.expires:%Y-%m-%d %H:%M} UTC"
    click.echo(f"{made.role} {made.name}, {until}. It is not shown again.", err=True)


@token.command("list")
@json_option
@told_plainly
def list_tokens(as_json: bool) -> None:
    """Show the tokens: names, roles and times."""
    rows = [_described(each) for each in Tokens(_home(None)).known()]
    if as_json:
        click.echo(json.dumps({"tokens": rows}))
        return
    table = Table("name", "role", "created", "expires")
    for row in rows:
        expires = (
            "never" if row["expires"] is None else row["expires"] + (" (expired)" if row["expired"] else "")
        )
        table.add_row(row["name"], row["role"], row["created"], expires)
    console().print(table)


@token.command("revoke")
@_name_argument
@json_option
@told_plainly
def revoke(name: str, as_json: bool) -> None:
    """Remove the token called NAME; a running server refuses it from then on."""
    Tokens(_home(f"token revoke {name}")).revoke(name)
    click.echo(json.dumps({"revoked": name}) if as_json else f"revoked {name}")


#: Commands that ``contimg`` takes from this module.
commands: list[click.Command] = [token]
