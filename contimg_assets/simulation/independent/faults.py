"""Antennas and feeds that are bad for a time: which, and what they then do."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg_assets.simulation.independent.options import Fault, FaultOptions

_DEAF, _NOISY = 0.2, 3.0


@dataclass(frozen=True)
class State:
    """All antennas in one subband; arrays of shape (n_integrations, n_antennas, 2)."""

    signal: NDArray[np.float64]
    """Factor of the sky's voltage."""
    gain: NDArray[np.complex128]
    """Factor of signal and noise."""
    noise: NDArray[np.float64]
    """Factor of the noise's voltage."""
    zero: NDArray[np.bool_]
    swapped: NDArray[np.bool_]
    """X and Y are exchanged, shape (n_integrations, n_antennas)."""


def draw_faults(
    options: FaultOptions, names: list[str], n_integrations: int, rng: np.random.Generator
) -> list[Fault]:
    """The bad spans of a group, each antenna in one at most, then the explicit ones.

    Raises
    ------
    ValueError
        If there are fewer antennas than faults, or an explicit one's is not there.
    """
    strangers = {f.antenna for f in options.explicit} - set(names)
    if strangers:
        raise ValueError(f"no antenna is named {', '.join(sorted(strangers))}")
    wanted = list(_wanted(options, n_integrations, rng))
    healthy = [n for n in names if n not in {f.antenna for f in options.explicit}]
    if len(wanted) > len(healthy):
        raise ValueError(f"{len(wanted)} faults, but {len(healthy)} antennas")
    chosen = rng.permutation(healthy)[: len(wanted)]
    faults = [Fault(antenna=str(name), **fields) for name, fields in zip(chosen, wanted, strict=True)]
    last = n_integrations - 1
    return [
        f.model_copy(update={"last": last if f.last < 0 else f.last}) for f in (*faults, *options.explicit)
    ]


def _wanted(options: FaultOptions, n: int, rng: np.random.Generator) -> Iterator[dict]:
    """Kind and span of each fault."""

    def middle() -> int:
        return int(rng.integers(max(1, n // 3), max(2, 2 * n // 3)))

    for _ in range(options.n_dead):
        yield {"kind": "dead"}
    for _ in range(options.n_died):
        yield {"kind": "dead", "first": middle()}
    for _ in range(options.n_revived):
        yield {"kind": "dead", "last": middle() - 1}
    for _ in range(options.n_dropped):
        first = int(rng.integers(0, n - n // 4))
        yield {"kind": "zero", "first": first, "last": first + max(1, n // 4) - 1}
    for _ in range(options.n_jumped):
        jump = {"amplitude": options.jump_amplitude, "phase_deg": options.jump_phase_deg}
        yield {"kind": "jump", "first": middle(), **jump}
    for _ in range(options.n_deaf):
        yield {"kind": "deaf", "amplitude": _DEAF}
    for _ in range(options.n_noisy):
        first = int(rng.integers(0, n - n // 3))
        yield {"kind": "noisy", "first": first, "last": first + max(1, n // 3) - 1, "amplitude": _NOISY}
    for _ in range(options.n_dead_feeds):
        yield {"kind": "dead", "feed": str(rng.choice(["X", "Y"]))}
    for _ in range(options.n_swapped):
        yield {"kind": "swapped"}


def state(faults: list[Fault], names: list[str], n_integrations: int, subband: int) -> State:
    """What all faults together do in one subband."""
    shape = (n_integrations, len(names), 2)
    found = State(
        np.ones(shape),
        np.ones(shape, complex),
        np.ones(shape),
        np.zeros(shape, bool),
        np.zeros(shape[:2], bool),
    )
    for fault in faults:
        if fault.subbands is not None and subband not in fault.subbands:
            continue
        feeds = {"X": slice(0, 1), "Y": slice(1, 2), "both": slice(0, 2)}[fault.feed]
        where = (slice(fault.first, fault.last + 1), names.index(fault.antenna), feeds)
        if fault.kind == "dead":
            found.signal[where] = 0.0
        elif fault.kind == "zero":
            found.zero[where] = True
        elif fault.kind == "deaf":
            found.signal[where] *= fault.amplitude
        elif fault.kind == "jump":
            found.gain[where] *= fault.amplitude * np.exp(1j * np.deg2rad(fault.phase_deg))
        elif fault.kind == "noisy":
            found.noise[where] *= fault.amplitude
        else:
            found.swapped[where[:2]] = True
    return found
