"""What people ask an installation to do: process a folder, make a group again, and so on.

Belongs here: which groups are taken, the order of their jobs, and what became of
each, so that command line, API and pages do the same.  Does not belong here: how
a job is run (handed in, see ``resources/foreground_runs.py``), what a job makes
(``assets/``), or printing (``cli/``).
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sqlalchemy.exc import DBAPIError

from contimg_assets.radio.errors import StateError, StorageError, VerdictError
from contimg_assets.radio.group_key import key_time
from contimg_assets.radio.grouping import FileGroup, find_groups, group_files, list_names
from contimg_assets.radio.interrupts import Interrupted, tidying
from contimg_assets.radio.uvh5 import file_stamp
from contimg_assets.settings import Settings
from contimg_assets.station import publication
from contimg_assets.station.alerts import Notifier
from contimg_assets.station.ingest_policy import NOTHING_MORE, is_near, next_step
from contimg_assets.station.installation import Installation
from contimg_assets.station.interruptions import Interruptions
from contimg_assets.station.lease_judge import Judge, Runs
from contimg_assets.station.leases import Leases, command_holder, new_command
from contimg_assets.station.make_again import Step, steps_to
from contimg_assets.station.models import INTERRUPTED, STORAGE
from contimg_assets.station.products import StationRecords
from contimg_assets.station.registration import register
from contimg_assets.station.retention_rules import CONVERTED
from contimg_assets.station.room_waiting import wait_for_room
from contimg_assets.station.storage import (
    LOOK_S,
    PATIENCE_S,
    fault_of,
    folders_away,
    located,
    tell_once,
    wait_until_usable,
)
from contimg_assets.station.store import Store

#: Names of the jobs, in the order in which a group goes through them.
CONVERT, SOLVE, IMAGE = "convert_group", "solve_calibrator", "image_group"
#: Converts and images in one run: for a group that waits for no calibration.
PROCESS = "process_group"
#: Job of the products of a sidereal day.
DAY = "day_products"
#: What became of a group.  The last two make the command fail.
COMPLETED, SKIPPED, WAITING, BUSY = "completed", "skipped", "waiting", "busy"
FAILED, REJECTED = "failed", "rejected"
BAD_OUTCOMES = (FAILED, REJECTED)


@dataclass
class Outcome:
    """What became of one group."""

    key: str
    """Group, or the first file's name where none could be told."""
    status: str
    reason: str = ""
    refused: list[tuple[Path, str]] = field(default_factory=list)
    """Files of it that could not be used, each with the reason."""
    seconds: float = 0.0

    @property
    def bad(self) -> bool:
        """Whether the command fails because of it."""
        return self.status in BAD_OUTCOMES


@dataclass(frozen=True)
class RunResult:
    """How one run of a job ended."""

    success: bool
    reason: str = ""
    """What its failed steps and checks said."""


class Launcher(Runs, Protocol):
    """What runs the jobs."""

    def run(self, job: str, key: str, owner: str, step: Step | None = None) -> RunResult:
        """Run a job of a group to its end, under the lease of ``owner``; or only a step of it."""
        ...

    def unfinished_keys(self) -> set[str]:
        """Groups that have an unfinished run, also one that waits for its turn."""
        ...

    def announce(self, key: str, files: Mapping[int, Path], *, calibrator: bool) -> None:
        """Make a group known to whoever shows and runs groups; harmless if it is already."""
        ...


@contextmanager
def sole_owner(leases: Leases, store: Store, runs: Runs, key: str, name: str) -> Iterator[str]:
    """Hold one group for the length of the block, for a change that needs no run.

    Parameters
    ----------
    leases : Leases
        Of the station.
    store : Store
        Of the same station.
    runs : Runs
        Where runs of dead holders are ended.
    key : str
        The group; it is registered.
    name : str
        What a person calls the command.

    Yields
    ------
    str
        The owner of the lease.

    Raises
    ------
    StateError
        If somebody else holds the group.
    """
    Judge(leases, store).bury(runs)
    owner = new_command()
    with leases.living(owner):
        if not leases.take(key, owner, command_holder(name)):
            raise StateError(f"group {key} is held by {leases.of(key) or 'another process'}: try again later")
        yield owner


#: Told of each run: group, what is being done, and of how many runs it is which.
Progress = Callable[[str, str, int, int], None]


class Operations:
    """Operations of one station, for the length of one command.

    Parameters
    ----------
    settings : Settings
        Of this process.
    records : StationRecords
        Groups and their states.
    leases : Leases
        Who works on them.
    launcher : Launcher
        Runs the jobs.
    name : str
        What a person calls the command, such as ``contimg process``.
    progress : Progress
        Told before each run.
    tell : callable
        Told what the command waits for.
    """

    def __init__(
        self,
        settings: Settings,
        records: StationRecords,
        leases: Leases,
        launcher: Launcher,
        *,
        name: str,
        progress: Progress = lambda *_: None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self.records = records
        self.leases = leases
        self.launcher = launcher
        self.name = name
        self.progress = progress
        self.store = Store(settings.home, settings.scratch)
        self.judge = Judge(leases, self.store, tell)
        self.interruptions = Interruptions(records.engine)

    # -- which groups -----------------------------------------------------------------------

    def survey(self, folder: Path) -> tuple[dict[str, FileGroup], list[Outcome]]:
        """Register what is ready in a folder.

        Parameters
        ----------
        folder : Path
            Files of any number of groups.  Taken as it stands: a group of 12 to
            15 subbands does not wait for the rest, unless this is the folder
            where files still arrive.

        Returns
        -------
        tuple
            The groups to process, and the outcomes of the others.
        """
        ready: dict[str, FileGroup] = {}
        outcomes: list[Outcome] = []
        for found in find_groups(folder, cluster_s=self.settings.ingest.cluster_s):
            known = self.records.find(found.key) if found.key else None
            if known is not None and known.state == "completed":
                outcomes.append(self._done_before(known.key, found))
                continue
            outcome = self._enter(folder, found, ready)
            if outcome is not None:
                outcomes.append(outcome)
        return ready, outcomes

    def _done_before(self, key: str, found: FileGroup) -> Outcome:
        try:
            self.records.refuse_errors(key, "image_qa")
        except VerdictError as error:
            return Outcome(key, FAILED, f"completed before, but {error}", found.bad)
        return Outcome(key, SKIPPED, "completed before", found.bad)

    def _enter(self, folder: Path, found: FileGroup, ready: dict[str, FileGroup]) -> Outcome | None:
        """Register one group; an outcome if it cannot be processed."""
        # Only now are the data looked through: it is the whole folder's volume.
        paths = [*found.files.values(), *found.duplicates, *(path for path, _ in found.bad)]
        groups = group_files(paths, cluster_s=self.settings.ingest.cluster_s, check_contents=True)
        group = next((g for g in groups if g.key == found.key), found)
        name = group.key or (group.bad[0][0].name if group.bad else "no group")
        if group.key is None or group.header is None:
            return Outcome(name, REJECTED, group.reason, group.bad)
        timeout_s = self.settings.ingest.timeout_s
        step = next_step(group.status, self._waited_s(folder, list(group.files.values())), timeout_s)
        register(group, self.settings, self.records, ready=step == "take")
        if group.status == "bad":
            return Outcome(name, REJECTED, group.reason, group.bad)
        if step != "take":
            told = f"{group.reason}; taken {timeout_s:g} s after the last file"
            return Outcome(name, WAITING, told, group.bad)
        self._announce(group.key, group.files)
        ready[group.key] = group
        return None

    def _waited_s(self, folder: Path, files: list[Path]) -> float:
        if folder.resolve() != self.settings.incoming_folder.resolve():
            return NOTHING_MORE
        return time.time() - max(path.stat().st_mtime for path in files)

    def _announce(self, key: str, files: Mapping[int, Path]) -> None:
        calibrator = self.records.group(key).calibrator_name is not None
        self.launcher.announce(key, files, calibrator=calibrator)

    @contextmanager
    def _holding(self, keys: list[str]) -> Iterator[tuple[str, list[str], list[Outcome]]]:
        """Hold groups that nobody else works on, after tidying up behind processes that died.

        Yields
        ------
        tuple
            The command as the owner of leases, the groups that are its own, and the outcomes of the others.
        """
        self.judge.bury(self.launcher)
        owner = new_command()
        with self.leases.living(owner):
            ours = self.leases.take_many(keys, owner, command_holder(self.name))
            held, running = self.leases.held(), self.launcher.unfinished_keys()
            free = [key for key in keys if key in ours and key not in running]
            busy: list[Outcome] = []
            for key in keys:
                if key not in ours:
                    holder = held.get(key, "another process, which has just ended")
                    busy.append(Outcome(key, BUSY, f"group {key} is held by {holder}"))
                elif key not in free:
                    self.leases.release(owner, key)
                    busy.append(Outcome(key, BUSY, f"group {key} has a run that waits or works"))
            try:
                yield owner, free, busy
            except Interrupted as interrupt:
                with tidying():
                    self._let_go(free, owner, str(interrupt))
                raise

    def _let_go(self, keys: list[str], owner: str, reason: str) -> None:
        """Put the command's groups back that are not done: the next command or run goes on with them."""
        for key in keys:
            self.interruptions.put_back(key, owner, reason, INTERRUPTED)

    def _reopen(self, key: str, owner: str, *states: str) -> None:
        """Put a group that is this command's back to where it can be converted."""
        if self.records.group(key).state == "in_progress":
            # Nobody held it: its worker is dead, or it waited between two of its runs.
            self.leases.restart(key, owner, "processed again on request")
        elif self.records.group(key).state in states:
            self.records.reopen(key, "processed again on request")

    # -- running them -----------------------------------------------------------------------

    def process(self, folder: Path) -> list[Outcome]:
        """Process every ready group of a folder, calibrators first.

        Returns
        -------
        list of Outcome
            One for each group in the folder, in order of time.
        """
        ready, outcomes = self.survey(folder)
        with self._holding(sorted(ready)) as (owner, keys, busy):
            for key in keys:
                self._reopen(key, owner, "failed")
                # Those that were reopened: their files may be others now.
                register(ready[key], self.settings, self.records, ready=True)
            done = self._run_all(keys, owner)
        for outcome in done:
            outcome.refused = ready[outcome.key].bad
        return sorted([*outcomes, *busy, *done], key=lambda outcome: outcome.key)

    def reprocess(self, key: str, *, keep_flags: bool = False) -> list[Outcome]:
        """Make everything of one group again, from its files on: those that came late are taken too.

        With ``keep_flags``, its Measurement Set and present flags stay, and what follows is made of them.
        """
        self.launcher.announce(key, {}, calibrator=self.records.group(key).calibrator_name is not None)
        with self._holding([key]) as (owner, keys, busy):
            for free in keys:
                if keep_flags:
                    converted = self.records.products(free).get(CONVERTED)
                    if converted is not None and converted.removed:
                        raise StateError(publication.removed_text(converted))
                    self.leases.take_up(free, owner)
                else:
                    self.interruptions.begin_anew(free, owner, "processed again on request")
                    self._reopen(free, owner, "completed", "failed")
                    self._look_again(free)
            return [*busy, *self._run_all(keys, owner, convert=not keep_flags)]

    def make_again(self, key: str, product: str) -> list[Outcome]:
        """Make a product of a completed group again whose content was removed; the group stays completed."""
        steps = steps_to(Installation(self.settings), key, product)
        return self.make_steps({key: steps}) if steps else [Outcome(key, SKIPPED, f"its {product} is there")]

    def make_steps(self, steps: Mapping[str, Sequence[Step]]) -> list[Outcome]:
        """Run steps of completed groups, which stay completed."""
        with self._holding(list(steps)) as (owner, keys, busy):
            if keys:
                wait_for_room(self.records.engine, self.settings, self.judge.tell)
            outcomes = {key: Outcome(key, COMPLETED) for key in keys}
            todo = [(key, step) for key in keys for step in steps[key]]
            for number, (key, step) in enumerate(todo):
                if outcomes[key].bad:
                    continue
                self.progress(key, step.assets[0], number, len(todo))
                job = CONVERT if step.assets == (CONVERTED,) else IMAGE
                result = self.launcher.run(job, key, owner, step)
                if not result.success:
                    outcomes[key] = Outcome(key, FAILED, f"{step.assets[0]}: {result.reason}")
            return [*busy, *outcomes.values()]

    def reopen(self, key: str, reason: str) -> None:
        """Put a group that is done back to ``pending``, for the sensors to make again.

        Raises
        ------
        StateError
            If somebody holds it, or it is neither completed nor failed.
        """
        with sole_owner(self.leases, self.store, self.launcher, key, self.name):
            self.records.reopen(key, reason)

    def _look_again(self, key: str) -> None:
        """Register a pending group anew, from what lies beside its files now."""
        cluster_s, at = self.settings.ingest.cluster_s, key_time(key)
        near: list[Path] = []
        for folder in {Path(path).parent for path in self.records.group(key).files.values()}:
            for name in list_names(folder) if folder.is_dir() else ():
                stamp = file_stamp(name)
                if stamp and is_near(stamp[0], at, at, cluster_s):
                    near.append(folder / name)
        for group in group_files(near, cluster_s=cluster_s):
            if group.key == key and group.status != "bad":
                register(group, self.settings, self.records, ready=True)

    def _run_all(self, keys: list[str], owner: str, *, convert: bool = True) -> list[Outcome]:
        calibrators = [key for key in keys if self.records.group(key).calibrator_name is not None]
        steps: list[tuple[str, str]] = []
        for key in calibrators:
            steps += [(key, CONVERT)] if convert else []
            steps.append((key, SOLVE))
        for key in keys:
            # All of a target in one run: its calibration stands by now, or never will.
            steps.append((key, PROCESS if convert and key not in calibrators else IMAGE))
        outcomes = {key: Outcome(key, COMPLETED) for key in keys}
        for number, (key, job) in enumerate(steps):
            if outcomes[key].bad:
                continue
            if job in (CONVERT, PROCESS):
                wait_for_room(self.records.engine, self.settings, self.judge.tell)
            self.progress(key, job, number, len(steps))
            started = time.monotonic()
            result = self._run(job, key, owner)
            outcomes[key].seconds += time.monotonic() - started
            if not result.success:
                outcomes[key].status = FAILED
                outcomes[key].reason = self._settle(key, owner, f"{job}: {result.reason}")
        return [outcomes[key] for key in keys]

    def _run(self, job: str, key: str, owner: str) -> RunResult:
        """Run a job; again, from the stage that it had come to, when a fault of storage broke it off."""
        while True:
            fault: StorageError | None = None
            try:
                result = self.launcher.run(job, key, owner)
            except (DBAPIError, OSError) as error:
                # Dagster's own database, or its logs.
                fault = fault_of(error)
                if fault is None:
                    raise
                fault = located(fault, self.settings)
                result = RunResult(success=False, reason=str(fault))
            if result.success or (fault is None and self.interruptions.last(key) != STORAGE):
                return result
            self._wait_for_storage(key, result.reason)
            if fault is not None:
                tell_once(Notifier(self.settings.home), fault)
                self.interruptions.put_back(key, owner, str(fault), STORAGE)
            if job not in (CONVERT, PROCESS):
                self.interruptions.go_on(key, owner, "storage is back")

    def _wait_for_storage(self, key: str, reason: str) -> None:
        """Wait while storage is at fault, here or where the group's files are; it is told on one line.

        Raises
        ------
        StorageError
            If it is still at fault when nobody waits any longer.
        """
        began = time.monotonic()
        self.judge.tell(f"waiting for storage: {reason}")
        time.sleep(LOOK_S)
        wait_until_usable(self.settings)
        while away := folders_away([self.records.group(key)]):
            if time.monotonic() - began > PATIENCE_S:
                raise away[key]
            time.sleep(LOOK_S)

    def _settle(self, key: str, owner: str, reason: str) -> str:
        """See to it that a group whose run failed says why, and return that."""
        group = self.records.group(key)
        if group.state == "failed":
            return group.reason
        # An image that its checks condemn is made all the same, so such a group is completed.
        self.records.fail(key, reason, owner=owner)
        return reason
