"""Dagster's event rows: what an old run leaves behind, less what tells of no product.

A group's runs write some 190 rows, of which pages and the status of partitions need those of assets.
What checks said stands a second time in a table of its own (``asset_check_executions``), which pages of
checks read and nothing here touches.  Runs themselves are never deleted: the status of partitions would go
with them.

Belongs here: which rows go, in Dagster's own tables, and every use of parts of its storage that it does
not promise to keep as they are.  Does not belong here: when that happens (``sensors/retention.py``,
``contimg retention``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from sqlalchemy import Connection, and_, create_engine, delete, func, or_, select

#: Rows that stay: what assets said, and why a run failed.
KEPT = (
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.ASSET_OBSERVATION,
    DagsterEventType.ASSET_FAILED_TO_MATERIALIZE,
    DagsterEventType.ASSET_WIPED,
    DagsterEventType.FRESHNESS_STATE_CHANGE,
    DagsterEventType.STEP_FAILURE,
    DagsterEventType.RUN_FAILURE,
    DagsterEventType.RUN_CANCELED,
)
#: These stay until the product is there: without one, they tell that a partition failed.
_PLANNED = DagsterEventType.ASSET_MATERIALIZATION_PLANNED
_FINISHED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
#: Runs whose rows go at once.
_BATCH = 200
#: Dagster's store of cursors keeps here up to when runs have been dealt with.
_CURSOR = "contimg/event-rows-pruned-until"


@dataclass(frozen=True)
class Pruned:
    """What a prune did."""

    n_runs: int
    n_rows: int


def _filter(instance: DagsterInstance, days: float) -> RunsFilter:
    """Finished runs that changed last before so many days, and after what was dealt with."""
    before = datetime.now(UTC) - timedelta(days=days)
    kept = instance.daemon_cursor_storage.get_cursor_values({_CURSOR}).get(_CURSOR)
    after = datetime.fromisoformat(kept) if kept else None
    return RunsFilter(statuses=_FINISHED, updated_after=after, updated_before=before)


def prunable_runs(instance: DagsterInstance, days: float) -> int:
    """Number of runs whose rows would go.

    Parameters
    ----------
    instance : DagsterInstance
    days : float
        Time since their end, days.
    """
    return instance.get_runs_count(_filter(instance, days))


def prune(instance: DagsterInstance, days: float, most: int | None = None) -> Pruned:
    """Remove the rows of old runs that nothing needs.

    It may be ended and begun again at any moment.

    Parameters
    ----------
    instance : DagsterInstance
    days : float
        Time since a run's end, days.
    most : int, optional
        Runs at most; default: all.

    Returns
    -------
    Pruned
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        # In memory: it goes with the process.
        return Pruned(0, 0)
    n_runs = n_rows = 0
    while most is None or n_runs < most:
        room = _BATCH if most is None else min(_BATCH, most - n_runs)
        records = instance.get_run_records(
            _filter(instance, days), limit=room, order_by="update_timestamp", ascending=True
        )
        if not records:
            break
        runs = [record.dagster_run.run_id for record in records]
        with storage.index_connection() as connection:
            n_rows += _remove(connection, runs)
        if isinstance(storage, SqliteEventLogStorage):
            n_rows += sum(_prune_file(storage, run) for run in runs)
        n_runs += len(runs)
        instance.daemon_cursor_storage.set_cursor_values({_CURSOR: records[-1].update_timestamp.isoformat()})
    return Pruned(n_runs, n_rows)


def _remove(connection: Connection, runs: Sequence[str], *, all_of_them: bool = False) -> int:
    """Remove rows of some runs from one database, which has all their rows or others' too; their number."""
    events = SqlEventLogStorageTable
    kept = [event.value for event in (*KEPT, _PLANNED)]
    # SQLite gives the number of the last row again once that is gone, and cursors would be ahead of new rows.
    newest = select(func.max(events.c.id)).scalar_subquery()
    idle = delete(events).where(
        events.c.run_id.in_(runs),
        *(() if all_of_them else (events.c.id < newest,)),
        or_(events.c.dagster_event_type.is_(None), events.c.dagster_event_type.not_in(kept)),
    )
    made = (
        select(events.c.asset_key, events.c.partition, func.max(events.c.id).label("id"))
        .where(
            events.c.run_id.in_(runs),
            events.c.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION.value,
        )
        .group_by(events.c.asset_key, events.c.partition)
        .subquery()
    )
    planned = events.alias()
    # Of runs before, too: one that failed has no more to say once its product has been made.
    fulfilled = select(planned.c.id).join(
        made,
        and_(
            planned.c.asset_key == made.c.asset_key,
            planned.c.dagster_event_type == _PLANNED.value,
            planned.c.partition == made.c.partition,
            planned.c.id < made.c.id,
        ),
    )
    statements: Sequence[Any] = (idle, delete(events).where(events.c.id.in_(fulfilled)))
    return sum(connection.execute(statement).rowcount for statement in statements)


def _prune_file(storage: SqliteEventLogStorage, run: str) -> int:
    """The same in the file that SQLite has for each run, which is made smaller; the number of rows."""
    if not Path(storage.path_for_shard(run)).exists():
        return 0
    with storage.run_connection(run) as connection:
        number = _remove(connection, [run], all_of_them=True)
    if number:
        engine = create_engine(storage.conn_string_for_shard(run), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("VACUUM")
        engine.dispose()
    return number
