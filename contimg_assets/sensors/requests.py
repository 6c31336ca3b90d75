"""What the sensors share: which groups are taken or wait for storage, and how a run is asked for."""

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta

from dagster import DagsterInstance, RunRequest
from sqlalchemy.exc import DBAPIError

from contimg_assets.jobs import CATCH_UP_PRIORITY, LIVE_PRIORITY
from contimg_assets.radio.errors import DatabaseError
from contimg_assets.radio.group_key import key_time
from contimg_assets.resources.dagster_resources import DatabaseResource
from contimg_assets.resources.dagster_runs import DagsterRuns
from contimg_assets.settings import get_settings
from contimg_assets.station.alarm_look import Unusable
from contimg_assets.station.alerts import Notifier
from contimg_assets.station.database_faults import refuse_lost
from contimg_assets.station.installation import Installation
from contimg_assets.station.leases import Leases
from contimg_assets.station.models import ObservationGroup
from contimg_assets.station.space import Guard
from contimg_assets.station.storage import fault_here, fault_of, folders_away, place_of, tell_once

PRIORITY_TAG = "dagster/priority"
#: Which of a station's workers may take a run: the station's own, or all of them.
QUEUE_TAG = "dagster-celery/queue"
#: Groups younger than this are live: they go before a catch-up's.
LIVE = timedelta(hours=1)


def taken_keys(instance: DagsterInstance, leases: Leases) -> set[str]:
    """Groups that have an unfinished run, or that somebody holds."""
    return DagsterRuns(instance).unfinished_keys() | leases.held().keys()


def is_live(group: ObservationGroup) -> bool:
    """Whether a group has just been observed, so that it goes before those of a catch-up."""
    return key_time(group.key) > datetime.now(UTC) - LIVE


def usable() -> bool:
    """Whether runs can be made here now; if not, that is told, once for each cause.

    To be asked before the station database is opened: opening makes one where there is none.
    """
    return unusable() is None


def unusable() -> Unusable | None:
    """Why runs cannot be made here now, which is told, once for each cause; None if they can."""
    settings = get_settings()
    notifier = Notifier(settings.home)
    try:
        refuse_lost(settings)
    except DatabaseError as error:
        found = Unusable("database_lost", str(settings.home), str(error))
        notifier.send_once(found.kind, found.subject, found.message)
        return found
    except DBAPIError as error:
        fault = fault_of(error)
        if fault is None:
            raise
    else:
        fault = fault_here(settings)
    if fault is None:
        return None
    tell_once(notifier, fault)
    return Unusable("storage", place_of(fault), fault.cause)


def with_files(database: DatabaseResource, groups: Iterable[ObservationGroup]) -> list[ObservationGroup]:
    """Pending groups whose files' folder is there; the others wait, and why is told once for each folder."""
    found = list(groups)
    away = folders_away(found)
    for fault in {str(fault): fault for fault in away.values()}.values():
        tell_once(Installation(get_settings()).notifier, fault)
        database.interruptions().hold_back([k for k, f in away.items() if str(f) == str(fault)], str(fault))
    return [group for group in found if group.key not in away]


def admitted(groups: Iterable[ObservationGroup], n_taken: int) -> list[ObservationGroup]:
    """Pending groups to start now: all live ones, and of a catch-up as many as keep the queue short.

    A short queue is soon looked through, and lets later stages keep up with the first.
    """
    room = 2 * get_settings().ingest.starts_per_tick - n_taken
    found = list(groups)
    live = [group for group in found if is_live(group)]
    return live + [group for group in found if not is_live(group)][: max(0, room - len(live))]


def room_for(database: DatabaseResource, asked: Collection[str]) -> tuple[int, str]:
    """How many new groups the disk has room for, and why it is none; a change is told.

    Parameters
    ----------
    database : DatabaseResource
    asked : collection of str
        Groups that have an unfinished run.
    """
    space = Guard(database.records().engine, get_settings()).judge(Notifier(get_settings().home), asked)
    if space.stopped:
        return 0, space.text
    return (get_settings().ingest.starts_per_tick if space.n_more is None else space.n_more), ""


def run_requests(
    groups: Iterable[ObservationGroup], job_name: str | Callable[[ObservationGroup], str]
) -> list[RunRequest]:
    """Ask for one run of each group, as many as one tick may start.

    Parameters
    ----------
    groups : iterable of ObservationGroup
        Newest first.
    job_name : str or callable
        The job, or what says which it is of a group.

    Returns
    -------
    list of RunRequest
        Their run key is the group's, so that a group is started once; every
        reopening of a group makes a new one.
    """
    requests: list[RunRequest] = []
    for group in groups:
        if len(requests) == get_settings().ingest.starts_per_tick:
            break
        priority = LIVE_PRIORITY if is_live(group) else CATCH_UP_PRIORITY
        requests.append(
            RunRequest(
                run_key=group.key if group.retries == 0 else f"{group.key} retry {group.retries}",
                partition_key=group.key,
                job_name=job_name if isinstance(job_name, str) else job_name(group),
                tags={PRIORITY_TAG: str(priority), QUEUE_TAG: "live" if is_live(group) else "bulk"},
            )
        )
    return requests
