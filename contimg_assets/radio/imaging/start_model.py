"""The known sky as CLEAN's start: catalogue sources through the drifting beam.

Belongs here: which sources of a catalogue a group should show, how bright each
appears on the average over the group and where, and those that lie outside the
image.  Does not belong here: catalogues themselves (``catalogues/``), or what an
engine makes of a start model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import phasing
from contimg_assets.radio.catalogues.options import CatalogueOptions
from contimg_assets.radio.catalogues.store import Catalogue, as_sources, cone
from contimg_assets.radio.images.components import Points
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.imaging.beam_image import power_towards
from contimg_assets.radio.imaging.weights import Weights
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.sky import Source

#: Where the mean beam is below this, a catalogue does not tell how bright a source appears.
_LEAST_BEAM = 0.1
#: Beyond the image, sources are looked for within this of its centre, deg, from this flux density on, Jy:
#: the beam's sidelobes are 0.02 at the most.
_OUTLIER_DEG, _OUTLIER_JY = 10.0, 0.5


def known_sky(folder: Path, options: CatalogueOptions, shape: GroupShape, field_deg: float) -> list[Source]:
    """Sources of the chosen catalogue in and around a group's image; none if it is not installed.

    Parameters
    ----------
    folder : Path
        Of the catalogues.
    options : CatalogueOptions
    shape : GroupShape
    field_deg : float
        Width of the image.
    """
    survey = options.comparison
    if not (folder / f"{survey}.json").is_file():
        return []
    ra, dec = np.rad2deg(shape.centre)
    inner = field_deg * np.sqrt(0.5)
    near = cone(folder, ra, dec, inner, survey=survey)
    distant = cone(folder, ra, dec, max(inner, _OUTLIER_DEG), survey=survey, minimum_jy=_OUTLIER_JY)
    rows = np.concatenate([near, distant[~np.isin(distant["name"], near["name"])]])
    return as_sources(rows, Catalogue(folder, survey).survey.frequency_hz, options.typical_spectral_index)


@dataclass(frozen=True)
class ApparentSources:
    """Sources of a catalogue as a group's image shows them: apparent flux densities."""

    names: tuple[str, ...]
    l: NDArray[np.float64]
    """Direction cosines from the phase centre, shape (n,)."""
    m: NDArray[np.float64]
    flux: NDArray[np.float32]
    """Apparent flux densities, the mean over the group under its imaging weights, Jy."""
    power: NDArray[np.float64]
    """Apparent over true flux density."""

    @classmethod
    def none(cls) -> "ApparentSources":
        """No source."""
        return cls((), np.zeros(0), np.zeros(0), np.zeros(0, np.float32), np.zeros(0))

    def __len__(self) -> int:
        return len(self.l)

    @property
    def points(self) -> Points:
        """Their l, m and flux densities."""
        return self.l, self.m, self.flux

    def where(self, chosen: NDArray[np.bool_]) -> "ApparentSources":
        """Some of them."""
        names = tuple(name for name, c in zip(self.names, chosen, strict=True) if c)
        return ApparentSources(names, self.l[chosen], self.m[chosen], self.flux[chosen], self.power[chosen])

    def as_list(self) -> list[dict[str, Any]]:
        """Name, apparent flux density and distance of each, the brightest first."""
        return [
            {
                "name": self.names[i],
                "apparent_jy": float(self.flux[i]),
                "distance_deg": float(np.rad2deg(np.arcsin(np.hypot(self.l[i], self.m[i])))),
            }
            for i in np.argsort(-self.flux)
        ]


def apparent_sources(shape: GroupShape, weights: Weights, sources: Sequence[Source]) -> ApparentSources:
    """Where sources appear in a group's image, and how bright through the drifting beam.

    Parameters
    ----------
    shape : GroupShape
    weights : Weights
        Imaging weights of the group.
    sources : sequence of Source
        Those below the plane of the image are left out.
    """
    if not sources:
        return ApparentSources.none()
    positions = np.deg2rad([[s.ra_deg, s.dec_deg] for s in sources]).reshape(-1, 2)
    middle = shape.times_jd[[shape.n_times // 2]]
    # In the frame of u, v and w a source stays where it is.
    axes = phasing.uvw_axes(middle, *shape.centre)[0]
    local = phasing.apparent_vectors(middle, *positions.T)[0] @ axes.T
    frequencies, by = weights.bin_frequencies_hz, weights.by_time_frequency
    power = power_towards(shape, local, frequencies)
    flux = np.array([s.flux(frequencies) for s in sources]).reshape(-1, len(frequencies))
    apparent = np.einsum("tsf,sf,tf->s", power, flux, by) / by.sum()
    true = flux @ by.sum(axis=0) / by.sum()
    all_of_them = ApparentSources(
        tuple(s.name for s in sources), local[:, 0], local[:, 1], apparent.astype(np.float32), apparent / true
    )
    return all_of_them.where(local[:, 2] > 0)


def start_model(
    sources: ApparentSources, grid: ImageGrid, least_jy: float, *, measured: bool = False
) -> ApparentSources:
    """What CLEAN can start from: bright enough, in the image, and where the beam tells how bright.

    Where flux densities are measured all the same (``bright_points.py``), the beam need not tell.
    """
    chosen = grid.contains(sources.l, sources.m) & (measured | (sources.power >= _LEAST_BEAM))
    return sources.where(chosen & (sources.flux >= least_jy))


def outlier_sources(sources: ApparentSources, grid: ImageGrid, least_jy: float) -> ApparentSources:
    """What is not in the image and yet may show in it, by its sidelobes."""
    return sources.where(~grid.contains(sources.l, sources.m) & (sources.flux >= least_jy))
