"""Antennas that a person has marked as bad, from when until when, and why: flagging leaves them out.

Belongs here: the file of marks, and what may be asked of it.  Does not belong here: antennas that the data
tell of themselves (``radio/flagging``).

The file, ``CONTIMG_HOME/antennas.json``, is read anew each time: a mark counts for the next group that is
flagged.  Marks are ended, never removed: which groups were flagged with one is told by the settings that the
versions of their flags keep.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from contimg_assets.radio.errors import MissingInputError, SettingsError
from contimg_assets.radio.files import write_atomically
from contimg_assets.radio.group_key import key_time
from contimg_assets.radio.telescope import stations

MARKS_FILE = "antennas.json"
LONGEST_REASON = 500


class Mark(BaseModel):
    """An antenna that is not to be used."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(default_factory=lambda: uuid4().hex[:12])
    antenna: str
    """Its name, from 1 on."""
    reason: str = Field(min_length=1, max_length=LONGEST_REASON)
    since: AwareDatetime
    """Groups that begin then or later are flagged."""
    until: AwareDatetime | None = None
    """Groups that begin then or later are not any more; None: all that come."""
    user: str
    at: AwareDatetime
    """When it was made."""

    def holds(self, at: datetime) -> bool:
        """Whether it counts at a time."""
        return self.since <= at and (self.until is None or at < self.until)


_FILE = TypeAdapter(list[Mark])


class AntennaMarks:
    """The marks of one ``CONTIMG_HOME``.

    Parameters
    ----------
    home : Path
        Folder of the file.
    """

    def __init__(self, home: Path) -> None:
        self.path = home / MARKS_FILE

    def known(self, antenna: str | None = None) -> list[Mark]:
        """All marks (of one antenna), in the order in which they were made.

        Raises
        ------
        SettingsError
            If the file is not one of marks: then nothing may be flagged without it.
        """
        try:
            found = _FILE.validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return []
        except ValidationError as error:
            told = error.errors()[0]["msg"]
            raise SettingsError(f"{self.path}: expected a file of marked antennas: {told}") from error
        return [mark for mark in found if antenna in (None, mark.antenna)]

    def during(self, key: str) -> dict[str, str]:
        """Antennas that are marked when a group begins, each with the reason."""
        at = key_time(key)
        return {mark.antenna: mark.reason for mark in self.known() if mark.holds(at)}

    def add(self, antenna: str, reason: str, since: datetime, until: datetime | None, user: str) -> Mark:
        """Mark an antenna.

        Raises
        ------
        SettingsError
            If there is no such antenna, no reason, or no time between the two.
        """
        names = stations().names
        if antenna not in names:
            raise SettingsError(f"antenna {antenna!r}: expected a name from {names[0]} to {names[-1]}")
        if until is not None and until <= since:
            raise SettingsError(
                f"until {until:%Y-%m-%dT%H:%M:%S}: expected a time after {since:%Y-%m-%dT%H:%M:%S}"
            )
        try:
            mark = Mark(
                antenna=antenna,
                reason=reason.strip(),
                since=since,
                until=until,
                user=user,
                at=datetime.now(UTC).replace(microsecond=0),
            )
        except ValidationError as error:
            raise SettingsError(
                f"reason: expected one of up to {LONGEST_REASON} characters, found {reason!r:.80}"
            ) from error
        with self._locked():
            self._write([*self.known(), mark])
        return mark

    def end(self, identity: str, until: datetime) -> Mark:
        """Let a mark count no longer than to a time; one that would not have begun by then never counts.

        Raises
        ------
        MissingInputError
            If there is none of that identity.
        """
        with self._locked():
            known = self.known()
            for place, mark in enumerate(known):
                if mark.id == identity:
                    known[place] = mark.model_copy(update={"until": max(until, mark.since)})
                    self._write(known)
                    return known[place]
        raise MissingInputError(f"{self.path}: found no mark {identity!r:.40}")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write(self, marks: list[Mark]) -> None:
        write_atomically(self.path, _FILE.dump_json(marks, indent=1).decode() + "\n")
