"""One command a stage: what Dagster's steps run, and what a person can run by hand.

Belongs here: arguments, settings and how a result is handed over.  The work is
done in ``radio/``.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from contimg_assets.radio import casa
from contimg_assets.radio.errors import ContimgError
from contimg_assets.radio.malloc import keep_memory
from contimg_assets.settings import Settings, get_settings
from contimg_assets.station.store import Store

#: Exit code for input that cannot be used (1 is a crash, 2 a wrong command line).
BAD_INPUT = 3
_FOLDER = click.Path(path_type=Path)


def run_stage(work: Callable[[Settings], dict[str, Any]], as_json: bool) -> None:
    """Run a stage and hand its result to whoever asked: a person, a program, or Dagster.

    Parameters
    ----------
    work : callable
        Takes the settings, returns the result.
    as_json : bool
        One JSON object on standard output in place of a table.
    """
    # What a stage says while it works goes to standard error, and so into Dagster's log of the step.
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("contimg_assets").setLevel(logging.INFO)
    keep_memory()
    settings = get_settings()
    casa.configure(settings.home / "casa")
    try:
        with _chatter_to_stderr():
            message: dict[str, Any] = {"result": work(settings)}
    except ContimgError as error:
        message = {"error": type(error).__name__, "message": str(error)}
    _report(message)
    if "error" in message:
        if as_json:
            click.echo(json.dumps(message))
        else:
            click.echo(f"{message['error']}: {message['message']}", err=True)
        sys.exit(BAD_INPUT)
    if as_json:
        click.echo(json.dumps(message["result"]))
        return
    for name, value in message["result"].items():
        if not isinstance(value, dict | list) or len(value) <= 5:
            click.echo(f"{name:32s} {value:.6g}" if isinstance(value, float) else f"{name:32s} {value}")


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


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.command()
@click.argument("source", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.argument("out", type=_FOLDER)
@json_option
def convert(source: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Convert one group (a folder that holds one, or its files) into OUT, a Measurement Set."""

    def work(settings: Settings) -> dict[str, Any]:
        from contimg_assets.radio.conversion.convert import convert as run
        from contimg_assets.radio.grouping import list_folder

        paths: list[Path] = []
        for path in source:
            paths += [f.path for f in list_folder(path).files] if path.is_dir() else [path]
        return run(paths, out, settings.conversion.writer)

    run_stage(work, as_json)


@click.command()
@click.argument("ms", type=_FOLDER)
@click.argument("out", type=_FOLDER)
@json_option
def flag(ms: Path, out: Path, as_json: bool) -> None:
    """Flag the Measurement Set MS; write the flags and their summary into the folder OUT."""

    def work(settings: Settings) -> dict[str, Any]:
        from contimg_assets.radio.flagging.flag import SUMMARY_NAME
        from contimg_assets.radio.flagging.flag import flag as run
        from contimg_assets.radio.plots.flags import plot_flags

        result = run(ms, out, **settings.flagging.model_dump())
        plot_flags(out / "thumbnail.png", json.loads((out / SUMMARY_NAME).read_text()))
        return result

    run_stage(work, as_json)


@click.command()
@click.argument("ms", type=_FOLDER)
@click.argument("flags", type=_FOLDER)
@click.argument("out", type=_FOLDER)
@click.option("--calibrator", help="Name of the calibrator; the brightest in the beam if not given.")
@click.option("--refant", help="Name (1-based) of the reference antenna; chosen from the data if not given.")
@json_option
def solve(
    ms: Path, flags: Path, out: Path, calibrator: str | None, refant: str | None, as_json: bool
) -> None:
    """Solve delays, bandpass and gains on the calibrator scan MS; write the tables into OUT."""

    def work(settings: Settings) -> dict[str, Any]:
        from contimg_assets.radio.calibration.calibrators import find_calibrator, named_calibrator
        from contimg_assets.radio.calibration.field import FieldImaging, solve_with_field
        from contimg_assets.radio.calibration.solve import solve as run
        from contimg_assets.radio.errors import NoCalibratorError
        from contimg_assets.radio.measurement_set import read_shape
        from contimg_assets.radio.phasing import JD_OF_MJD_0
        from contimg_assets.radio.plots.calibration import plot_set
        from contimg_assets.radio.sky import read_sources
        from contimg_assets.radio.uvh5 import group_key

        choices = settings.calibration
        shape = read_shape(ms)
        if calibrator is not None:
            source = named_calibrator(calibrator, choices.calibrator_list)
        else:
            import numpy as np

            scan = find_calibrator(
                float(np.rad2deg(shape.declination_rad)),
                float(np.mean(shape.times_jd[[0, -1]])) - JD_OF_MJD_0,
                choices,
            )
            if scan is None:
                raise NoCalibratorError(
                    f"{ms}: no calibrator above {choices.backup_calibrator_jy} Jy apparent in the beam"
                )
            source = scan.source
        field = read_sources(choices.sky_catalogue) if choices.sky_catalogue else []
        with Store(settings.home).scratch_folder("solve") as folder:
            options: dict[str, Any] = {
                "group": group_key(float(shape.times_jd[0]), shape.integration_s),
                "calibrator": source,
                "wanted_reference": refant or choices.reference_antenna,
                "minimum_snr": choices.minimum_snr,
                "minimum_uv_m": choices.minimum_uv_m,
                "gain_interval_s": choices.gain_interval_s,
                "fast": choices.fast,
            }
            if choices.image_field and not field:
                imaging = FieldImaging(settings.imaging, settings.threads)
                solved = solve_with_field(ms, flags, out, folder, imaging, **options)
            else:
                solved = run(ms, flags, out, folder, field_sources=field, **options)
        plot_set(out / "thumbnail.png", out / "B.cal", solved)
        return solved

    run_stage(work, as_json)


@click.command()
@click.argument("ms", type=_FOLDER)
@click.argument("flags", type=_FOLDER)
@click.argument("tables", type=_FOLDER)
@click.argument("out", type=_FOLDER)
@click.option("--other", type=_FOLDER, help="A set on the other side in time, to interpolate towards.")
@click.option(
    "--weight",
    type=click.FloatRange(0.0, 0.5),
    default=0.0,
    help="Part of the time between the sets since TABLES.",
)
@json_option
def apply(
    ms: Path, flags: Path, tables: Path, out: Path, other: Path | None, weight: float, as_json: bool
) -> None:
    """Apply flags and the calibration set TABLES to a clone of MS, written as OUT."""

    def work(settings: Settings) -> dict[str, Any]:
        from contimg_assets.radio.calibration.apply import apply as run
        from contimg_assets.radio.calibration.compatibility import refuse_misfits, shape_coverage
        from contimg_assets.radio.calibration.solve import TABLES
        from contimg_assets.radio.measurement_set import read_shape

        files = [name for _, _, name in TABLES]
        for folder in [tables, *([other] if other else [])]:
            refuse_misfits(folder, files, shape_coverage(read_shape(ms)), settings.calibration)
        return run(ms, flags, tables, out, other_set=other, weight=weight)

    run_stage(work, as_json)


@click.command()
@click.argument("ms", type=_FOLDER)
@click.argument("out", type=_FOLDER)
@json_option
def selfcal(ms: Path, out: Path, as_json: bool) -> None:
    """Self-calibrate the calibrated MS on its own field; write a clone and the tables into the folder OUT.

    The clone's data are those of MS if no round lowered the noise.
    """

    def work(settings: Settings) -> dict[str, Any]:
        from contimg_assets.radio.calibration.selfcal import self_calibrate

        with Store(settings.home).scratch_folder("selfcal") as folder:
            return self_calibrate(
                ms,
                out,
                folder,
                settings.imaging,
                threads=settings.threads,
                minimum_snr=settings.calibration.minimum_snr,
            )

    run_stage(work, as_json)


@click.command()
@click.argument("ms", type=_FOLDER)
@click.argument("out", type=_FOLDER)
@click.option("--name", default="image", show_default=True, help="Stem of the products' names.")
@click.option(
    "--provenance", type=click.Path(path_type=Path, exists=True), help="JSON of what calibrated MS."
)
@click.option("--quick", is_flag=True, help="A quick look: coarse, shallow, in seconds.")
@click.option("--dry-run", is_flag=True, help="Say what the image will be and need; read no visibility.")
@click.option(
    "--table",
    "tables",
    multiple=True,
    type=_FOLDER,
    help="Calibration table to apply to DATA on the way, instead of reading CORRECTED_DATA.",
)
@json_option
def image(
    ms: Path,
    out: Path,
    name: str,
    provenance: Path | None,
    quick: bool,
    dry_run: bool,
    tables: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Image the Measurement Set MS; write the FITS products into the folder OUT."""

    def work(settings: Settings) -> dict[str, Any]:
        from contimg_assets.radio.imaging.image import make_image
        from contimg_assets.radio.imaging.plan import plan
        from contimg_assets.radio.imaging.start_model import known_sky
        from contimg_assets.radio.measurement_set import read_shape
        from contimg_assets.radio.quality.products import complete_products

        choices = settings.imaging
        if quick or choices.mode == "quick":
            choices = choices.quick()
        if dry_run:
            planned = plan(read_shape(ms), choices)
            return {
                "n_pixels": planned.grid.n_pixels,
                "cell_arcsec": planned.grid.cell_arcsec,
                "n_averaged_visibilities": planned.n_visibilities,
                "memory_mib": planned.memory_bytes / 2**20,
            }
        origin = json.loads(provenance.read_text()) if provenance else None
        sky = known_sky(settings.catalogues_folder, settings.catalogues, read_shape(ms), choices.field_deg)
        with Store(settings.home).scratch_folder("image") as folder:
            summary = make_image(
                ms,
                out,
                folder,
                choices,
                name=name,
                provenance=origin,
                threads=settings.threads,
                tables=tables,
                sky=sky,
            )
        return summary | complete_products(out, name)

    run_stage(work, as_json)


@click.command()
@click.argument("ms", type=_FOLDER)
@click.argument("image_folder", metavar="IMAGE", type=_FOLDER)
@click.argument("out", type=_FOLDER)
@json_option
def predict(ms: Path, image_folder: Path, out: Path, as_json: bool) -> None:
    """Clone the Measurement Set MS as OUT, with MODEL_DATA from the model of its image (the folder IMAGE)."""

    def work(settings: Settings) -> dict[str, Any]:
        from contimg_assets.radio.imaging.model_data import write_model_data

        return write_model_data(ms, image_folder, out, settings.threads)

    run_stage(work, as_json)


@click.command()
@click.argument("kind", type=click.Choice(["ms", "calibration", "image"]))
@click.argument("product", type=_FOLDER)
@click.argument("out", type=_FOLDER)
@json_option
def qa(kind: str, product: Path, out: Path, as_json: bool) -> None:
    """Quality numbers of PRODUCT, with a picture (and a report of an image), into the folder OUT."""

    def work(settings: Settings) -> dict[str, Any]:
        out.mkdir(parents=True, exist_ok=True)
        if kind == "ms":
            from contimg_assets.radio.quality.measurement_set import measurement_set_numbers

            numbers = measurement_set_numbers(product, out)
        elif kind == "calibration":
            from contimg_assets.radio.quality.calibration import calibration_numbers

            numbers = calibration_numbers(product, out)
        else:
            from contimg_assets.radio.quality.image import image_numbers

            numbers = image_numbers(product, out, settings.catalogues_folder, settings.catalogues)
        (out / "metrics.json").write_text(json.dumps(numbers, indent=1))
        return numbers

    run_stage(work, as_json)


commands: list[click.Command] = [convert, flag, solve, apply, selfcal, image, predict, qa]
