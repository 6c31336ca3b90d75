"""Writing the planes of a new image beside the work that goes on with them.

Belongs here: which planes are written compressed, and that all are there, with their hashes, before an image
counts as complete.  Does not belong here: how a plane is written (``fits.py``, ``compression.py``), or what
the planes are (``imaging/planes.py``).
"""

from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np
from astropy.io.fits import Header
from numpy.typing import NDArray

from contimg_assets.radio.files import file_sha256
from contimg_assets.radio.images.compression import Loss, add_losses, write_compressed
from contimg_assets.radio.images.fits import Quantity, write_image

#: Planes that people and their scripts open: whole until the image is old.
OPENED = ("image", "pbcor", "pb", "residual")
#: Threads by which planes are written: swapping bytes and hashes, or compressing, take as long as writing.
WRITERS = 2


class PlaneWriter:
    """Writes planes by threads; nobody may change their pixels until all are written.

    Parameters
    ----------
    folder : Path
    name : str
        Stem of the files' names.
    header : Header
        That all planes share.
    noise_jy : float or None
        Noise of the residual, Jy/beam, by which the planes that are not :data:`OPENED` are compressed;
        None: all are written whole.
    pool : Executor
        Of the threads.
    """

    def __init__(
        self, folder: Path, name: str, header: Header, noise_jy: float | None, pool: Executor
    ) -> None:
        self.folder, self.name, self.header, self.noise_jy = folder, name, header, noise_jy
        self._pool = pool
        self._coming: list[Future[tuple[Path, str, Loss | None]]] = []

    def write(
        self,
        plane: str,
        pixels: NDArray[np.float32] | NDArray[np.bool_],
        unit: str = "Jy/beam",
        quantity: Quantity = "Intensity",
    ) -> None:
        """Begin to write a plane."""
        self._coming.append(self._pool.submit(self._written, plane, pixels, unit, quantity))

    def finish(self) -> dict[Path, str]:
        """Wait until all are there, and say beside them what compressing has lost.

        Returns
        -------
        dict
            SHA-256 of each file.

        Raises
        ------
        OSError
            If one could not be written.
        """
        done = [coming.result() for coming in self._coming]
        if self.noise_jy is not None:
            add_losses(self.folder, self.noise_jy, [loss for _, _, loss in done if loss is not None])
        return {path: sha256 for path, sha256, _ in done}

    def _written(
        self, plane: str, pixels: NDArray[np.float32] | NDArray[np.bool_], unit: str, quantity: Quantity
    ) -> tuple[Path, str, Loss | None]:
        if self.noise_jy is None or plane in OPENED:
            path, loss = self.folder / f"{self.name}.{plane}.fits", None
            write_image(path, pixels, self.header, unit, quantity)
        else:
            path, loss = write_compressed(
                self.folder, self.name, plane, pixels, self.header, self.noise_jy, unit, quantity
            )
        return path, file_sha256(path), loss
