"""What every imaging engine hands back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.imaging.fits import RestoringBeam


@dataclass(frozen=True)
class EngineImages:
    """Images of one deconvolution; pixels [north, −east], Jy/beam (model: Jy/pixel)."""

    image: NDArray[np.float32]
    residual: NDArray[np.float32]
    model: NDArray[np.float32]
    psf: NDArray[np.float32]
    mask: NDArray[np.bool_]
    """Where CLEAN was allowed to look."""
    beam: RestoringBeam
    n_iterations: int
    n_major_cycles: int
