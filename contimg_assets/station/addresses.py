"""Addresses to which alarms and reports go: from the environment, or from a file that nobody else can read.

An address holds what is secret (a password, a token), so it is no setting: it is in no
output, no log, no record and no backup.  What is shown and kept is its name.

Belongs here: reading them.  Does not belong here: what goes to them (``alarms.py``), or
sending (``deliveries.py``).
"""

import os
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contimg_assets.radio.errors import SettingsError
from contimg_assets.settings import NOTIFY_VARIABLE
from contimg_assets.station.alerts import PAGE, TELL

#: In the home.
ADDRESS_FILE = "notify.toml"
#: How addresses of the environment are called, with their number.
_FROM_ENVIRONMENT = "environment"
#: Parts of an address that are shorter say nothing by themselves.
_SHORTEST_SECRET = 4
_HIDDEN = "***"


@dataclass(frozen=True)
class Address:
    """Where messages go."""

    name: str
    url: str = field(repr=False)
    """As Apprise has it; secret."""
    severity: str = TELL
    """The least that goes there: ``tell``: all; ``page``: what somebody should look at now; ``none``."""
    reports: bool = True
    """Whether the night's report goes there."""

    def takes(self, severity: str) -> bool:
        """Whether alarms of a severity go there."""
        return self.severity == TELL or self.severity == severity == PAGE

    def without_secrets(self, text: str) -> str:
        """What was said of the address, without any part of it but the host's name."""
        parts = urlsplit(self.url)
        secret = [self.url, parts.netloc.rpartition("@")[0], parts.username or "", parts.password or ""]
        secret += [*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query)), parts.query]
        for each in sorted({*secret, *map(unquote, secret)}, key=len, reverse=True):
            if len(each) >= _SHORTEST_SECRET:
                text = text.replace(each, _HIDDEN)
        return text


class _Entry(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    url: str = Field(min_length=1)
    severity: Literal["tell", "page", "none"] = "tell"
    reports: bool = True


def read_addresses(home: Path) -> list[Address]:
    """The addresses of an installation.

    Parameters
    ----------
    home : Path
        ``CONTIMG_HOME``; the file is ``notify.toml`` there: a table for each address, whose name is
        the table's, with ``url``, and if wanted ``severity`` and ``reports``.

    Returns
    -------
    list of Address
        Those of the environment (``CONTIMG_NOTIFY_URLS``, white space between them) come first.

    Raises
    ------
    SettingsError
        If others can read the file, or it is not in order; what it holds is not told.
    """
    given = os.environ.get(NOTIFY_VARIABLE, "").split()
    found = [Address(f"{_FROM_ENVIRONMENT}-{place}", url) for place, url in enumerate(given, 1)]
    return found + _of_file(home / ADDRESS_FILE)


def _of_file(path: Path) -> list[Address]:
    try:
        handle = path.open("rb")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    with handle:
        # Of the file that was opened: another may have taken its place.
        found = os.fstat(handle.fileno())
        if not stat.S_ISREG(found.st_mode) or stat.S_IMODE(found.st_mode) & 0o077:
            raise SettingsError(
                f"{path}: found mode {stat.S_IMODE(found.st_mode):04o}, expected 0600: it holds passwords, "
                f"and others can read it; chmod 600 {path}"
            )
        if found.st_uid not in (os.geteuid(), 0):
            raise SettingsError(f"{path}: belongs to user {found.st_uid}, expected {os.geteuid()}")
        content = handle.read()
    try:
        tables = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        # What is wrong is told with its place only by words that may hold a part of the content.
        raise SettingsError(f"{path}: found no TOML") from None
    addresses = []
    for name, table in tables.items():
        try:
            entry = _Entry.model_validate(table)
        except ValidationError as error:
            told = "; ".join(
                f"{'.'.join(map(str, one['loc'])) or 'table'}: {one['msg']}" for one in error.errors()
            )
            raise SettingsError(f"{path}: [{name[:64]}] {told}") from None
        addresses.append(Address(name[:64], entry.url, entry.severity, entry.reports))
    return addresses
