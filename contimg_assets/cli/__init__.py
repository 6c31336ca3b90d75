"""The command line ``contimg``; every command lives in a module of its kind."""

import os
from importlib import import_module
from typing import Any

import click

from contimg_assets import __version__
from contimg_assets.cli.arguments import one_line

# Read when numpy is loaded. Threads of one small matrix product wait for each other in a circle, and where
# other work goes on it takes many times as long; compiled loops have threads of their own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

#: Columns that a command's text has in the list of commands, on a terminal of 80.
HELP_WIDTH = 62
#: Command to its module, and its text in the list.  A command loads what it needs and nothing else, since
#: stages start a hundred times an hour and Dagster takes a second to import; the list loads none.  A test
#: holds the texts against what the commands say of themselves.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("operations", "Make CONTIMG_HOME: Dagster's folder and storage, and the..."),
    "process": ("operations", "Process every ready group of DIR to a calibrated image,..."),
    "status": ("status", "Show the groups, their states and verdicts, what is..."),
    "products": ("status", "Show products: absolute paths, numbers, verdicts, and the..."),
    "export": ("export", "Hand over images, source lists, numbers and provenance of..."),
    "reprocess": ("operations", "Make groups again: one at once, or many as a campaign."),
    "campaign": ("campaigns", "Groups made again in great number: list, look, pause,..."),
    "register": ("operations", "Enter every ready group of DIR in the station database, and..."),
    "groups": ("groups", "Show the observation groups in DIR: complete, partial, bad..."),
    "history": ("history", "Show what happened to GROUP: states, files, versions of its..."),
    "retention": ("retention", "List what is no longer needed on disk, and why; with..."),
    "pointing": ("history", "Show where the telescope looked: one line for each spell..."),
    "flags": ("flags", "Versions of a group's flags."),
    "calibrators": ("calibration", "Show when calibrators cross the beam on a day, how well..."),
    "registry": ("calibration", "The calibration registry."),
    "antennas": ("antennas", "Show the beam of each antenna: where it points, and how..."),
    "provenance": ("calibration", "Tell from the header of IMAGE.fits what made it; exit code..."),
    "catalogs": ("catalogs", "Install, list and verify source catalogues (NVSS, FIRST,..."),
    "sources": ("survey", "Find sources of the survey: in a cone, a box or a part of..."),
    "lightcurve": ("lightcurve", "Show the light curve of a source, by NAME or by RA and DEC..."),
    "watch": ("survey", "The list of sources that are measured in every image..."),
    "survey": ("survey", "Sidereal days and their products; candidates and what..."),
    "settings": ("settings", "Show every setting, its present value, and where that comes..."),
    "workers": ("workers", "Show a station's workers, or have one take no more runs."),
    "doctor": ("doctor", "Examine this machine and the installation: versions,..."),
    "backup": ("backup", "Copy what cannot be made again into a new folder below..."),
    "restore": ("backup", "Restore BACKUP into CONTIMG_HOME, which is empty or was..."),
    "reconcile": ("backup", "Hold the station database against the disk and against..."),
    "metrics": ("metrics", "Print what Prometheus is told of this installation, in its..."),
    "trace": ("trace", "Show how long GROUP was in each state and stage, from its..."),
    "night": ("night", "Make the report of the night DATE, a day UTC such as..."),
    "notify": ("notify", "Alarms: to whom they go, which there are, and who has seen..."),
    "daemon": ("daemon", "Run Dagster's daemon, or wait while another one works on..."),
    "ui": ("serve", "Serve pages, products and Dagster's web UI on one port, and..."),
    "serve": ("serve", "Serve pages, products and Dagster's web UI on one port,..."),
    "token": ("token", "Tokens with which people and scripts reach the web server..."),
    "convert": ("stages", "Convert one group (a folder that holds one, or its files)..."),
    "flag": ("stages", "Flag the Measurement Set MS; write the flags and their..."),
    "solve": ("stages", "Solve delays, bandpass and gains on the calibrator scan MS;..."),
    "apply": ("stages", "Apply flags and the calibration set TABLES to a clone of..."),
    "selfcal": ("stages", "Self-calibrate the calibrated MS on its own field; write a..."),
    "image": ("stages", "Image the Measurement Set MS; write the FITS products into..."),
    "predict": ("stages", "Clone the Measurement Set MS as OUT, with MODEL_DATA from..."),
    "qa": ("stages", "Quality numbers of PRODUCT, with a picture (and a report of..."),
    "photometry": ("stages", "Measure every known source of an image into the folder OUT."),
    "simulate": ("simulate", "Write observation groups into FOLDER exactly as the..."),
    "compare": ("simulate", "Compare the image in FOLDER with the simulator's TRUTH."),
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are named."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"contimg_assets.cli.{COMMANDS[cmd_name][0]}")
        return next((c for c in module.commands if c.name == cmd_name), None)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with one_line():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with one_line():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="contimg")
def main() -> None:
    """From DSA-110 UVH5 files to calibrated, quality-checked continuum images.

    Everything that a run keeps lies under CONTIMG_HOME (default ~/contimg).
    """
