"""What the correlator and the writer can get wrong in a subband, after everything else."""

import numpy as np
from numpy.typing import NDArray

from contimg_assets.simulation.independent.instrument import N_SUBBANDS, SAMPLES
from contimg_assets.simulation.independent.options import Glitch, GlitchOptions

#: Saturated correlations are clipped at this many noises.
_CLIP = 2.0


def draw_glitches(options: GlitchOptions, n_integrations: int, rng: np.random.Generator) -> list[Glitch]:
    """The glitches of a group, one a subband, then NaN at the end and the explicit ones.

    Raises
    ------
    ValueError
        If there are more than subbands.
    """
    n = n_integrations
    spans: list[tuple[str, int, int]] = []
    for _ in range(options.n_shifted):
        spans.append(("shifted", 0, n - 1))
    for kind, number, length in (
        ("zeroed", options.n_zeroed, 2),
        ("stuck", options.n_stuck, max(2, n // 4)),
        ("saturated", options.n_saturated, 2),
        ("partial", options.n_partial, 1),
    ):
        for _ in range(number):
            first = int(rng.integers(0, n - length + 1))
            spans.append((kind, first, first + length - 1))
    there = [k for k in range(N_SUBBANDS) if k not in options.missing_subbands]
    if len(spans) > len(there):
        raise ValueError(f"{len(spans)} glitches, but {len(there)} subbands")
    chosen = rng.permutation(there)[: len(spans)]
    found = [
        Glitch.model_validate({"kind": kind, "subband": int(k), "first": first, "last": last})
        for (kind, first, last), k in zip(spans, chosen, strict=True)
    ]
    if options.nan_integrations:
        first = n - options.nan_integrations
        found += [Glitch(kind="nan", subband=k, first=first, last=n - 1) for k in there]
    return found + [g.model_copy(update={"last": n - 1 if g.last < 0 else g.last}) for g in options.explicit]


def apply_glitches(
    visibilities: NDArray[np.complex64],
    samples: NDArray[np.float32],
    glitches: list[Glitch],
    cross: NDArray[np.bool_],
    extra_noise: NDArray[np.complex64] | None,
) -> None:
    """Spoil one subband, in place.

    Parameters
    ----------
    visibilities : ndarray, shape (n_integrations, n_baselines, n_channels, 2)
        Correlator units.
    samples : ndarray, shape (n_integrations,)
        Correlator samples of each integration.
    glitches : list of Glitch
        Of this subband.
    cross : ndarray, shape (n_baselines,)
        Which baselines are no autocorrelations.
    extra_noise : ndarray or None
        Noise like the visibilities' own, for integrations of which half the samples are there.
    """
    for glitch in glitches:
        span = slice(glitch.first, glitch.last + 1)
        if glitch.kind == "shifted":
            visibilities[1:] = visibilities[:-1].copy()
        elif glitch.kind == "zeroed":
            visibilities[span] = 0
        elif glitch.kind == "stuck":
            visibilities[span] = visibilities[glitch.first]
        elif glitch.kind == "nan":
            visibilities[span] = np.nan
            samples[span] = 0
        elif glitch.kind == "partial":
            samples[span] = SAMPLES / 2
            if extra_noise is not None:
                visibilities[span] += extra_noise[span]
        else:
            part = visibilities[span][:, cross]
            level = _CLIP * np.median(np.abs(part.real)) / 0.6745
            clipped = np.clip(part.real, -level, level) + 1j * np.clip(part.imag, -level, level)
            visibilities[span, cross] = clipped
