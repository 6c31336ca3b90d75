"""Interference: emitters with boxes of time and frequency, and who hears them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg_assets.simulation.independent.instrument import LAST_OF_EAST_WEST, LAST_OF_NORTH_SOUTH
from contimg_assets.simulation.independent.options import InterferenceOptions

#: First and last integration, first and last channel; channels count upwards over the band.
Box = tuple[int, int, int, int]
Who = NDArray[np.bool_]


@dataclass(frozen=True)
class Emitter:
    """One emitter; it has the same voltage in both feeds."""

    kind: str
    boxes: tuple[Box, ...]
    strength_jy: float
    """Correlated flux density where the response is 1."""
    response: NDArray[np.complex128]
    """Voltage of each antenna, shape (n_antennas,); 0 where it is not heard."""

    def truth(self) -> dict[str, object]:
        """Boxes, and the same as the other simulator's truth has it."""
        integrations = sorted({t for b in self.boxes for t in range(b[0], b[1] + 1)})
        channels = sorted({c for b in self.boxes for c in range(b[2], b[3] + 1)})
        return {
            "kind": self.kind,
            "boxes": [list(b) for b in self.boxes],
            "integrations": integrations,
            "channels_ascending": channels,
            "strength_jy": self.strength_jy,
            "antenna_indices": np.flatnonzero(self.response).tolist(),
        }


def cells(emitter: Emitter, integration: int, channels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the channels (counted upwards over the band) it is in during an integration."""
    found = np.zeros(len(channels), bool)
    for first, last, low, high in emitter.boxes:
        if first <= integration <= last:
            found |= (channels >= low) & (channels <= high)
    return found


def draw_emitters(
    options: InterferenceOptions,
    stations: NDArray[np.int64],
    positions_m: NDArray[np.float64],
    n_integrations: int,
    n_channels: int,
    rng: np.random.Generator,
) -> list[Emitter]:
    """The emitters of one group.

    Parameters
    ----------
    options : InterferenceOptions
    stations : ndarray, shape (n_antennas,)
        Station numbers, from 1.
    positions_m : ndarray, shape (n_antennas, 3)
    n_integrations, n_channels : int
        Channels of the whole band.
    rng : numpy.random.Generator
    """
    everyone = np.ones(len(stations), bool)
    narrow = max(1, n_channels // 256)
    found: list[Emitter] = []

    def add(kind: str, boxes: list[Box], who: Who) -> None:
        size = rng.uniform(0.7, 1.3, len(stations)) * np.exp(2j * np.pi * rng.random(len(stations)))
        strength = float(np.exp(rng.uniform(np.log(options.weakest_jy), np.log(options.strongest_jy))))
        found.append(Emitter(kind, tuple(boxes), strength, np.where(who, size, 0.0)))

    def channel(width: int) -> tuple[int, int]:
        low = int(rng.integers(0, n_channels - width + 1))
        return low, low + width - 1

    last = n_integrations - 1
    for _ in range(options.n_carriers):
        add("carrier", [(0, last, *channel(narrow))], everyone)
    for _ in range(options.n_local):
        add("local", [(0, last, *channel(2 * narrow))], _neighbours(positions_m, rng))
    for _ in range(options.n_arm):
        first = int(rng.integers(0, n_integrations - n_integrations // 2))
        add("arm", [(first, first + n_integrations // 2 - 1, *channel(2 * narrow))], _arm(stations, rng))
    for _ in range(options.n_drifting):
        add("drifting", _drift(n_integrations, n_channels, narrow, rng), everyone)
    for _ in range(options.n_bursts):
        moment = int(rng.integers(0, n_integrations))
        width = int(rng.integers(n_channels // 3, n_channels + 1))
        add("burst", [(moment, moment, *channel(width))], everyone)
    for _ in range(options.n_sparks):
        moment = int(rng.integers(0, n_integrations))
        add("spark", [(moment, moment, *channel(1))], everyone)
    return found


def _neighbours(positions_m: NDArray[np.float64], rng: np.random.Generator) -> Who:
    """Three to six antennas next to one another."""
    away = np.linalg.norm(positions_m - positions_m[rng.integers(len(positions_m))], axis=1)
    who = np.zeros(len(positions_m), bool)
    who[np.argsort(away)[: rng.integers(3, 7)]] = True
    return who


def _arm(stations: NDArray[np.int64], rng: np.random.Generator) -> Who:
    """The east–west or the north–south arm."""
    east_west = stations <= LAST_OF_EAST_WEST
    return east_west if rng.random() < 0.5 else ~east_west & (stations <= LAST_OF_NORTH_SOUTH)


def _drift(n_integrations: int, n_channels: int, width: int, rng: np.random.Generator) -> list[Box]:
    """One box an integration, over an eighth of the band in all."""
    reach = n_channels // 8
    start = int(rng.integers(0, n_channels - reach - width + 1))
    step = reach / max(1, n_integrations - 1)
    lows = [start + round(step * t) for t in range(n_integrations)]
    if rng.random() < 0.5:
        lows.reverse()
    return [(t, t, low, low + width - 1) for t, low in enumerate(lows)]
