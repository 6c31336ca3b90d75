"""Alarms: which there are, and that somebody has seen to one.

Belongs here: routes and their models.  Does not belong here: what an alarm is (``station/alarms.py``).
"""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field

from contimg_assets.station.alarm_messages import heading, link_of
from contimg_assets.station.alarm_models import Alarm as AlarmRow
from contimg_assets.station.alarms import LONGEST_NOTE, Alarms
from contimg_assets.web.api.parts import API, Model, Parts, example, require
from contimg_assets.web.roles import Role

#: Identity of an alarm in an address.
AlarmId = Annotated[int, Path(ge=1, le=2**31 - 1)]


class AcknowledgeRequest(Model):
    """What is being done about an alarm."""

    model_config = example({"note": "the disk is being made larger"})

    note: Annotated[str, Field(max_length=LONGEST_NOTE)] = ""


class Alarm(Model):
    """One cause that people are told of."""

    id: int
    kind: str
    cause: str
    """What all that it counts has in common; empty if its kind says it all."""
    heading: str
    severity: Literal["page", "tell"]
    """page: somebody should look now; tell: by daylight."""
    lasting: bool
    """It holds until it is over; others are over when they have not happened again for some time."""
    subjects: list[str]
    """The newest groups, runs, files or folders that it is about, newest first."""
    message: str
    """The reason, of the newest."""
    link: str | None
    """Page that shows it; null if it is not known how people reach the pages."""
    n_times: int
    opened_at: datetime
    last_at: datetime
    told_at: datetime | None
    """When people were told last; null: held back so far."""
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    note: str
    cleared_at: datetime | None
    """When it was over."""


class AlarmList(Model):
    """Alarms: those that are open first, of these those that want somebody to look now."""

    items: list[Alarm]


def alarms_router(parts: Parts) -> APIRouter:
    """Routes of alarms."""
    router = APIRouter(prefix=f"{API}/alarms", tags=["system"])
    settings = parts.station.settings

    def shown(row: AlarmRow) -> Alarm:
        names = [name for name in Alarm.model_fields if name not in ("heading", "link")]
        values = {name: getattr(row, name) for name in names}
        return Alarm(**values, heading=heading(row), link=link_of(row, settings))

    @router.get("", response_model=AlarmList)
    def alarms(
        over: Annotated[bool, Query(description="Also those that are over.")] = False,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> AlarmList:
        """What people are told of now."""
        rows = Alarms(parts.station.engine).list(over=over, limit=limit)
        return AlarmList(items=[shown(row) for row in rows])

    @router.post("/{identity}/acknowledge", response_model=Alarm)
    def acknowledge(identity: AlarmId, asked: AcknowledgeRequest, request: Request) -> Alarm:
        """Say that you have seen to it: no more is told of it until it is over."""
        user = require(request, Role.OPERATOR)
        return shown(Alarms(parts.station.engine).acknowledge(identity, user.name, asked.note))

    return router
