"""Getting queued messages to their addresses, by a process that nobody waits for.

Each address has a process of its own, which is told the address on its standard input and ends
when its time is over: one that does not answer holds up neither the others nor a sensor or a
run.  What could not be sent is tried again later, after twice as long each time.

Belongs here: the queue's claims and outcomes, and sending.  Does not belong here: what is queued
(``alarm_messages.py``).
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from contimg_assets.radio.processes import bound
from contimg_assets.station.addresses import Address
from contimg_assets.station.alarm_models import Delivery
from contimg_assets.station.columns import now
from contimg_assets.station.database import reading, transaction

#: Time that all addresses have together in one round, s.
ROUND_S = 60.0
#: Messages that one address gets in one round.
_A_ROUND = 20
#: A message that could not be sent is tried again after so long, twice as long each time, up to the longest;
#: after a day it is given up.
FIRST_RETRY, LONGEST_RETRY, GIVEN_UP_AFTER = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
#: Rows of messages that were sent or given up are kept for so long.
KEPT = timedelta(days=90)
_LONGEST_ERROR = 300


@dataclass(frozen=True)
class Outcome:
    """What became of one message."""

    id: int
    error: str
    """Empty: it was sent."""


def due(engine: Engine) -> bool:
    """Whether any message waits to be sent now."""
    with reading(engine) as session:
        return (
            session.scalars(select(Delivery.id).where(Delivery.due_at <= now()).limit(1)).first() is not None
        )


def deliver(engine: Engine, home: Path, addresses: Sequence[Address]) -> list[Outcome]:
    """Send what is due, once; what an address does not take in time is tried again later.

    Returns
    -------
    list of Outcome
        Of the messages that were tried.
    """
    claimed = _claim(engine, {address.name for address in addresses})
    work = {address: [each for each in claimed if each.address == address.name] for address in addresses}
    work = {address: messages for address, messages in work.items() if messages}
    outcomes = send_each(
        {
            address: [
                {
                    "id": each.id,
                    "title": each.title,
                    "body": each.body,
                    "attachment": str(home / each.attachment) if each.attachment else None,
                }
                for each in messages
            ]
            for address, messages in work.items()
        }
    )
    _enter(engine, outcomes)
    return outcomes


def send_each(work: dict[Address, list[dict[str, Any]]], seconds: float = ROUND_S) -> list[Outcome]:
    """Send messages, each address in a process of its own, all within a time; no database is needed."""
    started = []
    deadline = time.monotonic() + seconds
    try:
        for address, messages in work.items():
            command = bound([sys.executable, "-m", "contimg_assets.station.send_messages"])
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            started.append((address, messages, process))
            told = json.dumps({"url": address.url, "messages": messages, "seconds": seconds})
            assert process.stdin is not None
            process.stdin.write(told)
            process.stdin.close()
            process.stdin = None
        return [
            outcome
            for address, messages, process in started
            for outcome in _outcomes(address, messages, process, deadline)
        ]
    finally:
        for _, _, process in started:
            process.kill()
            process.wait()


def _outcomes(
    address: Address, messages: list[dict[str, Any]], process: "subprocess.Popen[str]", deadline: float
) -> list[Outcome]:
    try:
        text, _ = process.communicate(timeout=max(0.1, deadline - time.monotonic()))
        why = "it ended before it had been sent"
    except subprocess.TimeoutExpired:
        process.kill()
        text, _ = process.communicate()
        why = "no answer in time"
    told = {found["id"]: found["error"] for found in map(json.loads, text.splitlines())}
    return [
        Outcome(each["id"], address.without_secrets(told.get(each["id"], why))[:_LONGEST_ERROR])
        for each in messages
    ]


def _claim(engine: Engine, names: set[str]) -> list[Delivery]:
    """Messages that are due, each for this process alone until its next try."""
    at = now()
    with transaction(engine) as session:
        _give_up(session, at)
        waiting = (
            select(Delivery)
            .where(Delivery.due_at <= at, Delivery.address.in_(names))
            .order_by(Delivery.id)
            .with_for_update(skip_locked=True)
        )
        found: dict[str, list[Delivery]] = {}
        for each in session.scalars(waiting):
            its = found.setdefault(each.address, [])
            if len(its) < _A_ROUND:
                its.append(each)
                each.due_at = at + min(FIRST_RETRY * 2**each.attempts, LONGEST_RETRY)
                each.attempts += 1
    return [each for its in found.values() for each in its]


def _give_up(session: Session, at: datetime) -> None:
    """Give up what is too old to be news, and forget what was settled long ago."""
    old = select(Delivery).where(Delivery.due_at.is_not(None), Delivery.queued_at < at - GIVEN_UP_AFTER)
    for each in session.scalars(old):
        each.due_at, each.error = None, each.error or "there was no address of this name"
    settled = select(Delivery).where(Delivery.due_at.is_(None), Delivery.queued_at < at - KEPT).limit(1000)
    for each in session.scalars(settled):
        session.delete(each)


def _enter(engine: Engine, outcomes: Sequence[Outcome]) -> None:
    with transaction(engine) as session:
        for outcome in outcomes:
            row = session.get(Delivery, outcome.id)
            if row is None:
                continue
            row.error = outcome.error
            if not outcome.error:
                row.sent_at, row.due_at = now(), None


def waiting(engine: Engine) -> list[Delivery]:
    """Messages that were tried and not sent, or wait for their first try, oldest first."""
    statement = select(Delivery).where(Delivery.due_at.is_not(None)).order_by(Delivery.id)
    with reading(engine) as session:
        return list(session.scalars(statement))
