"""Content hash of a folder, by which calibration tables are identified for ever."""

import hashlib
from pathlib import Path

from contimg_assets.radio.errors import MissingInputError

#: Files are read in pieces of this size, bytes.
PIECE = 1 << 20


def tree_sha256(path: Path) -> str:
    """Hash a folder's content: the sorted relative paths of its files, and their bytes.

    Parameters
    ----------
    path : Path
        A folder, such as a CASA table.  Lock files (``table.lock``), which CASA
        rewrites on every opening, do not count.

    Returns
    -------
    str
        SHA-256, hexadecimal.

    Raises
    ------
    MissingInputError
        If ``path`` is not a folder.
    """
    if not path.is_dir():
        raise MissingInputError(f"{path} is not a folder: there is nothing to hash")
    digest = hashlib.sha256()
    files = {item.relative_to(path).as_posix(): item for item in path.rglob("*") if item.is_file()}
    for name, item in sorted(files.items()):
        if item.name == "table.lock":
            continue
        # Lengths keep (name, content) pairs from running into one another.
        digest.update(f"{len(name.encode())}:{name}:{item.stat().st_size}:".encode())
        with item.open("rb") as handle:
            while piece := handle.read(PIECE):
                digest.update(piece)
    return digest.hexdigest()
