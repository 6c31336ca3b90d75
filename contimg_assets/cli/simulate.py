"""``contimg simulate`` writes observations with a known truth; ``contimg compare`` asks for it back."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from contimg_assets.cli.arguments import DECLINATION, UTC_TIME
from contimg_assets.cli.common import json_option, told_plainly
from contimg_assets.simulation.independent.presets import PRESETS as NIGHTS
from contimg_assets.simulation.presets import PERFECT, PRESETS, UNCORRUPTED, Corruption, Preset

if TYPE_CHECKING:
    from contimg_assets.simulation.comparison import Bin, Detections
    from contimg_assets.simulation.flag_comparison import FlagComparison

_QUALITIES = {"perfect": PERFECT, "uncorrupted": UNCORRUPTED, "corrupted": Corruption()}
#: Options that --independent has no use for: its presets say what is wrong.
_NOT_INDEPENDENT = (
    "start",
    "catalogue",
    "sources",
    "quality",
    "faintest",
    "dead_antenna",
    "zero_antenna",
    "missing_subband",
    "truncated_subband",
)


@click.command("simulate")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--independent", is_flag=True, help="By the simulator that shares no code with the pipeline.")
@click.option(
    "--preset",
    type=click.Choice([*PRESETS, *NIGHTS]),
    help=f"Size ({', '.join(PRESETS)}; default demo); with --independent the night (default plain).",
)
@click.option("--size", type=click.Choice(list(PRESETS)), help="With --independent (default demo).")
@click.option(
    "--declination", type=DECLINATION, default=16.27, show_default=True, help="Apparent pointing, deg."
)
@click.option("--calibrator", default="3C454.3", show_default=True, help="Of the calibrator transit.")
@click.option(
    "--after",
    type=UTC_TIME,
    default="2025-06-01T00:00:00",
    show_default=True,
    help="First transit after this, UTC.",
)
@click.option(
    "--start", type=UTC_TIME, help="Simulate one target group that starts then (UTC) in place of a pair."
)
@click.option(
    "--catalogue", type=click.Path(path_type=Path, exists=True), help="CSV of sources (target of --start)."
)
@click.option("--source", "sources", multiple=True, help="RA,DEC,JY[,INDEX] in deg (target of --start).")
@click.option("--quality", type=click.Choice(list(_QUALITIES)), default="corrupted", show_default=True)
@click.option("--faintest", type=float, default=0.02, show_default=True, help="Of the random sky, Jy.")
@click.option("--dead-antenna", multiple=True, help="Name of an antenna with noise but no signal.")
@click.option("--zero-antenna", multiple=True, help="Name of an antenna with zeros.")
@click.option("--missing-subband", multiple=True, type=click.IntRange(0, 15))
@click.option("--truncated-subband", multiple=True, type=click.IntRange(0, 15))
@click.option("--seed", type=int, default=1, show_default=True)
@json_option
@click.pass_context
@told_plainly
def simulate(
    context: click.Context,
    folder: Path,
    independent: bool,
    preset: str | None,
    size: str | None,
    declination: float,
    calibrator: str,
    after: str,
    start: str | None,
    catalogue: Path | None,
    sources: tuple[str, ...],
    quality: str,
    faintest: float,
    dead_antenna: tuple[str, ...],
    zero_antenna: tuple[str, ...],
    missing_subband: tuple[int, ...],
    truncated_subband: tuple[int, ...],
    seed: int,
    as_json: bool,
) -> None:
    """Write observation groups into FOLDER exactly as the telescope does, with their truth beside them.

    The sky is also written as NVSS would publish it (nvss.dat), for `contimg catalogs import`.
    Without --start: a calibrator transit and a target of the same night.
    """
    from contimg_assets.simulation.catalogue import write_nvss_of
    from contimg_assets.simulation.night import simulate_pair

    corruption = replace(
        _QUALITIES[quality],
        dead_antennas=dead_antenna,
        zero_antennas=zero_antenna,
        missing_subbands=missing_subband,
        truncated_subbands=truncated_subband,
    )
    if independent:
        _refuse_others(context)
        truths = _independent_pair(folder, preset, size, calibrator, declination, after, seed)
    elif size is not None or (preset or "demo") not in PRESETS:
        raise click.UsageError(f"--size, and presets other than {', '.join(PRESETS)}, go with --independent")
    elif start is None:
        if catalogue or sources:
            raise click.UsageError("--catalogue and --source go with --start")
        truths = simulate_pair(
            folder,
            PRESETS[preset or "demo"],
            calibrator,
            declination,
            after=after,
            seed=seed,
            faintest_jy=faintest,
            corruption=corruption,
        )
    else:
        chosen = PRESETS[preset or "demo"]
        truths = [_group(folder, chosen, declination, start, catalogue, sources, faintest, corruption, seed)]
    _tell(folder, truths, write_nvss_of(folder, truths), as_json)


def _refuse_others(context: click.Context) -> None:
    for name in _NOT_INDEPENDENT:
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name.rstrip('s').replace('_', '-')} does not go with --independent")


def _independent_pair(
    folder: Path,
    preset: str | None,
    size: str | None,
    calibrator: str,
    declination: float,
    after: str,
    seed: int,
) -> list[Path]:
    """A calibrator transit and a target by the independent simulator; their truths."""
    from contimg_assets.simulation.independent.instrument import SIZES
    from contimg_assets.simulation.independent.night import simulate_pair

    if preset is not None and preset not in NIGHTS:
        raise click.UsageError(f"with --independent, --preset is one of {', '.join(NIGHTS)}; see --size")
    night, large = NIGHTS[preset or "plain"], SIZES[size or "demo"]
    return simulate_pair(folder, large, night, calibrator, declination, after=after, seed=seed)


def _group(
    folder: Path,
    preset: Preset,
    declination: float,
    start: str,
    catalogue: Path | None,
    sources: tuple[str, ...],
    faintest: float,
    corruption: Corruption,
    seed: int,
) -> Path:
    """One target group that starts at a given time; its truth."""
    from astropy.time import Time

    from contimg_assets.radio.sky import Source, read_sources
    from contimg_assets.simulation.night import field_of
    from contimg_assets.simulation.observation import Observation
    from contimg_assets.simulation.observation import simulate as run

    begin, radians = Time(start, scale="utc"), float(np.deg2rad(declination))
    sky = read_sources(catalogue) if catalogue else []
    for number, text in enumerate(sources):
        try:
            ra, dec, flux, *index = (float(part) for part in text.split(","))
        except ValueError as error:
            raise click.BadParameter(f"{text!r}: expected RA,DEC,JY[,INDEX]") from error
        sky.append(Source(f"G{number:03d}", ra, dec, flux, index[0] if index else 0.0))
    if not sky:
        sky = field_of(preset, begin, radians, seed + 11, faintest)
    return run(Observation(preset, begin, radians, sky, corruption, seed=seed, night_seed=seed), folder)


def _tell(folder: Path, truths: list[Path], survey: Path, as_json: bool) -> None:
    """Say what was written."""
    if as_json:
        click.echo(
            json.dumps(
                {
                    "folder": str(folder.absolute()),
                    "truth": [str(t.absolute()) for t in truths],
                    "catalogue": str(survey.absolute()),
                }
            )
        )
        return
    for truth in truths:
        click.echo(f"wrote a group into {folder}; its truth is {truth}")
    click.echo(f"wrote the sky as a catalogue, {survey}")


@click.command("compare")
@click.argument("truth", type=click.Path(path_type=Path, exists=True))
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--sigma", type=float, default=20.0, show_default=True, help="Faintest source, times the noise."
)
@click.option("--rows", type=int, default=15, show_default=True, help="Sources that the table shows.")
@click.option(
    "--flags",
    nargs=3,
    type=click.Path(path_type=Path, exists=True),
    metavar="MS FLAGS TABLES",
    help="Compare flags too: the group's set, its flags and its calibration (TRUTH of --independent).",
)
@json_option
@told_plainly
def compare(
    truth: Path, folder: Path, sigma: float, rows: int, flags: tuple[Path, Path, Path] | None, as_json: bool
) -> None:
    """Compare the image in FOLDER with the simulator's TRUTH."""
    from contimg_assets.radio.corrections.applied import Calibration
    from contimg_assets.radio.images.planes import image_name, plane_file
    from contimg_assets.simulation.comparison import BINS, by_signal_to_noise, detections, summary
    from contimg_assets.simulation.comparison import compare as run
    from contimg_assets.simulation.flag_comparison import compare_flags

    stem = image_name(folder)
    image, power, noise = (plane_file(folder, stem, kind) for kind in ("image", "pb", "noise"))
    every = run(truth, image, power, noise, min(sigma, BINS[0]))
    matches = [m for m in every if m.signal_to_noise >= sigma]
    totals: dict[str, Any] = summary(matches)
    bins, listed = by_signal_to_noise(every), detections(truth, folder)
    flagged = compare_flags(truth, flags[0], Calibration(flags=flags[1], tables=flags[2])) if flags else None
    if as_json:
        told = {"bins": [asdict(b) for b in bins], "detections": asdict(listed)}
        if flagged:
            told["flags"] = asdict(flagged)
        click.echo(json.dumps({"summary": totals, **told, "sources": [asdict(m) for m in matches]}))
        return
    table = Table(title=f"Sources over {sigma:g}σ: truth and image")
    for column in ("source", "true, mJy", "measured, mJy", "ratio", "position error, ″", "S/N"):
        table.add_column(column, justify="right")
    for m in matches[:rows]:
        table.add_row(
            m.name,
            f"{1e3 * m.true_jy:.1f}",
            f"{1e3 * m.measured_jy:.1f}",
            f"{m.ratio:.3f}",
            f"{m.offset_arcsec:.2f}",
            f"{m.signal_to_noise:.0f}",
        )
    console = Console(width=100)
    console.print(table)
    console.print("  ".join(f"{name} {value:.4g}" for name, value in totals.items()))
    console.print(_by_bins(bins, listed))
    console.print(f"listed over 5σ: {listed.n_listed}, of them with no true source: {listed.n_false}")
    if flagged:
        _tell_flags(console, flagged)


def _tell_flags(console: Console, flagged: "FlagComparison") -> None:
    """What is flagged of what is bad, and of what is not."""
    table = Table(title="Bad spans of antennas")
    for column in ("antenna", "feed", "what", "integrations", "flagged"):
        table.add_column(column, justify="right")
    for s in flagged.spans:
        table.add_row(s.antenna, s.feed, s.kind, f"{s.first} – {s.last}", f"{s.flagged:.1%}")
    console.print(table)
    found = f"{flagged.n_found} of {len(flagged.spans)} spans found"
    console.print(
        f"of samples of bad spans {flagged.bad_flagged:.2%} are flagged ({found}), "
        f"of samples with interference {flagged.interference_flagged:.2%}, "
        f"of good ones {flagged.good_flagged:.3%} ({flagged.good_flagged_by_antenna:.3%} with whole antennas)"
    )


def _by_bins(bins: "Sequence[Bin]", listed: "Detections") -> Table:
    """Flux ratios and completeness by signal-to-noise ratio."""
    found = {low: (n, part) for low, _, n, part in listed.completeness}
    table = Table(title="By true S/N")
    for column in ("S/N", "measured", "median ratio", "scatter", "in the list"):
        table.add_column(column, justify="right")
    for b in bins:
        n, part = found.get(b.low, (0, float("nan")))
        table.add_row(
            f"{b.low:g} – {b.high:g}",
            f"{b.n_sources}",
            f"{b.median:.3f} ± {b.error:.3f}",
            f"{b.scatter:.3f}",
            f"{part:.1%} of {n}",
        )
    return table


commands: list[click.Command] = [simulate, compare]
