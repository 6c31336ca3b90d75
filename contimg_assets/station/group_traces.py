"""The trace of a group: its way from the first file to the image as spans, by what the database keeps of it.

Nothing is measured for it: states have their times, and each product how long it took.  So a run that crashed
is in it like any other, and making a trace anew gives the same spans with the same identities.

Belongs here: which spans there are.  Does not belong here: the wire (``trace_export.py``), or when one is
sent (``sensors/traces.py``).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.station.database import reading
from contimg_assets.station.models import GROUP, GroupSummary, GroupTransition, Performance

#: States with which a group's way ends, for now.
ENDS = ("completed", "failed")
IN_PROGRESS = "in_progress"
#: A product's row is entered this long after its group was done at the most.
_LATE = timedelta(seconds=1)


@dataclass(frozen=True)
class Span:
    """A stretch of time in a trace."""

    name: str
    begins: datetime
    ends: datetime
    parent: str | None
    """Identity of the span that it lies in; None: it is the group itself."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    """Why it failed; empty if it did not."""

    @property
    def identity(self) -> str:
        """Eight bytes, in hexadecimal."""
        return _digest(f"{self.name} {self.begins.isoformat()} {self.parent}", 16)


@dataclass(frozen=True)
class Trace:
    """Spans of a group, that of the group itself first."""

    key: str
    spans: list[Span]

    @property
    def identity(self) -> str:
        """Sixteen bytes, in hexadecimal: the same whenever the trace is made."""
        return _digest(f"{self.key} {self.spans[0].begins.isoformat()}", 32)


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def trace_of(engine: Engine, key: str, end: int | None = None) -> Trace:
    """The trace of a group.

    Parameters
    ----------
    engine : Engine
        Of the station database.
    key : str
        The group.
    end : int, optional
        Its transition with which the trace ends; default: the last one with which it was done.

    Raises
    ------
    MissingInputError
        If it has not been done yet.
    """
    of_group = select(GroupTransition).where(GroupTransition.key == key).order_by(GroupTransition.id)
    with reading(engine) as session:
        steps = list(session.scalars(of_group))
        last = next((s for s in reversed(steps) if s.to_state in ENDS and end in (None, s.id)), None)
        if last is None:
            raise MissingInputError(f"group {key} has no end yet: its trace is made when it is done")
        steps = _cycle(steps, last)
        summary = session.get(GroupSummary, key)
        root = Span(
            key,
            steps[0].at,
            last.at,
            None,
            {"contimg.group": key, "contimg.state": last.to_state, **_told(summary)},
            last.reason if last.to_state == "failed" else "",
        )
        states = list(_states(root, steps))
        return Trace(key, [root, *states, *_stages(session, key, root, states)])


def finished_since(engine: Engine, after: int, limit: int) -> list[tuple[int, str]]:
    """Transitions after one with which groups were done, oldest first: number and group."""
    statement = (
        select(GroupTransition.id, GroupTransition.key)
        .where(GroupTransition.id > after, GroupTransition.to_state.in_(ENDS))
        .order_by(GroupTransition.id)
        .limit(limit)
    )
    with reading(engine) as session:
        return [(row.id, row.key) for row in session.execute(statement)]


def newest_transition(engine: Engine) -> int:
    """Number of the newest transition of all; 0 if there is none."""
    with reading(engine) as session:
        return session.scalar(select(func.max(GroupTransition.id))) or 0


def _cycle(steps: Sequence[GroupTransition], last: GroupTransition) -> list[GroupTransition]:
    """The steps that lead to an end, since the end before it."""
    before = [each.id for each in steps if each.to_state in ENDS and each.id < last.id]
    return [each for each in steps if max(before, default=0) < each.id <= last.id]


def _told(summary: GroupSummary | None) -> dict[str, Any]:
    if summary is None:
        return {}
    told = {"contimg.verdict": summary.verdict, "contimg.declination_deg": summary.declination_deg}
    return {name: value for name, value in told.items() if value is not None}


def _states(root: Span, steps: Sequence[GroupTransition]) -> list[Span]:
    """How long it was in each state, and why it left it where the work was broken off."""
    return [
        Span(
            here.to_state,
            here.at,
            then.at,
            root.identity,
            {"contimg.reason": here.reason} if here.reason else {},
            then.reason if here.to_state == IN_PROGRESS and then.to_state != "completed" else "",
        )
        for here, then in pairwise(steps)
    ]


def _stages(session: Session, key: str, root: Span, states: Sequence[Span]) -> list[Span]:
    """What each product took, in the state in which it was made."""
    rows = session.scalars(
        select(Performance)
        .where(
            Performance.kind == GROUP,
            Performance.key == key,
            Performance.seconds.is_not(None),
            Performance.at >= root.begins,
            Performance.at <= root.ends + _LATE,
        )
        .order_by(Performance.id)
    )
    found = []
    for row in rows:
        begins = row.at - timedelta(seconds=row.seconds or 0.0)
        holds = [each for each in states if each.name == IN_PROGRESS and each.begins <= row.at]
        attributes = {"host.name": row.host, "contimg.run": row.run, "contimg.writer": row.writer}
        attributes["contimg.peak_memory_mib"] = row.peak_memory_mb
        known = {name: value for name, value in attributes.items() if value is not None}
        parent = holds[-1].identity if holds else root.identity
        found.append(Span(row.product, begins, row.at, parent, known))
    return found
