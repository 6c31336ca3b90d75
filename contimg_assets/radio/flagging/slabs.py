"""A group's data by slabs of baselines, each with all of its integrations and channels."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.prefetch import prefetch

#: Visibilities of a slab, bytes.
_SLAB_BYTES = 64 * 2**20


#: Which baselines, their data and their flags.
Slab = tuple[slice, NDArray[np.complex64], NDArray[np.bool_]]


class Slabs:
    """Reads a Measurement Set slab by slab, as often as wanted.

    Parameters
    ----------
    shape : GroupShape
        Of a Measurement Set; it stays open while this is a context.
    """

    def __init__(self, shape: GroupShape) -> None:
        self.shape = shape
        self._main: Any = None

    def __enter__(self) -> Self:
        from casacore.tables import table

        self._main = table(str(self.shape.path), ack=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._main.close()

    def read(
        self, with_flags: bool = True
    ) -> Iterator[tuple[slice, NDArray[np.complex64], NDArray[np.bool_]]]:
        """Slabs in order: which baselines, their data, and the flags of the Measurement Set.

        Parameters
        ----------
        with_flags : bool
            Otherwise the flags are not read, and mean nothing.

        Yields
        ------
        tuple
            Slice of baselines; arrays of shape (n_times, n_slab, n_channels, n_polarisations),
            the same memory every other time: fresh memory costs as much as the reading.
        """
        n_times, n_baselines, n_channels, n_pols = self.shape.data_shape
        step = max(1, _SLAB_BYTES // (8 * n_times * n_channels * n_pols))
        n_slabs = -(-n_baselines // step)
        n_samples = n_times * min(step, n_baselines) * n_channels * n_pols
        buffers = [
            (np.empty(n_samples, np.complex64), np.empty(n_samples, bool)) for _ in range(min(2, n_slabs))
        ]

        def slab(k: int) -> Slab:
            start = k * step
            n = min(step, n_baselines - start)
            size, shape = n_times * n * n_channels * n_pols, (n_times, n, n_channels, n_pols)
            all_data, all_flags = buffers[k % 2]
            data, flags = all_data[:size].reshape(shape), all_flags[:size].reshape(shape)
            for t in range(n_times):
                row = t * n_baselines + start
                self._main.getcolnp("DATA", data[t], row, n)
                if with_flags:
                    self._main.getcolnp("FLAG", flags[t], row, n)
            return slice(start, start + n), data, flags

        yield from prefetch(n_slabs, slab)
