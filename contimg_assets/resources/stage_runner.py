"""Starting stages: everything that loads CASA, casacore or pyuvdata runs in a process of its own.

Belongs here: the environment, working folder and outcome of one ``contimg``
stage under Dagster Pipes.  Does not belong here: what a stage does
(``stages/``), or which stage an asset needs (``assets/``).
"""

import os
import signal
import time
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import (
    AssetExecutionContext,
    ConfigurableResource,
    DagsterRun,
    Failure,
    InitResourceContext,
    PipesTempFileContextInjector,
    PipesTempFileMessageReader,
    PreviewWarning,
    open_pipes_session,
)

from contimg_assets.partitions import PARTITION_TAG
from contimg_assets.radio.errors import StorageError
from contimg_assets.radio.interrupts import note_signals, noted
from contimg_assets.radio.processes import end_at_once
from contimg_assets.radio.storage import fault_at
from contimg_assets.resources import warm_stages
from contimg_assets.resources.dagster_runs import is_cancelled, lease_owner, why_interrupted
from contimg_assets.settings import Settings, get_settings
from contimg_assets.station import leftovers
from contimg_assets.station.database import engine_for, patient
from contimg_assets.station.installation import Installation
from contimg_assets.station.models import INTERRUPTED, STORAGE
from contimg_assets.station.products import StationRecords
from contimg_assets.station.storage import PATIENCE_S, tell_once, wait_until_usable
from contimg_assets.station.store import Store

#: Variables by which compiled loops are told how many threads to use; those of matrix products, which are
#: small, would wait for each other in a circle (``cli/__init__.py``).
THREAD_VARIABLES = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
#: The module behind the command ``contimg``: not the script, which need not be on the path.
ENTRY_MODULE = "contimg_assets.cli"
#: Whether the code of stages is loaded once for all stages of a run.
LOADS = True
#: Of Dagster's own call of itself, in the log of every step.
warnings.filterwarnings("ignore", r".*PipesMessageReader\.expected_writer_count", PreviewWarning)


def _message(messages: Sequence[Any], name: str) -> dict[str, Any] | None:
    """The last thing that a stage reported under ``name``."""
    found = [message for message in messages if isinstance(message, dict) and name in message]
    return found[-1] if found else None


def _measured(store: Store, arguments: Sequence[str | Path]) -> StorageError | None:
    """What is wrong with the storage that a stage worked with, if anything can be measured.

    C++ libraries end a process with SIGABRT when a disk is full, and say nothing of it.
    """
    paths = [each for each in arguments if isinstance(each, Path) and each.is_relative_to(store.home)]
    below = [path.parent for path in paths]
    found = (fault_at(folder) for folder in dict.fromkeys([store.home, store.scratch, *below]))
    return next((fault for fault in found if fault is not None), None)


class StageRunner(ConfigurableResource):
    """Runs ``contimg <stage> …`` for an asset and hands back its result.

    From the start of a run to its end, between its steps too, the run gives signs
    of life for its group, unless it works under a command's lease.
    """

    @contextmanager
    def yield_for_execution(self, context: InitResourceContext) -> Generator["StageRunner", None, None]:
        """Live as long as the run."""
        end_at_once()
        run = context.run
        if run is None or PARTITION_TAG not in run.tags or lease_owner(run) != run.run_id:
            yield self
            return
        station = Installation(get_settings())
        note_signals()
        with patient(PATIENCE_S), station.leases.living(run.run_id):
            try:
                yield self
            finally:
                self._end(context, station, run)

    @staticmethod
    def _end(context: InitResourceContext, station: Installation, run: DagsterRun) -> None:
        """Let the group go back, if the run was broken off where none of its steps could say so.

        While its storage is away, the run waits: what Dagster has to write of its end could not be written.
        """
        key, cause, reason = run.tags[PARTITION_TAG], INTERRUPTED, ""

        def tell(fault: StorageError) -> None:
            tell_once(station.notifier, fault)

        fault = wait_until_usable(station.settings, tell) if noted() is None else None
        if fault is not None:
            # Where the home was full, it could not be kept before.
            tell(fault)
            cause, reason = STORAGE, str(fault)
        elif noted() is not None or (context.instance and is_cancelled(context.instance, run)):
            reason = why_interrupted(context.instance, run)
        if reason:
            station.interruptions.put_back(key, run.run_id, reason, cause)

    def run(
        self, context: AssetExecutionContext, stage: Sequence[str], *arguments: str | Path
    ) -> dict[str, Any]:
        """Run one stage to its end.

        Parameters
        ----------
        context : AssetExecutionContext
            Of the asset that needs it; the stage's output goes to its compute log.
        stage : sequence of str
            Name of the stage, such as ``["qa", "ms"]``.
        *arguments : str or Path
            Its command-line arguments.

        Returns
        -------
        dict
            The stage's result, and ``stage_seconds`` and ``peak_memory_mb`` of its process.

        Raises
        ------
        StorageError
            If storage was at fault, as the stage reports it or as is measured after it has crashed.
        dagster.Failure
            Without retries if the stage found fault with its input; with
            retries allowed if it crashed, or reported nothing (a node that is
            lost can look like a good end).
        """
        settings = get_settings()
        name = f"contimg {' '.join(stage)}"
        command = [*stage, *map(str, arguments), "--json"]
        store = Store(settings.home, settings.scratch)
        _tidy(context, settings, store)
        with (
            store.scratch_folder("-".join(stage)) as folder,
            open_pipes_session(
                context=context,
                context_injector=PipesTempFileContextInjector(),
                message_reader=PipesTempFileMessageReader(),
            ) as session,
        ):
            context.log.info("$ contimg %s", " ".join(command))
            began = time.monotonic()
            variables = session.get_bootstrap_env_vars()
            ended = warm_stages.run(_kind(settings), ENTRY_MODULE, command, folder, variables)
            stage_seconds = time.monotonic() - began
            # While what the stage has written is still there.
            fault = _measured(store, arguments) if ended.returncode else None
        messages = session.get_custom_messages()
        error = _message(messages, "error")
        if error is not None and error["error"] == StorageError.__name__:
            raise StorageError(error["cause"], Path(error["folder"]) if error["folder"] else None)
        if error is not None:
            raise Failure(description=f"{error['error']}: {error['message']}", allow_retries=False)
        if fault is not None:
            raise fault
        reported = _message(messages, "result")
        if ended.returncode < 0:
            raise Failure(f"{name} was killed by {signal.Signals(-ended.returncode).name}")
        if ended.returncode > 0:
            raise Failure(f"{name} crashed with exit code {ended.returncode}: see the stderr of this step")
        if reported is None:
            raise Failure(f"{name} ended without reporting a result")
        return {"stage_seconds": stage_seconds, "peak_memory_mb": ended.peak_memory_mib, **reported["result"]}


def _tidy(context: AssetExecutionContext, settings: Settings, store: Store) -> None:
    """Remove what killed processes left in scratch, and of the group that is taken up again."""
    leftovers.sweep_scratch(store)
    left = leftovers.of_group(store, context.partition_key) if context.has_partition_key else []
    if left:
        records = StationRecords(engine_for(settings.sqlalchemy_url))
        for sentence in leftovers.sweep_group(records, store, context.partition_key, left).refused:
            context.log.warning("left by a killed process, and could not be removed: %s", sentence)


def _kind(settings: Settings) -> warm_stages.Kind:
    """The surroundings of a stage."""
    threads = dict.fromkeys(THREAD_VARIABLES, str(settings.threads))
    environment = {**os.environ, **threads, "MPLBACKEND": "Agg", "CONTIMG_HOME": str(settings.home)}
    return warm_stages.Kind(settings.home / "casa" if LOADS else None, environment)
