"""Stages that make small files in place of CASA's, so that the Dagster layer is tested by itself."""

import json
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
from dagster import AssetExecutionContext, Failure

from contimg_assets.cli.stages import commands as stage_commands
from contimg_assets.radio import telescope
from contimg_assets.radio.files import tree_sha256
from contimg_assets.radio.group_key import KEY_FORMAT
from contimg_assets.radio.limits import Judgement, Limit, Status
from contimg_assets.resources.stage_runner import StageRunner
from contimg_assets.settings import get_settings
from contimg_assets.station.products import Registration, StationRecords

BAND_HZ = (1311.387e6, 1498.643e6)
ANTENNAS = ["5", "13", "31", "102"]
TARGET, CALIBRATOR = "2026-01-15T03:00:00", "2026-01-15T05:00:00"
MJD = {TARGET: 61055.1268, CALIBRATOR: 61055.2101}
GOOD: dict[str, dict[str, float]] = {
    "qa ms": {
        "flagged_fraction": 0.0,
        "zero_fraction": 0.0,
        "not_finite_fraction": 0.0,
        "uvw_error_mm": 0.1,
        "baseline_length_error_mm": 0.0,
        "channel_step_error_khz": 0.0,
        "time_step_error_s": 0.0,
        "centre_offset_arcsec": 0.0,
        "n_dead_antennas": 2,
        "n_dark_subbands": 0,
    },
    "qa calibration": {
        "failed_solution_fraction": 0.0,
        "gain_amplitude_scatter": 0.01,
        "phase_scatter_deg": 2.0,
        "chi_squared_excess": 0.01,
        "closure_phase_deg": 1.0,
    },
    "qa image": {
        "finite_fraction": 1.0,
        "rms_ratio": 1.1,
        "rms_deficit": 0.9,
        "flag_fraction": 0.1,
        "dynamic_range": 200.0,
        "beam_major_arcsec": 53.0,
    },
}


def registration(key: str, folder: Path, **changes: Any) -> Registration:
    """What the station database would be told of a complete group."""
    values: dict[str, Any] = {
        "key": key,
        "files": {k: folder / f"{key}_sb{k:02d}.hdf5" for k in range(16)},
        "missing_subbands": [],
        "declination_deg": 54.57,
        "mid_mjd": MJD.get(key, 61055.0),
        "duration_s": 309.24,
        "antennas": ANTENNAS,
    }
    return Registration(**(values | changes))


def record_verdict(
    records: StationRecords,
    key: str,
    product: str,
    check: str,
    *,
    status: str,
    value: float | None,
    soft: float,
    hard: float,
    limits_version: str,
    version_id: int | None = None,
) -> None:
    """Enter what one check said, whatever the limits are."""
    limit = Limit(soft, hard, "above", "a test")
    said = Judgement(check, cast(Status, status), value, limit, limits_version)
    records.record_verdicts(key, product, [said], version_id=version_id)


def mid_mjd_of(key: str) -> float:
    """Middle of a group of 24 integrations that begins at its key."""
    begin = datetime.strptime(key, KEY_FORMAT) - datetime(1858, 11, 17)
    return (begin + timedelta(seconds=12 * telescope.INTEGRATION_S)) / timedelta(days=1)


def solutions(key: str, **changes: Any) -> dict[str, Any]:
    """What a solver reports, without tables."""
    values: dict[str, Any] = {
        "calibrator": "J0834+555",
        "calibrator_apparent_jy": 6.3,
        "flux_model": {"flux_jy": 8.3},
        "flux_source": "a test",
        "refant": "31",
        "group": key,
        "mid_mjd": mid_mjd_of(key),
        "declination_deg": 54.57,
        "centre_ra_deg": 128.7,
        "centre_dec_deg": 54.5,
        "antennas": ANTENNAS,
        "channel_low_hz": BAND_HZ[0],
        "channel_high_hz": BAND_HZ[1],
        "tables": [],
        "parameters": {"minimum_snr": 3.0},
        "software": {"casatasks": "6.7"},
        "input_sha256": "0" * 64,
        "quality": {"median_snr": 40.0},
    }
    return values | changes


def write_tables(folder: Path, content: str = "solutions") -> list[dict[str, Any]]:
    """Write three tables; their entries in ``solutions.json``."""
    tables = []
    for kind, order, name in (("K", 10, "K.cal"), ("BA", 20, "B.cal"), ("GA", 40, "G.cal")):
        (folder / name).mkdir(parents=True)
        (folder / name / "table.dat").write_text(f"{kind} {content}")
        digest = tree_sha256(folder / name)
        tables.append({"type": kind, "order": order, "file": name, "sha256": digest})
    return tables


def parsed(stage: Sequence[str], arguments: Sequence[str | Path]) -> dict[str, Any]:
    """What the real command makes of its arguments; one that it does not take is an error."""
    if stage[0] == "convert":
        # Groups are entered without files, which the stage wants to be there.
        for path in map(Path, arguments[:-1]):
            if not path.exists():
                path.touch()
    command = next(command for command in stage_commands if command.name == stage[0])
    typed = [*stage[1:], *map(str, arguments), "--json"]
    return command.make_context(stage[0], typed).params


class FakeStages(StageRunner):
    """Makes what each stage would, and notes the calls in ``home/calls.jsonl``.

    The arguments are parsed by the real commands.
    """

    fail: dict[str, str] = {}  # noqa: RUF012
    """Message with which a stage refuses, by its name."""
    crash: dict[str, int] = {}  # noqa: RUF012
    """How often a stage crashes before it works."""
    numbers: dict[str, dict[str, float]] = {}  # noqa: RUF012
    """Numbers of quality stages in place of good ones."""

    def run(
        self, context: AssetExecutionContext, stage: Sequence[str], *arguments: str | Path
    ) -> dict[str, Any]:
        """Make the stage's files."""
        name, key = " ".join(stage), context.partition_key
        told = parsed(stage, arguments)
        earlier = calls()
        with (get_settings().home / "calls.jsonl").open("a") as handle:
            call = {"stage": name, "key": key, "arguments": [*map(str, arguments)], "parameters": told}
            handle.write(json.dumps(call, default=str) + "\n")
        if name in self.fail:
            raise Failure(description=self.fail[name], allow_retries=False)
        if sum(call["stage"] == name for call in earlier) < self.crash.get(name, 0):
            raise Failure(f"contimg {name} crashed with exit code 1")
        return self._make(name, key, told)

    def _make(self, name: str, key: str, told: dict[str, Any]) -> dict[str, Any]:
        output: Path | None = told["out"]
        if output is None:
            return {"n_antennas_without_solutions": 0, "bad_antenna_fraction": 0.0}
        if name in ("convert", "apply"):
            output.mkdir()
            (output / "table.dat").write_text(f"{name} {key}")
            return {
                "group": key,
                "channel_low_hz": BAND_HZ[0],
                "channel_high_hz": BAND_HZ[1],
                "flag_fraction": 0.1,
                "rows": [1, 2],
            }
        output.mkdir(parents=True)
        (output / "thumbnail.png").write_bytes(b"\x89PNG")
        if name == "solve":
            return solutions(key, tables=write_tables(output, f"of {len(calls())}"))
        if name == "selfcal":
            (output / told["ms"].name).mkdir()
            return {"rounds_kept": 1, "tables": [], **self.numbers.get(name, {})}
        if name == "image":
            for ending in ("image", "pbcor", "pb"):
                (output / f"{told['name']}.{ending}.fits").write_text("SIMPLE")
            return {"rms_mjy_beam": 0.3, "name": told["name"], "not_a_number": float("nan")}
        if name == "photometry":
            return {"n_measured": 12, "chi_squared_median": 1.0, **self.numbers.get(name, {})}
        if name.startswith("qa"):
            (output / "report.html").write_text("<html></html>")
            return {**GOOD[name], **self.numbers.get(name, {})}
        return {"flag_fraction": 0.05, "dead_antennas": ["5"], "n_dead_antennas": 1}


def calls() -> list[dict[str, Any]]:
    """The stages that were run in this home, in order."""
    log = get_settings().home / "calls.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []


class Scan:
    """A calibrator found in a beam."""

    name = "J0834+555"
    apparent_jy = 7.9
    separation_deg = 1.0


def only_one_calibrator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the calibrator be in the beam of the group ``CALIBRATOR`` only."""
    module = ModuleType("contimg_assets.radio.calibration.calibrators")

    def find_calibrator(_declination_deg: float, mid_mjd: float, _settings: Any) -> Scan | None:
        return Scan() if abs(mid_mjd - MJD[CALIBRATOR]) < 0.01 else None

    module.find_calibrator = find_calibrator  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
