"""The record of every write that somebody asked for: who, what, when.

Belongs here: entering and reading records.  Does not belong here: who a user is
(``web/principals.py``), or what is recorded (``web/guard.py``, commands).
"""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from uuid import uuid4

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from contimg_assets.radio.errors import StateError
from contimg_assets.station.database import reading, transaction
from contimg_assets.station.models import OperatorAction, now

#: Characters of what was sent that are kept.
KEPT_CHARACTERS = 2000


@dataclass(frozen=True)
class Action:
    """One write that somebody asked for."""

    user: str
    role: str
    by: str
    """How the user is known: ``loopback``, ``token``, ``proxy`` or ``command line``."""
    peer: str
    """Address that it came from; empty: a Unix socket, or this machine's command line."""
    method: str
    target: str
    """Path, or command."""
    mutations: tuple[str, ...] = ()
    """What Dagster is asked to do."""
    content: str = ""
    """What was sent, cut at ``KEPT_CHARACTERS``."""
    request: str = field(default_factory=lambda: uuid4().hex)
    """Identity, also in the response's ``X-Request-Id``."""
    at: datetime = field(default_factory=now)


class OperatorActions:
    """The records of one database.

    Parameters
    ----------
    engine : Engine
        From :func:`contimg_assets.station.database.engine_for`.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def record(self, action: Action) -> None:
        """Enter an action, before it is carried out.

        Raises
        ------
        StateError
            If that is not possible; the action must not be carried out then.
        """
        values = asdict(action) | {"mutations": list(action.mutations)}
        # PostgreSQL keeps no zero bytes in text.
        kept = {
            k: v.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(v, str) else v
            for k, v in values.items()
        }
        kept["content"] = kept["content"][:KEPT_CHARACTERS]
        try:
            with transaction(self.engine) as session:
                session.add(OperatorAction(**kept))
        except SQLAlchemyError as error:
            raise StateError(f"the action cannot be recorded: {error}") from error

    def recent(
        self, limit: int = 50, *, user: str | None = None, before: int | None = None
    ) -> tuple[list[OperatorAction], int]:
        """The newest actions (of a user, before an identity), newest first; and how many there are."""
        conditions = [] if user is None else [OperatorAction.user == user]
        page = [*conditions, OperatorAction.id < before] if before is not None else conditions
        statement = select(OperatorAction).where(*page).order_by(OperatorAction.id.desc()).limit(limit)
        with reading(self.engine) as session:
            total = session.scalar(select(func.count(OperatorAction.id)).where(*conditions)) or 0
            return list(session.scalars(statement)), total
