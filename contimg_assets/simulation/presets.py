"""How large a simulated observation is, and what is wrong with it."""

from dataclasses import dataclass, field

import numpy as np

from contimg_assets.radio import telescope

#: Stations of the small presets: both arms, and of the outriggers only the two
#: nearest, since a longer baseline wants more pixels, not more seconds of sky.
_TINY_STATIONS = (
    *(1, 2, 4, 8, 13, 18, 24, 26, 30, 36, 43, 47, 51),
    *(69, 72, 76, 81, 86, 91, 96, 99, 102, 103, 104),
)
_DEMO_STATIONS = tuple(
    s
    for s in range(1, 117)
    if s not in telescope.INACTIVE_STATIONS and ((s <= 104 and s % 2 == 1) or s in (2, 50, 68, 102, 104))
)


@dataclass(frozen=True)
class Preset:
    """Size of an observation group."""

    stations: tuple[int, ...]
    """Station numbers (1-based) that are correlated."""
    n_integrations: int
    n_channels: int
    """Channels a subband."""

    @property
    def antennas(self) -> np.ndarray:
        """Zero-based antenna numbers."""
        return np.array(self.stations) - 1


PRESETS = {
    "tiny": Preset(_TINY_STATIONS, 6, 4),
    "demo": Preset(_DEMO_STATIONS, 12, 8),
    "full": Preset(
        tuple(int(a) + 1 for a in telescope.stations().active),
        telescope.N_INTEGRATIONS,
        telescope.SUBBAND_CHANNELS,
    ),
}


@dataclass(frozen=True)
class Corruption:
    """What is wrong with an observation; the default is a plausible bad day."""

    gains: bool = True
    """Per-antenna complex gain, delay, bandpass ripple and slow drift."""
    noise: bool = True
    """Thermal noise from the SEFD."""
    rfi: bool = True
    """Narrow-band, broad-band, single-sample and local interference."""
    dead_antennas: tuple[str, ...] = ()
    """Names of antennas that correlate with nothing but still show noise."""
    zero_antennas: tuple[str, ...] = ()
    """Names of antennas whose data are exactly zero."""
    missing_subbands: tuple[int, ...] = ()
    """Subbands whose file does not exist."""
    truncated_subbands: tuple[int, ...] = ()
    """Subbands whose file is cut off in the middle."""
    delay_sigma_ns: float = field(default=1.0)
    """Scatter of the residual delays, ns (1 ns turns 68° over the band)."""


#: Nothing wrong at all: the sky through the beam, and no noise.
PERFECT = Corruption(gains=False, noise=False, rfi=False)
#: The sky through the beam with thermal noise only.
UNCORRUPTED = Corruption(gains=False, noise=True, rfi=False)
