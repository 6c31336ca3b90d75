"""Commands start at once: none loads what it does not need, and the list of commands loads none.

Times are the machine's; what is loaded is ours, and is what the time goes into.
"""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from contimg_assets.cli import COMMANDS, HELP_WIDTH, main
from contimg_assets.resources.instance import initialise
from contimg_assets.settings import Settings

#: What takes a good part of a second to import, each.
HEAVY = ("dagster", "astropy", "numpy", "casacore", "casatasks", "alembic", "starlette")
PROGRAM = f"""
import sys
from contimg_assets.cli import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    code = ended.code
print(sorted(set({HEAVY!r}) & set(sys.modules)), code, file=sys.stderr)
"""


def loaded_by(*arguments: str) -> tuple[str, str]:
    """What a command prints, and which heavy packages it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    return done.stdout, done.stderr.splitlines()[-1]


@pytest.mark.usefixtures("home")
def test_the_list_of_commands_loads_none() -> None:
    out, loaded = loaded_by("--help")
    assert loaded == "[] 0"
    assert all(f"  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [("status",), ("history",), ("products",), ("pointing",), ("registry", "list"), ("campaign", "list")],
)
def test_commands_that_read_load_neither_dagster_nor_arrays(
    settings: Settings, arguments: tuple[str, ...]
) -> None:
    """And write nothing: all files are as they were, but for what SQLite keeps beside an open database."""
    initialise(settings)
    before = _files(settings.home)
    out, loaded = loaded_by(*arguments, "--json")
    assert loaded == "[] 0"
    assert isinstance(json.loads(out), dict)
    assert _files(settings.home) == before


def _files(home: Path) -> dict[str, int]:
    return {
        str(path): path.stat().st_mtime_ns
        for path in home.rglob("*")
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


@pytest.mark.parametrize("arguments", [("status",), ("products",), ("history",), ("registry", "list")])
def test_a_home_that_was_never_made_is_said_so_and_stays_so(home: Path, arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == 3
    told = json.loads(result.stdout)
    assert told["error"] == "MissingInputError"
    assert told["message"].startswith(
        f"no station database at {home / 'catalogue.sqlite'} yet: run `contimg init`"
    )
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_a_command_what_it_says_of_itself(name: str) -> None:
    """And every command, or each of a group's, can answer programs."""
    module, text = COMMANDS[name]
    command = next(c for c in import_module(f"contimg_assets.cli.{module}").commands if c.name == name)
    assert text == command.get_short_help_str(limit=HELP_WIDTH)
    own = list(command.commands.values()) if isinstance(command, click.Group) else [command]
    assert all("--json" in [o for p in each.params for o in p.opts] for each in own)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_has_every_command(name: str) -> None:
    """Each in the table of commands, and so do those of groups."""
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    rows = [row for row in readme.splitlines() if row.startswith("| `contimg")]
    own = [row for row in rows if f"`contimg {name}" in row or f"`{name}`" in row or f"`{name} " in row]
    assert own
    command = next(
        c for c in import_module(f"contimg_assets.cli.{COMMANDS[name][0]}").commands if c.name == name
    )
    if isinstance(command, click.Group):
        assert [sub for sub in command.commands if not any(sub in row for row in own)] == []


@pytest.mark.usefixtures("home")
def test_a_run_loads_no_astropy() -> None:
    """Each run of Dagster's is a process that loads all of our definitions."""
    program = "import sys, contimg_assets.definitions; print('astropy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
