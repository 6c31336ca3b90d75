"""Which groups a foreground command holds, so that sensors and other commands leave them alone.

A claim is a file that lists the groups, locked for as long as its process
lives: however that ends, the lock goes with it.  Belongs here: making and
reading claims on one machine.  Does not belong here: states (``products.py``).
"""

import fcntl
import json
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path


class Claims:
    """Claims below one home folder.

    Parameters
    ----------
    home : Path
        ``CONTIMG_HOME``.
    """

    def __init__(self, home: Path) -> None:
        self.folder = home / "claims"

    def held(self) -> set[str]:
        """Groups that living processes hold; claims of dead ones are removed."""
        found: set[str] = set()
        for path in self.folder.glob("*.json"):
            try:
                with path.open("r+") as handle:
                    try:
                        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        found.update(json.loads(path.read_text(encoding="utf-8") or "[]"))
                    else:
                        path.unlink(missing_ok=True)
            except FileNotFoundError:
                continue  # its process ended between the listing and the look
        return found

    @contextmanager
    def claim(self, keys: Collection[str]) -> Iterator[set[str]]:
        """Hold groups for the length of the block.

        Yields
        ------
        set of str
            Those of ``keys`` that nobody else held, and that are now ours.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{uuid.uuid4().hex}.json"
        with (self.folder / "claims.lock").open("w") as everybody:
            fcntl.flock(everybody, fcntl.LOCK_EX)
            ours = set(keys) - self.held()
            # Written and locked under another name first: nobody sees an unlocked claim.
            staged = path.with_suffix(".new")
            staged.write_text(json.dumps(sorted(ours)), encoding="utf-8")
            handle = staged.open("r+")
            fcntl.flock(handle, fcntl.LOCK_EX)
            staged.rename(path)
        try:
            yield ours
        finally:
            path.unlink(missing_ok=True)
            handle.close()
