"""``contimg doctor``: is everything in order, and what is to be done where it is not?

Belongs here: printing and the exit code.  Does not belong here: what is examined
(``station/doctor.py``, ``resources/dagster_doctor.py``).
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from contimg_assets.cli.common import console, json_option, told_plainly
from contimg_assets.settings import Settings, get_settings

if TYPE_CHECKING:
    from contimg_assets.station.doctor import Finding

_COLOURS = {"good": "green", "look": "yellow", "bad": "red"}


@click.command("doctor")
@json_option
@told_plainly
def doctor(as_json: bool) -> None:
    """Examine this machine and the installation: versions, memory, disks, clock, databases, daemon, sensors,
    workers, ports.

    Each line is good, or says what to do. Ends with exit code 1 if something does not work. Nothing is
    made; 64 MiB are written into the home to learn how fast its disk is, and removed.
    """
    findings = []
    for finding in _findings(get_settings()):
        findings.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    raise SystemExit(int(any(finding.grade == "bad" for finding in findings)))


def _findings(settings: Settings) -> "Iterator[Finding]":
    from contimg_assets.resources.instance import INSTANCE_FILE, dagster_home
    from contimg_assets.station.doctor import Finding, examine

    yield from examine(settings)
    folder = dagster_home(settings)
    if not (folder / INSTANCE_FILE).is_file():
        yield Finding("Dagster", f"{folder} has no {INSTANCE_FILE}", "bad", "contimg init")
        return
    from dagster import DagsterInstance

    from contimg_assets.resources.dagster_doctor import examine_dagster

    with DagsterInstance.from_config(str(folder)) as instance:
        yield from examine_dagster(instance, settings.home)


def _show(finding: "Finding") -> None:
    from rich.markup import escape

    colour = _COLOURS[finding.grade]
    out = console()
    out.print(
        f"[{colour}]{finding.grade:4}[/]  {escape(finding.what)}: {escape(finding.found)}", soft_wrap=True
    )
    if finding.advice:
        out.print(f"      → {escape(finding.advice)}", soft_wrap=True)


#: Commands that ``contimg`` takes from this module.
commands: list[click.Command] = [doctor]
