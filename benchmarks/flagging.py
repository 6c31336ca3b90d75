"""Our flagger on a simulated full-size group: time, memory, and what it finds; AOFlagger beside it.

    .venv/bin/python benchmarks/flagging.py GROUP.ms GROUP.truth.json

AOFlagger's generic strategy runs on a sample of baselines, if its package (``aoflagger``) is
installed; it is no dependency of the project.
"""

import importlib
import importlib.util
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contimg_assets.radio import casa, telescope
from contimg_assets.radio.flagging.flag import flag
from contimg_assets.radio.flagging.flag_file import read_flags
from contimg_assets.radio.flagging.options import FlaggingOptions
from contimg_assets.radio.measurement_set import GroupShape, read_shape

#: Baselines of the sample.
N_SAMPLE = 64


def planes(truth: dict[str, Any], shape: GroupShape, baseline: int) -> tuple[NDArray[np.bool_], ...]:
    """Cells of one baseline with interference over 5 times the noise, and cells without any."""
    names = [shape.antenna_names[a[baseline]] for a in (shape.antenna_1, shape.antenna_2)]
    pair = [truth["antennas"].index(name) for name in names]
    touched = np.zeros((shape.n_times, shape.n_channels), bool)
    dirty = np.zeros_like(touched)
    sigma = telescope.visibility_sigma_jy(shape.channel_width_hz, shape.integration_s)
    for emitter in truth["interference"]:
        if not set(pair) <= set(emitter["antenna_indices"]):
            continue
        cells = np.ix_(emitter["integrations"], emitter["channels_ascending"])
        touched[cells] = True
        # Short bursts are listed by row and column, so which cells they hit is not told; and a
        # response is 0.49 at the least.
        n_rows, n_columns = len(emitter["integrations"]), len(emitter["channels_ascending"])
        exact = n_rows == 1 or n_rows == shape.n_times
        if exact and n_columns and 0.49 * emitter["strength_jy"] > 5 * sigma:
            dirty[cells] = True
    return dirty, ~touched


def aoflagger_flags(module: Any, data: NDArray[np.complex64]) -> NDArray[np.bool_]:
    """Flags of AOFlagger's generic strategy; data of shape (time, channel, polarisation)."""
    flagger = module.AOFlagger()
    strategy = flagger.load_strategy_file(flagger.find_strategy_file(module.TelescopeId.Generic))
    images = flagger.make_image_set(data.shape[0], data.shape[1], 2 * data.shape[2])
    for p in range(data.shape[2]):
        for part, values in enumerate((data[..., p].real, data[..., p].imag)):
            images.set_image_buffer(2 * p + part, np.ascontiguousarray(values.T, np.float64))
    return np.asarray(strategy.run(images).get_buffer()).T


def main() -> None:
    """Print one line for each flagger."""
    ms, truth_path = (Path(argument) for argument in sys.argv[1:3])
    truth = json.loads(truth_path.read_text())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        casa.configure(folder / "casa")
        shape = read_shape(ms)
        # Compiling is not counted: the first group after an installation pays for it once.
        flag(ms, folder / "first", FlaggingOptions())
        began = time.monotonic()
        flag(ms, folder / "flags", FlaggingOptions())
        wall = time.monotonic() - began
        ours = read_flags(folder / "flags", shape.data_shape).any(axis=-1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    dead: set[str] = set(truth["corruption"]["dead_antennas"])
    live = [
        b
        for b in np.flatnonzero(shape.cross)
        if not dead & {shape.antenna_names[a[b]] for a in (shape.antenna_1, shape.antenna_2)}
    ]
    sample = np.random.default_rng(1).choice(live, min(N_SAMPLE, len(live)), replace=False)
    found = [(np.asarray(ours)[:, b], *planes(truth, shape, b)) for b in sample]
    report("contimg", found, f"{wall:.1f} s, {peak:.2f} GiB for the group")
    if importlib.util.find_spec("aoflagger") is None:
        print("aoflagger: not installed")
        return
    from casacore.tables import table

    module = importlib.import_module("aoflagger")
    began, found = time.monotonic(), []
    with table(str(ms), ack=False) as main_table:
        for b in sample:
            rows = main_table.selectrows(b + shape.n_baselines * np.arange(shape.n_times))
            found.append((aoflagger_flags(module, rows.getcol("DATA")), *planes(truth, shape, b)))
    wall = (time.monotonic() - began) / len(sample) * shape.n_baselines
    report("aoflagger, generic strategy", found, f"{wall:.1f} s of one core for the group")


def report(name: str, found: list[tuple[NDArray[np.bool_], ...]], cost: str) -> None:
    """Print recall and false flags of one flagger."""
    recall = np.sum([np.sum(f & d) for f, d, _ in found]) / np.sum([d.sum() for _, d, _ in found])
    false = np.sum([np.sum(f & c) for f, _, c in found]) / np.sum([c.sum() for _, _, c in found])
    print(f"{name}: recall {recall:.4f}, false {false:.5f}; {cost}")


if __name__ == "__main__":
    main()
