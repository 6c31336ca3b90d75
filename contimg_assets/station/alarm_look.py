"""One look at an installation: what has happened and lasts becomes alarms, and messages are queued.

A look takes no longer than a few statements: nothing is sent in it (``deliveries.py``).

Belongs here: the order of a look, for the sensor and the command alike, also where there is no
database.  Does not belong here: what each step does.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.orm import Session

from contimg_assets.radio import storage
from contimg_assets.radio.errors import SettingsError
from contimg_assets.radio.files import write_atomically
from contimg_assets.settings import Settings
from contimg_assets.station.addresses import Address, read_addresses
from contimg_assets.station.alarm_messages import WORDS, heading, plain, queue_cleared, queue_due
from contimg_assets.station.alarm_models import Alarm
from contimg_assets.station.alarm_rules import conditions
from contimg_assets.station.alarms import (
    LOG_MARK,
    STORAGE_KINDS,
    Condition,
    clear_quiet,
    locked_mark,
    open_alarms,
    take_alerts,
    take_conditions,
)
from contimg_assets.station.alerts import LOG
from contimg_assets.station.columns import now
from contimg_assets.station.database import transaction
from contimg_assets.station.deliveries import Outcome, send_each
from contimg_assets.station.installation import Installation

#: In the home: what was told while there was no database, and when.
DIRECT_FILE = "told_without_database.json"
#: That is told again after so long, while it lasts.
DIRECT_AGAIN = timedelta(hours=6)


@dataclass(frozen=True)
class Unusable:
    """Why an installation cannot be used, as it was told in the log."""

    kind: str
    subject: str
    message: str


def look(
    station: Installation, more: Sequence[Condition] = (), more_kinds: Collection[str] = ()
) -> tuple[list[Alarm], list[Alarm]]:
    """Look once.

    Parameters
    ----------
    station : Installation
        Its database must be there.
    more : sequence of Condition
        What else lasts, from whom knows more than the database.
    more_kinds : collection of str
        Kinds that it has looked at.

    Returns
    -------
    opened, cleared : list of Alarm
        Alarms of what lasts that are new, and all that are over now.
    """
    settings, at = station.settings, now()
    addresses, wrong = usable_addresses(settings.home)
    found, kinds = conditions(station.engine, settings, at)
    alarms = settings.alarms
    with transaction(station.engine) as session:
        # Its row lets one look at a time, whoever looks.
        mark = locked_mark(session, LOG_MARK)
        news = station.notifier.after(mark.value)
        take_alerts(session, news, at)
        mark.value = news[-1].id if news else mark.value
        opened, cleared = take_conditions(
            session, [*found, *more, *wrong], {*kinds, *more_kinds, "addresses"}, at
        )
        cleared += clear_quiet(session, timedelta(hours=alarms.over_after_hours), at)
        cleared += _usable_again(session, settings, at)
        queue_due(session, settings, addresses, at)
        queue_cleared(session, settings, addresses, cleared, at)
    for alarm in opened:
        station.notifier.send(
            alarm.kind, alarm.subjects[0], f"{heading(alarm)}: {alarm.message}", severity=LOG
        )
    for alarm in cleared:
        station.notifier.send(alarm.kind, alarm.subjects[0], f"over: {heading(alarm)}", severity=LOG)
    return opened, cleared


def usable_addresses(home: Path) -> tuple[list[Address], list[Condition]]:
    """Addresses; if the file of them cannot be used there are none, and that lasts."""
    try:
        return read_addresses(home), []
    except SettingsError as error:
        return [], [Condition("addresses", "", str(home), str(error))]


def tell_without_database(settings: Settings, found: Unusable) -> list[Outcome]:
    """Send at once that the installation cannot be used, to all addresses, every few hours while it lasts."""
    at, what = now(), f"{found.kind} {found.subject}"
    told = _read_told(settings.home)
    addresses, _ = usable_addresses(settings.home)
    if not addresses or (what in told and at - told[what] < DIRECT_AGAIN):
        return []
    title = f"contimg NOW: {WORDS[found.kind]}: {plain(found.subject)}"
    body = f"{plain(found.message)}\nNothing is begun until that is mended; contimg doctor tells more."
    message = {"id": 0, "title": title[:200], "body": body, "attachment": None}
    outcomes = send_each({address: [message] for address in addresses if address.takes("page")})
    if any(not outcome.error for outcome in outcomes):
        _write_told(settings.home, {**told, what: at})
    return outcomes


def _usable_again(session: Session, settings: Settings, at: datetime) -> list[Alarm]:
    """Let alarms be over of storage that can be used again: as the database can, or we were not here."""
    cleared = []
    directly = _read_told(settings.home)
    for alarm in open_alarms(session):
        if alarm.kind not in STORAGE_KINDS or not _is_well(alarm.subjects[0], settings):
            continue
        first = directly.get(f"{alarm.kind} {alarm.subjects[0]}")
        if first is not None and alarm.told_at is None:
            alarm.told_at, alarm.times_told, alarm.n_told = first, 1, alarm.n_times
        alarm.cleared_at = at
        cleared.append(alarm)
    if directly:
        (settings.home / DIRECT_FILE).unlink(missing_ok=True)
    session.flush()
    return cleared


def _is_well(subject: str, settings: Settings) -> bool:
    """Whether that can be used at which a fault of storage was met: a folder, or the database."""
    folder = Path(subject)
    if not folder.is_absolute():
        return True
    written = folder.is_relative_to(settings.home) or folder == settings.scratch
    return folder.is_dir() and not (written and storage.fault_at(folder) is not None)


def _read_told(home: Path) -> dict[str, datetime]:
    try:
        text = (home / DIRECT_FILE).read_text(encoding="utf-8")
        return {what: datetime.fromisoformat(at) for what, at in json.loads(text).items()}
    except (OSError, ValueError):
        return {}  # nobody was told, or nobody knows it any more: once too often is better than never


def _write_told(home: Path, told: dict[str, datetime]) -> None:
    try:
        write_atomically(home / DIRECT_FILE, json.dumps({what: at.isoformat() for what, at in told.items()}))
    except OSError:
        return  # whoever has this sent remembers (``sensors/alarms.py``)
