"""One command a stage: what Dagster's steps run, and what a person can run by hand.

Belongs here: arguments, settings and how a result is handed over.  Does not belong
here: what a stage does (``stages/``).
"""

import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click

from contimg_assets.cli.common import exit_code, json_option
from contimg_assets.radio.corrections.applied import Calibration
from contimg_assets.radio.errors import ContimgError, SettingsError, StorageError
from contimg_assets.radio.interrupts import Interrupted, raising, tidying
from contimg_assets.radio.storage import fault_of
from contimg_assets.settings import Settings, get_settings
from contimg_assets.stages import apply as apply_stage
from contimg_assets.stages import convert as convert_stage
from contimg_assets.stages import flag as flag_stage
from contimg_assets.stages import image as image_stage
from contimg_assets.stages import photometry as photometry_stage
from contimg_assets.stages import predict as predict_stage
from contimg_assets.stages import quality as quality_stage
from contimg_assets.stages import selfcal as selfcal_stage
from contimg_assets.stages import solve as solve_stage
from contimg_assets.stages.base import Result, StageContext
from contimg_assets.station.store import Store

_FOLDER = click.Path(path_type=Path)
_EXISTING = click.Path(path_type=Path, exists=True)
#: Characters that a dict or list may take in a line of a terminal.
_LONGEST_TEXT = 100


def run_stage(work: Callable[[Settings, StageContext], Result], out: Path | None, as_json: bool) -> None:
    """Run a stage and hand its result to whoever asked: a person, a program, or Dagster.

    Parameters
    ----------
    work : callable
        Takes the settings and the stage's surroundings, returns the result.
    out : Path
        What it makes: of a stage that fails or is interrupted, nothing stays there. None: nothing.
    as_json : bool
        One JSON object on standard output in place of a table.
    """
    # What a stage says while it works goes to standard error, and so into Dagster's log of the step.
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("contimg_assets").setLevel(logging.INFO)
    code = 0
    try:
        settings = get_settings()
        context = stage_context(settings)
        context.prepare()
        with _chatter_to_stderr(), raising(), nullcontext() if out is None else _nothing_half_made(out):
            message: dict[str, Any] = {"result": work(settings, context).as_json()}
    except Interrupted as interrupt:
        click.echo(str(interrupt), err=True)
        sys.exit(interrupt.exit_code)
    except Exception as error:
        told = error if isinstance(error, ContimgError) else fault_of(error)
        if told is None:
            raise
        message, code = {"error": type(told).__name__, "message": str(told)}, exit_code(told)
        if isinstance(told, StorageError):
            message |= {"cause": told.cause, "folder": str(told.folder) if told.folder else None}
    _report(message)
    if code:
        if as_json:
            click.echo(json.dumps(message))
        else:
            click.echo(f"{message['error']}: {message['message']}", err=True)
        sys.exit(code)
    if as_json:
        click.echo(json.dumps(message["result"]))
        return
    for name, value in message["result"].items():
        click.echo(f"{name:32s} {_short(value)}")


def _short(value: object) -> str:
    """A value for a line of a terminal; of a long one, how much there is (``--json`` has it)."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    if isinstance(value, dict | list) and len(text) > _LONGEST_TEXT:
        return f"({len(value)} entries: --json)"
    return text


@contextmanager
def _nothing_half_made(out: Path) -> Iterator[None]:
    """Remove what the block has made in ``out`` if it raises; what was there before stays."""
    there = out.exists()
    before = set(out.rglob("*")) if there else set()
    try:
        yield
    except BaseException:
        with tidying():
            if there:
                for path in sorted(set(out.rglob("*")) - before, reverse=True):
                    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
            elif out.is_dir():
                shutil.rmtree(out)
            else:
                out.unlink(missing_ok=True)
        raise


def stage_context(settings: Settings) -> StageContext:
    """The surroundings that this machine's settings give a stage."""
    return StageContext(
        scratch=Store(settings.home, settings.scratch).scratch_place(),
        catalogues=settings.catalogues_folder,
        casa=settings.home / "casa",
        threads=settings.threads,
    )


@contextmanager
def _chatter_to_stderr() -> Iterator[None]:
    """Standard output is the result's: CASA's compiled code prints what it thinks there."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _report(message: dict[str, Any]) -> None:
    """Send the outcome to Dagster when it started this process."""
    if "DAGSTER_PIPES_CONTEXT" not in os.environ:
        return
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as pipes:
        pipes.report_custom_message(message)


@click.command()
@click.argument("source", nargs=-1, required=True, type=_FOLDER)
@click.argument("out", type=_FOLDER)
@json_option
def convert(source: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Convert one group (a folder that holds one, or its files) into OUT, a Measurement Set."""
    inputs = convert_stage.ConvertInputs(source=source, out=out)
    run_stage(lambda settings, at: convert_stage.run(inputs, settings.conversion, at), out, as_json)


@click.command()
@click.argument("ms", type=_FOLDER)
@click.argument("out", type=_FOLDER)
@click.option(
    "--bad-antenna",
    "bad_antennas",
    multiple=True,
    help="Name (1-based) of an antenna of which nothing is used; may be given several times.",
)
@json_option
def flag(ms: Path, out: Path, bad_antennas: tuple[str, ...], as_json: bool) -> None:
    """Flag the Measurement Set MS; write the flags and their summary into the folder OUT."""
    inputs = flag_stage.FlagInputs(ms=ms, out=out, bad_antennas=bad_antennas)
    run_stage(lambda settings, at: flag_stage.run(inputs, settings.flagging, at), out, as_json)


@click.command()
@click.argument("ms", type=_FOLDER)
@click.argument("flags", type=_FOLDER)
@click.argument("out", type=_FOLDER)
@click.option("--calibrator", help="Name of the calibrator; the brightest in the beam if not given.")
@click.option("--refant", help="Name (1-based) of the reference antenna; chosen from the data if not given.")
@click.option(
    "--fast/--no-fast", default=None, help="Gains in phase only, or not, whatever the settings say."
)
@json_option
def solve(
    ms: Path,
    flags: Path,
    out: Path,
    calibrator: str | None,
    refant: str | None,
    fast: bool | None,
    as_json: bool,
) -> None:
    """Solve delays, bandpass and gains on the calibrator scan MS; write the tables into OUT."""
    inputs = solve_stage.SolveInputs(ms=ms, flags=flags, out=out, calibrator=calibrator)

    def work(settings: Settings, at: StageContext) -> Result:
        asked = {"reference_antenna": refant, "fast": fast}
        given = {name: value for name, value in asked.items() if value is not None}
        choices = settings.calibration.model_copy(update=given)
        options = solve_stage.SolveOptions(
            calibration=choices, imaging=settings.imaging, catalogues=settings.catalogues
        )
        return solve_stage.run(inputs, options, at)

    run_stage(work, out, as_json)


def _between(command: Callable[..., None]) -> Callable[..., None]:
    """Options of a second set of tables."""
    other = click.option(
        "--other", type=_FOLDER, help="A set on the other side in time, to interpolate towards."
    )
    weight = click.option(
        "--weight",
        type=click.FloatRange(0.0, 0.5),
        default=0.0,
        help="Part of the time between the sets since TABLES.",
    )
    return other(weight(command))


@click.command()
@click.argument("ms", type=_FOLDER)
@click.argument("flags", type=_FOLDER)
@click.argument("tables", type=_FOLDER)
@click.argument("out", type=_FOLDER, required=False)
@_between
@json_option
def apply(
    ms: Path,
    flags: Path,
    tables: Path,
    out: Path | None,
    other: Path | None,
    weight: float,
    as_json: bool,
) -> None:
    """Apply flags and the calibration set TABLES to a clone of MS, written as OUT.

    Without OUT nothing is written: whether the set fits is checked, and what it would flag is said.
    """
    calibration = Calibration(flags=flags, tables=tables, other=other, weight=weight)
    inputs = apply_stage.ApplyInputs(ms=ms, calibration=calibration, out=out)
    run_stage(lambda settings, at: apply_stage.run(inputs, settings.calibration, at), out, as_json)


@click.command()
@click.argument("ms", type=_FOLDER)
@click.argument("out", type=_FOLDER)
@json_option
def selfcal(ms: Path, out: Path, as_json: bool) -> None:
    """Self-calibrate the calibrated MS on its own field; write a clone and the tables into the folder OUT.

    The clone's data are those of MS if no round lowered the noise.
    """
    inputs = selfcal_stage.SelfcalInputs(ms=ms, out=out)

    def work(settings: Settings, at: StageContext) -> Result:
        options = selfcal_stage.SelfcalOptions(calibration=settings.calibration, imaging=settings.imaging)
        return selfcal_stage.run(inputs, options, at)

    run_stage(work, out, as_json)


@click.command()
@click.argument("ms", type=_FOLDER)
@click.argument("out", type=_FOLDER)
@click.option("--name", default="image", show_default=True, help="Stem of the products' names.")
@click.option("--provenance", type=_EXISTING, help="JSON of what calibrated MS.")
@click.option("--quick", is_flag=True, help="A quick look: coarse, shallow, in seconds.")
@click.option(
    "--options", default="{}", help="Options in place of the settings' imaging.*, as a JSON object."
)
@click.option("--dry-run", is_flag=True, help="Say what the image will be and need; read no visibility.")
@click.option(
    "--calibrate",
    nargs=2,
    type=_FOLDER,
    metavar="FLAGS TABLES",
    help="Flags and calibration set to apply to DATA on the way, instead of reading CORRECTED_DATA.",
)
@_between
@json_option
def image(
    quick: bool,
    dry_run: bool,
    as_json: bool,
    options: str,
    calibrate: tuple[Path, Path] | None,
    other: Path | None,
    weight: float,
    **named: Any,
) -> None:
    """Image the Measurement Set MS; write the FITS products into the folder OUT."""
    if calibrate is None and (other is not None or weight):
        raise click.UsageError("--other and --weight need --calibrate FLAGS TABLES")
    calibration = None
    if calibrate is not None:
        flags, tables = calibrate
        calibration = Calibration(flags=flags, tables=tables, other=other, weight=weight)
    inputs = image_stage.ImageInputs(calibration=calibration, **named)

    def work(settings: Settings, at: StageContext) -> Result:
        imaging = settings.imaging.replaced(_json_object(options))
        imaging = imaging.quick() if quick else imaging
        chosen = image_stage.ImageOptions(
            imaging=imaging, catalogues=settings.catalogues, archive=settings.archive
        )
        return image_stage.plan(inputs, chosen) if dry_run else image_stage.run(inputs, chosen, at)

    run_stage(work, inputs.out, as_json)


def _json_object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise SettingsError(f"--options: found {text!r}; expected a JSON object: {error}") from None
    if not isinstance(found, dict):
        raise SettingsError(f"--options: found {text!r}; expected a JSON object")
    return found


@click.command()
@click.argument("ms", type=_FOLDER)
@click.argument("image_folder", metavar="IMAGE", type=_FOLDER)
@click.argument("out", type=_FOLDER)
@json_option
def predict(ms: Path, image_folder: Path, out: Path, as_json: bool) -> None:
    """Clone the Measurement Set MS as OUT, with MODEL_DATA from the model of its image (the folder IMAGE)."""
    inputs = predict_stage.PredictInputs(ms=ms, image=image_folder, out=out)
    run_stage(lambda _, at: predict_stage.run(inputs, at), out, as_json)


@click.command()
@click.argument("kind", type=click.Choice(quality_stage.KINDS))
@click.argument("product", type=_FOLDER)
@click.argument("out", type=_FOLDER)
@click.option(
    "--surroundings",
    type=_EXISTING,
    help="Of an image: JSON of the group's other products and of earlier groups, for the report.",
)
@json_option
def qa(kind: quality_stage.Kind, product: Path, out: Path, surroundings: Path | None, as_json: bool) -> None:
    """Quality numbers of PRODUCT, with a picture (and a report of an image), into the folder OUT."""
    inputs = quality_stage.QualityInputs(kind=kind, product=product, out=out, surroundings=surroundings)
    run_stage(lambda settings, at: quality_stage.run(inputs, settings.catalogues, at), out, as_json)


@click.command()
@click.argument("image_folder", metavar="IMAGE", type=_FOLDER)
@click.argument("sources", type=_FOLDER)
@click.argument("out", type=_FOLDER)
@click.option("--group", required=True, help="Key of the observation group, as the rows carry it.")
@json_option
def photometry(image_folder: Path, sources: Path, out: Path, group: str, as_json: bool) -> None:
    """Measure every known source of an image into the folder OUT.

    IMAGE is the folder of its products, SOURCES the list that `contimg qa image` made of it (sources.fits).
    """
    inputs = photometry_stage.PhotometryInputs(image=image_folder, sources=sources, out=out, group=group)

    def work(settings: Settings, at: StageContext) -> Result:
        options = photometry_stage.PhotometryStageOptions(
            photometry=settings.photometry, catalogues=settings.catalogues
        )
        return photometry_stage.run(inputs, options, at)

    run_stage(work, out, as_json)


commands: list[click.Command] = [convert, flag, solve, apply, selfcal, image, predict, qa, photometry]
