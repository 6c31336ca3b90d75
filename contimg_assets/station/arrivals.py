"""What became of each subband file that arrived: the account in which none is lost.

Belongs here: reading and writing that account, which is also how a process that
starts knows at once what has been dealt with.  Does not belong here: looking at
folders (``station/incoming_folder.py``).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from contimg_assets.station.database import reading, transaction
from contimg_assets.station.models import FILE_OUTCOMES, ArrivedFile, now

# Who only reads the account need not wait for what reads files.
if TYPE_CHECKING:
    from contimg_assets.radio.grouping import FoundFile

#: Longest reason of a file that is kept.
REASON_LENGTH = 1000
#: Rows of one statement: databases limit the number of values in it.
_ROWS = 500


@dataclass(frozen=True)
class Settled:
    """A file, and what became of it."""

    file: "FoundFile"
    group_key: str | None
    """A group of the station database; None if it is not known which one the file belongs to."""
    outcome: Literal["used", "duplicate", "refused", "late"]
    reason: str = ""


class Arrivals:
    """The account of one folder.

    Parameters
    ----------
    engine : Engine
        From :func:`contimg_assets.station.database.engine_for`.
    folder : Path
        The folder where files arrive.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.folder = str(folder.absolute())

    def settle(self, files: Iterable[Settled]) -> None:
        """Enter files, in place of what was known of those names."""
        rows = [
            {
                "folder": self.folder,
                "name": item.file.path.name,
                "size": item.file.size,
                "mtime": item.file.mtime,
                "group_key": item.group_key,
                "outcome": item.outcome,
                "reason": item.reason[:REASON_LENGTH],
                "at": now(),
            }
            for item in files
        ]
        dialect = postgresql if self.engine.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(ArrivedFile)
        changed = {
            name: statement.excluded[name] for name in ("size", "mtime", "group_key", "outcome", "reason")
        }
        statement = statement.on_conflict_do_update(
            index_elements=["folder", "name"], set_={**changed, "at": statement.excluded.at}
        )
        with transaction(self.engine) as session:
            for first in range(0, len(rows), _ROWS):
                session.execute(statement.values(rows[first : first + _ROWS]))

    def names(self) -> set[str]:
        """All files that have been dealt with."""
        with reading(self.engine) as session:
            return set(session.scalars(select(ArrivedFile.name).where(ArrivedFile.folder == self.folder)))

    def refused(self) -> "dict[str, FoundFile]":
        """The refused ones, as they were: another size or time means that they may be good now."""
        from contimg_assets.radio.grouping import FoundFile

        columns = select(ArrivedFile.name, ArrivedFile.size, ArrivedFile.mtime)
        with reading(self.engine) as session:
            rows = session.execute(
                columns.where(ArrivedFile.folder == self.folder, ArrivedFile.outcome == "refused")
            )
            return {name: FoundFile(Path(self.folder) / name, size, mtime) for name, size, mtime in rows}

    def forget(self, key: str) -> set[str]:
        """Strike a group's files out, since it must be looked at again; their names."""
        with transaction(self.engine) as session:
            mine = (ArrivedFile.folder == self.folder) & (ArrivedFile.group_key == key)
            names = set(session.scalars(select(ArrivedFile.name).where(mine)))
            session.execute(delete(ArrivedFile).where(mine))
        return names

    def of_group(self, key: str) -> list[ArrivedFile]:
        """Files of a group in every folder, in order of name."""
        statement = select(ArrivedFile).where(ArrivedFile.group_key == key).order_by(ArrivedFile.name)
        with reading(self.engine) as session:
            return list(session.scalars(statement))

    def not_used(self, limit: int) -> list[ArrivedFile]:
        """Files of every folder that no group is made of, the newest first."""
        statement = select(ArrivedFile).where(ArrivedFile.outcome != "used")
        with reading(self.engine) as session:
            return list(session.scalars(statement.order_by(ArrivedFile.at.desc()).limit(limit)))

    def counts(self) -> dict[str, int]:
        """Number of files of each outcome, in every folder."""
        statement = select(ArrivedFile.outcome, func.count()).group_by(ArrivedFile.outcome)
        with reading(self.engine) as session:
            found = {outcome: int(number) for outcome, number in session.execute(statement)}
        return {outcome: found.get(outcome, 0) for outcome in FILE_OUTCOMES}
