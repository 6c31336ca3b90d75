"""``contimg catalogs``: source catalogues that images are compared with and seeded from."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import click
from rich.table import Table

from contimg_assets.cli.common import BAD_INPUT, console, json_option, told_plainly
from contimg_assets.radio.catalogues.fetch import fetch as fetch_survey
from contimg_assets.radio.catalogues.store import Manifest, install, installed
from contimg_assets.radio.catalogues.surveys import SURVEYS, SurveyName
from contimg_assets.radio.errors import CatalogueError
from contimg_assets.settings import get_settings

_SURVEY = click.Choice(list(SURVEYS))


@click.group("catalogs")
def catalogs() -> None:
    """Install, list and verify source catalogues (NVSS, FIRST, VLASS, RACS, VLA calibrators)."""


@catalogs.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--survey", type=_SURVEY, default="nvss", show_default=True)
@json_option
@told_plainly
def import_file(file: Path, survey: str, as_json: bool) -> None:
    """Install FILE, in a format that the survey publishes (gzipped or not)."""
    _tell(install(get_settings().catalogues_folder, file, cast(SurveyName, survey)), as_json)


@catalogs.command("fetch")
@click.argument("survey", type=_SURVEY)
@click.option("--timeout", default=600.0, show_default=True, help="For the archive's answer, s.")
@json_option
@told_plainly
def fetch(survey: str, timeout: float, as_json: bool) -> None:
    """Download SURVEY from VizieR or CASDA and install it."""
    name = cast(SurveyName, survey)
    with tempfile.TemporaryDirectory() as folder:
        path = fetch_survey(name, Path(folder), timeout)
        manifest = install(get_settings().catalogues_folder, path, name, origin="fetched")
    _tell(manifest, as_json)


@catalogs.command("list")
@json_option
@told_plainly
def list_installed(as_json: bool) -> None:
    """Show what is installed."""
    found = installed(get_settings().catalogues_folder)
    if as_json:
        click.echo(json.dumps([_described(c.manifest) for c in found]))
        return
    if not found:
        click.echo("no catalogue is installed; see `contimg catalogs import --help`")
        return
    table = Table()
    for column in ("survey", "sources", "left out", "MHz", "from", "installed"):
        table.add_column(column)
    for c in found:
        m = c.manifest
        table.add_row(
            m.survey,
            f"{m.n_sources}",
            f"{m.n_left_out}",
            f"{c.survey.frequency_hz / 1e6:g}",
            m.origin,
            m.installed,
        )
    console().print(table)


@catalogs.command("verify")
@json_option
@told_plainly
def verify(as_json: bool) -> None:
    """Hold every installed catalogue against its hash; exit code 3 if one is not what was installed."""
    outcomes: list[dict[str, Any]] = []
    for catalogue in installed(get_settings().catalogues_folder):
        found = {"survey": catalogue.manifest.survey, "n_sources": catalogue.manifest.n_sources}
        try:
            catalogue.verify()
            outcomes.append({**found, "good": True, "detail": ""})
        except CatalogueError as error:
            outcomes.append({**found, "good": False, "detail": f"{type(error).__name__}: {error}"})
    if as_json:
        click.echo(json.dumps({"catalogues": outcomes}))
    else:
        for told in outcomes:
            text = f"{told['survey']}: good, {told['n_sources']} sources" if told["good"] else told["detail"]
            click.echo(text, err=not told["good"])
    if not all(told["good"] for told in outcomes):
        raise SystemExit(BAD_INPUT)


def _described(manifest: Manifest) -> dict[str, Any]:
    return {k: v for k, v in asdict(manifest).items() if k != "zone_starts"}


def _tell(manifest: Manifest, as_json: bool) -> None:
    described = _described(manifest)
    if as_json:
        click.echo(json.dumps(described))
        return
    click.echo(
        f"{SURVEYS[manifest.survey].title}: {manifest.n_sources} sources installed, "
        f"{manifest.n_left_out} entries left out"
    )


commands: list[click.Command] = [catalogs]
