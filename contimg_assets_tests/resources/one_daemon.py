"""A process that runs a command under a lock, as ``contimg daemon`` does: URL or path, then the command."""

import sys
from pathlib import Path

from contimg_assets.resources.daemon import FileLock, PostgresLock, run_one, told_to_end


def tell(what: str) -> None:
    print(what, flush=True)


if __name__ == "__main__":
    where, *command = sys.argv[1:]
    lock = PostgresLock(where) if "://" in where else FileLock(Path(where))
    with told_to_end() as ending:
        sys.exit(run_one(lock, command, Path.cwd(), tell, ending))
