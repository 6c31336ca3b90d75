"""The sweep: ``python -m contimg_assets_tests.end_to_end.nth_call.sweep [OPERATION…] [--every N]``.

For each operation: run it once and list the calls by which it changes its home; then,
for each of these and for each kind of fault, take a fresh copy of the home, let the
operation meet the fault there, and demand that

- a reader finds the old product or the new one, whole, as the database says;
- the same operation then runs undisturbed, and a reader finds the new one;
- after the sweep of leftovers nothing lies about, and nobody holds the group.
"""

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from contimg_assets_tests.end_to_end.nth_call.faults import Ended, Point, calls_of, in_child
from contimg_assets_tests.end_to_end.nth_call.operations import OPERATIONS, Home, Operation, litter

MODES = ("KILL", "ENOSPC", "EIO")
#: What may be raised when a disk refuses: the system's error, the database's, a program's that was started,
#: or one of ours; never a mistake of the code's own.
_ALLOWED = re.compile(
    r"^(OSError|\w*NotFoundError|PermissionError|BlockingIOError|shutil\.Error|subprocess\.CalledProcessError"
    r"|sqlalchemy\.exc\.(Operational|Database)Error|contimg_assets\.radio\.errors\.\w+Error)\b"
)


@dataclass(frozen=True)
class Trial:
    """One operation on one copy of its home."""

    operation: Operation
    home: Path

    def act(self) -> None:
        self.operation.act(Home(self.home))

    def look(self) -> str:
        return self.operation.may_be(Home(self.home))

    def again(self) -> None:
        home = Home(self.home)
        home.sweep()
        self.operation.act(home)

    def end(self) -> list[str]:
        home = Home(self.home)
        home.sweep()
        return litter(home)


def violations(trial: Trial, point: Point) -> tuple[bool, list[str]]:
    """Let an operation meet a fault; whether it met it, and all that is wrong then."""
    ended = in_child(trial.act, point.option, f"trace={point.call}")
    found: list[str] = []
    if point.mode != "KILL" and ended.error and not _raised(ended):
        found.append(f"raised {_last(ended)}")
    seen = in_child(trial.look)
    state = seen.value or _last(seen)
    allowed = ("old", "new") if ended.status else _after(trial)
    if state not in allowed:
        found.append(f"a reader finds {state}")
    again = in_child(trial.again)
    if again.status:
        found.append(f"the next run fails: {_last(again)}")
    seen = in_child(trial.look)
    if (seen.value or _last(seen)) not in _after(trial):
        found.append(f"after the next run a reader finds {seen.value or _last(seen)}")
    left = in_child(trial.end)
    found += left.value if left.value is not None else [f"the sweep fails: {_last(left)}"]
    return ended.status != 0, found


def _after(trial: Trial) -> tuple[str, ...]:
    """What a reader finds after the operation."""
    return ("old",) if trial.operation.name in ("retention", "leftovers") else ("new",)


def _raised(ended: Ended) -> bool:
    """Whether what was raised is an error of a disk, told as such: the last line that is flush left."""
    lines = [line for line in ended.error.splitlines() if line[:1] not in ("", " ", "[", "(")]
    return any(_ALLOWED.match(line) for line in lines)


def _last(ended: Ended) -> str:
    return ended.error.strip().splitlines()[-1] if ended.error else f"exit status {ended.status}"


def sweep(
    operation: Operation, folder: Path, every: int = 1, modes: tuple[str, ...] = MODES
) -> Iterator[dict]:
    """Go through the points of an operation; each with what was wrong."""
    base = folder / "base"
    base.mkdir()

    def prepare() -> None:
        home = Home(base)
        home.build()
        operation.prepare(home)

    made = in_child(prepare)
    if made.status:
        raise RuntimeError(made.error)
    trial = Trial(operation, folder / "home")
    shutil.copytree(base, trial.home, symlinks=True)
    ended, calls = calls_of(trial.act, folder, trial.home)
    if ended.status:
        raise RuntimeError(ended.error)
    points = [Point(call, number, mode) for call, number in calls for mode in modes]
    for point in points[::every]:
        shutil.rmtree(trial.home)
        shutil.copytree(base, trial.home, symlinks=True)
        met, wrong = violations(trial, point)
        yield {"operation": operation.name, "point": str(point), "met": met, "wrong": wrong}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(sorted(OPERATIONS)))
@click.option("--every", default=1, show_default=True, help="Only every so many points.")
@click.option("--mode", "modes", multiple=True, type=click.Choice(MODES), default=MODES)
def main(names: tuple[str, ...], every: int, modes: tuple[str, ...]) -> None:
    """Sweep OPERATIONs (all), a line of JSON a point."""
    sys.dont_write_bytecode = True
    for name in names or OPERATIONS:
        with tempfile.TemporaryDirectory(prefix="contimg-sweep-") as folder:
            for told in sweep(OPERATIONS[name], Path(folder), every, modes):
                click.echo(json.dumps(told))


if __name__ == "__main__":
    main()
