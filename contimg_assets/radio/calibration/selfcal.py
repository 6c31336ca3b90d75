"""Self-calibration of a target against the CLEAN model of its own field.

Phases first, over shorter and shorter intervals as far as the model's
signal-to-noise allows, then amplitudes once.  Each round is imaged and kept
only if the measured noise falls; the best is applied, or none.  Amplitude
solutions are normalised, so that the flux scale stays that of the calibrator.

Belongs here: the rounds and what stops them.  Does not belong here: imaging
(``radio/imaging``), solving on a calibrator (``solve.py``).
"""

import json
import logging
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from contimg_assets.radio import casa, telescope
from contimg_assets.radio.calibration.gains import Gains, no_gains, read_gains
from contimg_assets.radio.calibration.reference import choose_reference
from contimg_assets.radio.errors import CalibrationError
from contimg_assets.radio.files import clone_tree, tree_sha256
from contimg_assets.radio.images.noise import robust_rms
from contimg_assets.radio.imaging.image import make_image
from contimg_assets.radio.imaging.model_data import predict_integration, read_components
from contimg_assets.radio.imaging.options import ImagingOptions
from contimg_assets.radio.measurement_set import add_data_column, read_column, read_shape, write_column

_LOG = logging.getLogger(__name__)
#: Least signal-to-noise ratio that the model promises for the median antenna and
#: interval: 5 is a phase error of 11 deg, 20 an amplitude error of 5 %.
_PHASE_SNR, _AMPLITUDE_SNR = 5.0, 20.0
#: A round is kept if it lowers the noise by this part without losing dynamic range, …
_PROGRESS = 0.01
#: … or raises the dynamic range by that while the noise falls by this much.
_LEAST_FALL = 0.003
#: Two rounds in a row that do neither are convergence (one, at the shortest interval);
#: one that raises the noise by this much is divergence.
_DIVERGENCE = 0.02
_PATIENCE = 2
_MOST_ROUNDS = 10
#: More failed solutions than this part and the round is not tried on the image.
_MOST_FAILED = 0.2
#: A round with amplitudes that moves the flux scale by more than this is refused.
_FLUX_TOLERANCE = 0.02
#: An antenna takes part in at least this many baselines of a solution.
_MIN_BASELINES = 4
#: Channels averaged into one for solving, at most: gains are the same over the band, and
#: what this smears is smeared in the model too.
_MOST_AVERAGED = 8
SIDECAR = "selfcal.json"


@dataclass(frozen=True)
class _State:
    """The field with one set of gains, as it was imaged."""

    gains: Gains | None
    folder: Path
    """With the FITS images ``field.*.fits``."""
    tables: tuple[Path, ...] = ()

    def plane(self, kind: str) -> NDArray[np.float32]:
        return np.asarray(fits.getdata(self.folder / f"field.{kind}.fits"), np.float32)[0, 0]

    @cached_property
    def rms(self) -> float:
        """Noise, Jy/beam."""
        return robust_rms(self.plane("residual"))

    @cached_property
    def dynamic_range(self) -> float:
        """Peak over noise."""
        return float(self.plane("image").max() / self.rms)


class _Field:
    """A target: how it is imaged with gains, and how gains are solved for on it."""

    def __init__(
        self, ms: Path, target: Path, work: Path, choices: ImagingOptions, threads: int, minimum_snr: float
    ) -> None:
        self.work, self.choices, self.threads, self.minimum_snr = work, choices, threads, minimum_snr
        self.shape, self.target = read_shape(ms), read_shape(target)
        flags = read_column(self.shape, "FLAG").astype(bool)
        self.reference = choose_reference(self.shape, flags[:, self.shape.cross].mean(axis=(0, 2, 3)))
        self.factor = max(n for n in range(1, _MOST_AVERAGED + 1) if self.shape.n_channels % n == 0)
        hands = [0, self.shape.n_polarisations - 1]
        good = ~flags[:, self.shape.cross][..., hands]
        #: Samples in each averaged visibility, mean of both hands, shape (n_times, n_cross, n_channels).
        self.counts = good.reshape(*good.shape[:2], -1, self.factor, 2).sum(axis=(-2, -1)) / 2

    def image(self, gains: Gains | None, tables: tuple[Path, ...] = ()) -> _State:
        """Image with gains divided out."""
        if gains is not None:
            gains.divide_out(self.shape, self.target)
        folder = self.work / f"image-{len(list(self.work.glob('image-*')))}"
        make_image(
            self.target.path if gains is not None else self.shape.path,
            folder,
            self.work,
            self.choices,
            name="field",
            provenance=None,
            threads=self.threads,
        )
        return _State(gains, folder, tables)

    def predict(self, state: _State) -> NDArray[np.complex64]:
        """Averaged visibilities of a state's model, shape (n_times, n_cross, n_channels)."""
        components = read_components(state.folder, self.shape)
        model = np.empty(self.counts.shape, np.complex64)
        for t, axes in enumerate(self.shape.axes()):
            seen = predict_integration(self.shape, t, axes, components, self.threads)
            # After prediction, as the data are: what averaging smears is smeared alike in both.
            model[t] = seen.reshape(len(seen), -1, self.factor).mean(axis=-1)
        return model

    def promised_snr(self, model: NDArray[np.complex64]) -> float:
        """Signal-to-noise ratio of the median antenna's gain in one polarisation and integration.

        ``√Σ |M|² n / σ``, summed over the antenna's baselines and channels, ``n``
        the samples averaged and σ the noise of one.
        """
        sigma = telescope.visibility_sigma_jy(self.shape.channel_width_hz, self.shape.integration_s)
        power = np.sum(np.abs(model) ** 2 * self.counts, axis=2) / sigma**2
        by_antenna = np.zeros((len(self.shape.antenna_names), self.shape.n_times))
        for ids in (self.shape.antenna_1, self.shape.antenna_2):
            np.add.at(by_antenna, ids[self.shape.cross], power.T)
        live = by_antenna[by_antenna > 0]
        return float(np.sqrt(np.median(live))) if live.size else 0.0

    def solve(
        self, name: str, mode: str, integrations: int, before: tuple[Path, ...], model: NDArray[np.complex64]
    ) -> Path:
        """Solve with CASA on a small clone; the table's path."""
        casa.load_tools()
        from casatasks import gaincal

        clone = self._clone(model)
        table = self.work / name
        whole = integrations >= self.shape.n_times
        gaincal(
            vis=str(clone),
            caltable=str(table),
            # A tenth of an integration to spare: intervals end where integrations do.
            solint="inf" if whole else f"{(integrations + 0.1) * self.shape.integration_s:.3f}s",
            refant=self.reference,
            minsnr=self.minimum_snr,
            minblperant=_MIN_BASELINES,
            gaintype="G",
            calmode=mode,
            solnorm=mode == "ap",
            gaintable=[str(path) for path in before],
            interp=["linear"] * len(before),
            parang=False,
        )
        if not (table / "table.dat").exists():
            raise CalibrationError(f"{table}: CASA wrote no solutions; expected some, if flagged ones")
        return table

    def _clone(self, model: NDArray[np.complex64]) -> Path:
        """The averaged target as a Measurement Set of its own, with the model."""
        from casatasks import mstransform

        clone = self.work / "averaged.ms"
        if not clone.exists():
            mstransform(
                vis=str(self.shape.path),
                outputvis=str(clone),
                datacolumn="corrected",
                chanaverage=self.factor > 1,
                chanbin=self.factor,
                keepflags=True,
            )
            add_data_column(clone, "MODEL_DATA")
        shape = replace(
            self.shape,
            path=clone,
            frequencies_hz=self.shape.frequencies_hz.reshape(-1, self.factor).mean(axis=1),
        )
        full = np.zeros(shape.data_shape, np.complex64)
        # The first and the last polarisation are XX and YY, which an unpolarised model shares.
        for hand in {0, shape.n_polarisations - 1}:
            full[..., hand][:, shape.cross] = model
        write_column(shape, "MODEL_DATA", full)
        return clone


def self_calibrate(
    ms: Path,
    out: Path,
    work: Path,
    choices: ImagingOptions,
    *,
    threads: int,
    minimum_snr: float,
) -> dict[str, Any]:
    """Self-calibrate a target; its data stay as they are if that does not help.

    Parameters
    ----------
    ms : Path
        Calibrated Measurement Set (CORRECTED_DATA); not touched.
    out : Path
        Folder for a Measurement Set of the same name, the tables kept and
        ``selfcal.json``.
    work : Path
        Folder for clones and tables; the caller removes it.
    choices : ImagingOptions
        As the target will be imaged.
    threads : int
        That gridding may use.
    minimum_snr : float
        Solutions below it are flagged.

    Returns
    -------
    dict
        ``rounds_kept``, noise and dynamic range before and after, every round
        with what became of it, why it ended, and the tables.

    Raises
    ------
    CalibrationError
        If the Measurement Set has not been calibrated.
    """
    from casacore.tables import table

    began = time.monotonic()
    with table(str(ms), ack=False) as main:
        if "CORRECTED_DATA" not in main.colnames():
            raise CalibrationError(f"{ms}: found no CORRECTED_DATA; expected calibrated data")
    out.mkdir(parents=True, exist_ok=True)
    target = out / ms.name
    clone_tree(ms, target)
    field = _Field(ms, target, work, choices, threads, minimum_snr)
    first = field.image(None)
    rounds: list[dict[str, Any]] = []
    best, ended = _phase_rounds(field, first, rounds)
    best, told = _amplitude_round(field, best, rounds)
    # The target has the last round's data, which need not be the best's.
    (best.gains or no_gains(field.shape)).divide_out(field.shape, field.target)
    tables = []
    for kind, path in zip(("GP", "GA"), best.tables, strict=False):
        clone_tree(path, out / path.name)
        tables.append({"type": kind, "file": path.name, "sha256": tree_sha256(out / path.name)})
    kept = [r for r in rounds if r["outcome"] == "kept"]
    report = {
        "rounds_kept": len(kept),
        "ended": f"{ended}; {told}" if told else ended,
        "rms_before_mjy_beam": 1e3 * first.rms,
        "rms_after_mjy_beam": 1e3 * best.rms,
        "dynamic_range_before": first.dynamic_range,
        "dynamic_range_after": best.dynamic_range,
        "flux_ratio": _flux_ratio(first, best),
        "reference_antenna": field.reference,
        "rounds": rounds,
        "tables": tables,
        "wall_seconds": time.monotonic() - began,
    }
    (out / SIDECAR).write_text(json.dumps({"format": 1, **report}, indent=1))
    return report


def _phase_rounds(field: _Field, first: _State, rounds: list[dict[str, Any]]) -> tuple[_State, str]:
    """Phases over shorter and shorter intervals; the best state and why it ended."""
    best, idle = first, 0
    integrations = field.shape.n_times
    while len(rounds) < _MOST_ROUNDS:
        model = field.predict(best)
        promised = field.promised_snr(model) * np.sqrt(integrations)
        if promised < _PHASE_SNR:
            return best, f"the model promises a signal-to-noise ratio of {promised:.1f}, below {_PHASE_SNR:g}"
        outcome, state = _try(field, best, rounds, "p", integrations, (), model, promised)
        if outcome == "kept":
            best, idle = state, 0
        elif outcome == "worse":
            return best, "a round raised the noise"
        else:
            idle += 1
            if idle == _PATIENCE or integrations == 1:
                return best, f"no progress ({outcome})"
        integrations = max(1, integrations // 2)
    return best, f"{_MOST_ROUNDS} rounds were made"


def _amplitude_round(field: _Field, best: _State, rounds: list[dict[str, Any]]) -> tuple[_State, str]:
    """Amplitudes and phases once for the group, on top of the phases, where the model is bright."""
    model = field.predict(best)
    promised = field.promised_snr(model) * np.sqrt(field.shape.n_times)
    if best.gains is None or promised < _AMPLITUDE_SNR:
        return best, ""
    outcome, state = _try(field, best, rounds, "ap", field.shape.n_times, best.tables, model, promised)
    return (state if outcome == "kept" else best), f"amplitudes: {outcome}"


def _try(
    field: _Field,
    best: _State,
    rounds: list[dict[str, Any]],
    mode: str,
    integrations: int,
    before: tuple[Path, ...],
    model: NDArray[np.complex64],
    promised: float,
) -> tuple[str, _State]:
    """One round: solve, image, compare; its outcome is noted in ``rounds``."""
    path = field.solve(f"{mode}{integrations}-{len(rounds)}.cal", mode, integrations, before, model)
    gains = read_gains(path, field.shape)
    entry: dict[str, Any] = {
        "mode": mode,
        "interval_s": integrations * field.shape.integration_s,
        "promised_snr": float(promised),
        "failed_solution_fraction": gains.failed,
    }
    rounds.append(entry)
    if gains.failed > _MOST_FAILED:
        entry["outcome"] = "failed"
        return "failed", best
    if before and best.gains is not None:
        gains = best.gains.times(gains)
    state = field.image(gains, (*before, path))
    ratio = _flux_ratio(best, state)
    entry |= {
        "rms_mjy_beam": 1e3 * state.rms,
        "dynamic_range": state.dynamic_range,
        "flux_ratio": ratio,
    }
    if state.rms > (1 + _DIVERGENCE) * best.rms:
        outcome = "worse"
    elif mode == "ap" and abs(ratio - 1) > _FLUX_TOLERANCE:
        outcome = "moved the flux scale"
    elif _better(state, best):
        outcome = "kept"
    else:
        outcome = "no progress"
    entry["outcome"] = outcome
    _LOG.info("self-calibration: %s", entry)
    return outcome, state


def _better(state: _State, best: _State) -> bool:
    quieter, clearer = 1 - state.rms / best.rms, state.dynamic_range / best.dynamic_range - 1
    return (quieter >= _PROGRESS and clearer >= 0) or (quieter >= _LEAST_FALL and clearer >= _PROGRESS)


def _flux_ratio(before: _State, after: _State) -> float:
    """Flux density of the sources in one image over that in another, weighted by the first's model."""
    weights, image = np.maximum(before.plane("model"), 0), before.plane("image")
    reference = float(np.sum(weights * image, dtype=np.float64))
    return float(np.sum(weights * after.plane("image"), dtype=np.float64) / reference) if reference else 1.0
