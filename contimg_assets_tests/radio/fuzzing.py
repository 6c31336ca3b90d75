"""Damaged subband files of every kind that we could think of, the same for the same number.

Also a program: ``python -m contimg_assets_tests.radio.fuzzing FOLDER FIRST LAST`` reads
them one by one and prints what came of each, so that a crash of a C library is
a crash of that program.
"""

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from contimg_assets.radio.errors import BadSubbandFileError
from contimg_assets.radio.uvh5 import check_data, read_header
from contimg_assets_tests.radio.subband_files import contents, file_name, write

Damage = Callable[[random.Random, Path, dict[str, Any]], None]
#: Where HDF5's own structures lie; the rest is mostly visibilities.
_STRUCTURE_BYTES = 16_384
_ABSURD = (np.nan, np.inf, -np.inf, 0, -1, 1e308, -1e308, 2**63 - 1, -(2**63), 1e-320, 255, 1e12)


def flip_bits(rng: random.Random, path: Path, datasets: dict[str, Any]) -> None:
    """Bits turn over, in the structure of the file or anywhere."""
    raw = bytearray(write(path, datasets).read_bytes())
    span = rng.choice([96, 2048, _STRUCTURE_BYTES, len(raw)])
    for _ in range(rng.choice([1, 1, 2, 8, 64, 512])):
        raw[rng.randrange(min(span, len(raw)))] ^= 1 << rng.randrange(8)
    path.write_bytes(raw)


def overwrite(rng: random.Random, path: Path, datasets: dict[str, Any]) -> None:
    """A block is lost: zeros, ones or noise in its place."""
    raw = bytearray(write(path, datasets).read_bytes())
    first, length = rng.randrange(len(raw)), rng.choice([4, 512, 4096])
    block = rng.choice([bytes(length), b"\xff" * length, rng.randbytes(length)])
    raw[first : first + length] = block
    path.write_bytes(raw[: rng.choice([len(raw), 10 * len(raw)])])


def truncate(rng: random.Random, path: Path, datasets: dict[str, Any]) -> None:
    """The end is missing."""
    raw = write(path, datasets).read_bytes()
    path.write_bytes(raw[: rng.randrange(len(raw))])


def remove(rng: random.Random, path: Path, datasets: dict[str, Any]) -> None:
    """Keys are missing."""
    for name in rng.sample(sorted(datasets), rng.choice([1, 1, 2, 10, len(datasets) - 1])):
        del datasets[name]
    write(path, datasets)


def reshape(rng: random.Random, path: Path, datasets: dict[str, Any]) -> None:
    """A dataset has another shape."""
    name = rng.choice(sorted(name for name, value in datasets.items() if not isinstance(value, str)))
    value = np.asarray(datasets[name])
    datasets[name] = rng.choice(
        [
            value[None],
            value.reshape(-1),
            value.reshape(-1)[:1],
            np.repeat(value[None], 3, 0),
            value.T[..., None],
        ]
    )
    write(path, datasets)


def retype(rng: random.Random, path: Path, datasets: dict[str, Any]) -> None:
    """A dataset has another type."""
    name = rng.choice(sorted(datasets))
    shape = np.shape(datasets[name])
    datasets[name] = rng.choice(
        [
            np.zeros(shape, rng.choice(["i1", "u8", "f2", "f4", "f8", "c16", "?"])),
            np.full(shape, b"\xff\xfe?"),
            np.zeros(shape, [("r", "f4"), ("i", "f4")]),
            "text",
            np.bytes_(""),
        ]
    )
    write(path, datasets)


def absurd(rng: random.Random, path: Path, datasets: dict[str, Any]) -> None:
    """Values that no telescope writes."""
    numeric = [name for name, value in datasets.items() if np.asarray(value).dtype.kind in "iufc"]
    for name in rng.sample(numeric, rng.choice([1, 1, 3])):
        value = np.array(datasets[name])
        with np.errstate(all="ignore"):
            wrong = np.array(rng.choice(_ABSURD)).astype(value.dtype)
        if rng.random() < 0.5:
            value[...] = wrong
        else:
            value.reshape(-1)[rng.randrange(value.size)] = wrong
        datasets[name] = value
    write(path, datasets)


KINDS: tuple[Damage, ...] = (flip_bits, overwrite, truncate, remove, reshape, retype, absurd)


def damaged(path: Path, number: int, datasets: dict[str, Any]) -> str:
    """Write file number ``number``; the kind of its damage."""
    rng = random.Random(number)
    # Half of all are flipped bits: the one kind that can reach the insides of a C library.
    damage = KINDS[number % 14] if number % 14 < len(KINDS) else flip_bits
    damage(rng, path, datasets)
    return damage.__name__


def main() -> None:
    """Read files first to last; prints kind and outcome of each, as one JSON object."""
    folder, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    path = folder / file_name(0)
    told: list[tuple[str, str]] = []
    for number in range(first, last):
        kind = damaged(path, number, contents(0))
        try:
            check_data(path, read_header(path))
        except BadSubbandFileError as error:
            told.append((kind, str(error)))
        else:
            told.append((kind, ""))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
