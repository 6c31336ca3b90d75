"""Tokens of scripts and people: made once, shown once, kept as hashes.

Belongs here: the file of tokens and what may be asked of it.  Does not belong here: how a request
carries one (``principals.py``).

The file, ``CONTIMG_HOME/tokens.json``, holds of each token its SHA-256, name, role and times.  A token
has 256 random bits, so its hash needs no salt.  The file is read anew for every request that carries
a token: one that is revoked is refused at once, in every process.
"""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from contimg_assets.radio.errors import AccessError
from contimg_assets.web.roles import NAME, Role

#: Begins every token, so that one that has leaked is told from other random text.
PREFIX = "contimg_"
TOKENS_FILE = "tokens.json"


class Token(BaseModel):
    """What is known of a token."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=NAME)
    role: Role
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    created: AwareDatetime
    expires: AwareDatetime | None = None
    """From then on it is refused; None: never."""

    def expired(self, at: datetime) -> bool:
        """Whether it is refused at a time."""
        return self.expires is not None and at >= self.expires


_FILE = TypeAdapter(list[Token])


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class Tokens:
    """The tokens of one ``CONTIMG_HOME``.

    Parameters
    ----------
    home : Path
        Folder of the file.
    """

    def __init__(self, home: Path) -> None:
        self.path = home / TOKENS_FILE

    def known(self) -> list[Token]:
        """All tokens that are in the file, expired ones too.

        Raises
        ------
        AccessError
            If others than its owner can read or write the file, or if it is not one of tokens.
        """
        try:
            with self.path.open("rb") as handle:
                mode = os.fstat(handle.fileno()).st_mode & 0o777
                content = handle.read()
        except FileNotFoundError:
            return []
        if mode & 0o077:
            raise AccessError(f"{self.path} has mode {mode:o}, expected 600: chmod 600 {self.path}")
        try:
            return _FILE.validate_json(content)
        except ValidationError as error:
            raise AccessError(f"{self.path} is not a file of tokens: {error.errors()[0]['msg']}") from error

    def valid(self) -> list[Token]:
        """Those that have not expired."""
        at = datetime.now(UTC)
        return [token for token in self.known() if not token.expired(at)]

    def of(self, secret: str) -> Token | None:
        """What is known of the token that somebody gave; None if it is none, or has expired."""
        given = _sha256(secret)
        found = [token for token in self.valid() if secrets.compare_digest(token.sha256, given)]
        return found[0] if found else None

    def add(self, name: str, role: Role, days: float | None) -> tuple[str, Token]:
        """Make a token.

        Parameters
        ----------
        name : str
            Whose it is; only one token may have it.
        role : Role
            What it may do.
        days : float or None
            Time until it expires, days; None: never.

        Returns
        -------
        tuple
            The token itself, which is kept nowhere, and what is known of it.

        Raises
        ------
        AccessError
            If there is one of that name.
        """
        secret = PREFIX + secrets.token_urlsafe(32)
        created = datetime.now(UTC).replace(microsecond=0)
        expires = None if days is None else created + timedelta(days=days)
        token = Token(name=name, role=role, sha256=_sha256(secret), created=created, expires=expires)
        with self._locked():
            known = self.known()
            if any(each.name == name for each in known):
                raise AccessError(f"{self.path} has a token called {name!r}: revoke it, or take another name")
            self._write([*known, token])
        return secret, token

    def revoke(self, name: str) -> None:
        """Remove a token.

        Raises
        ------
        AccessError
            If there is none of that name.
        """
        with self._locked():
            known = self.known()
            left = [token for token in known if token.name != name]
            if len(left) == len(known):
                names = ", ".join(token.name for token in known) or "none"
                raise AccessError(f"{self.path} has no token called {name!r}; there are {names}")
            self._write(left)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write(self, tokens: list[Token]) -> None:
        staged = self.path.with_suffix(f".{secrets.token_hex(6)}.new")
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(_FILE.dump_json(tokens, indent=2))
            handle.flush()
            os.fsync(handle.fileno())
        staged.replace(self.path)
