"""The station's records: groups and their states, products and their numbers, verdicts.

Belongs here: what may be written when; every write is one transaction.  Does
not belong here: calibration sets (``calibration_registry.py``), files of
products (``station/store.py``), or what a limit is (``radio/limits.py``).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, exists, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from contimg_assets.radio.errors import MissingInputError, StateError, VerdictError
from contimg_assets.radio.limits import Judgement
from contimg_assets.station.campaign_models import CampaignGroup
from contimg_assets.station.database import reading, transaction
from contimg_assets.station.group_states import TRANSITIONS, Registration, get_group, move
from contimg_assets.station.group_summary import summarise_group
from contimg_assets.station.leases import lease_of, named, require_lease, take_lease
from contimg_assets.station.models import (
    GROUP,
    GroupTransition,
    ObservationGroup,
    Performance,
    ProductVersion,
    Verdict,
    now,
)
from contimg_assets.station.numbers import finite
from contimg_assets.station.pointing import note_pointing
from contimg_assets.station.verdicts import describe_error, standing_verdicts
from contimg_assets.station.versions import current, current_version, enter, performance_of


def _was_rejected(session: Session, key: str) -> bool:
    """Whether a failed group had too few files, and nothing was made of it."""
    last = (
        select(GroupTransition.from_state)
        .where(GroupTransition.key == key)
        .order_by(GroupTransition.id.desc())
        .limit(1)
    )
    return session.scalar(last) == "collecting"


class StationRecords:
    """Groups, products and verdicts of one database.

    Parameters
    ----------
    engine : Engine
        From :func:`contimg_assets.station.database.engine_for`.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    # -- groups -----------------------------------------------------------------------------

    def register(self, registration: Registration, *, ready: bool) -> ObservationGroup:
        """Enter a group, or bring it up to date while nothing has been made of it yet.

        Parameters
        ----------
        registration : Registration
            What the files say.
        ready : bool
            The group can be processed: ``collecting`` becomes ``pending``, and so does a
            group that had been rejected for lack of files.

        Returns
        -------
        ObservationGroup
            The group as it stands now.  One that is in progress or done is
            unchanged: late and duplicate files never reopen it.
        """
        key, values = registration.key, registration.values()
        with transaction(self.engine) as session:
            if session.get(ObservationGroup, key) is None:
                try:
                    with session.begin_nested():
                        session.add(ObservationGroup(key=key, state="collecting", **values))
                        session.flush()
                        session.add(GroupTransition(key=key, to_state="collecting", reason=values["reason"]))
                except IntegrityError:
                    # Another process entered it between the look and the insert; carry on with its row.
                    session.expire_all()
            group = get_group(session, key, lock=True)
            lacked_files = group.state == "failed" and _was_rejected(session, key)
            if group.state in ("collecting", "pending") or (lacked_files and ready):
                for name, value in values.items():
                    setattr(group, name, value)
                note_pointing(session, registration)
                session.flush()
            if ready and (group.state == "collecting" or lacked_files):
                move(session, group, "pending", values["reason"] or "all subbands are there")
            summarise_group(session, key)
            return group

    def reject(self, key: str, reason: str) -> None:
        """Fail a group that has too few files at the timeout; its files are left as they are."""
        with transaction(self.engine) as session:
            group = get_group(session, key, lock=True)
            if group.state == "collecting":
                move(session, group, "failed", reason)

    def group(self, key: str) -> ObservationGroup:
        """One group.

        Raises
        ------
        MissingInputError
            If it is not registered.
        """
        with reading(self.engine) as session:
            return get_group(session, key)

    def was_rejected(self, key: str) -> bool:
        """Whether a group failed for lack of files, and nothing was made of it."""
        with reading(self.engine) as session:
            return _was_rejected(session, key)

    def find(self, key: str) -> ObservationGroup | None:
        """One group, or None if it is not registered."""
        with reading(self.engine) as session:
            return session.get(ObservationGroup, key)

    def groups(self, *states: str, limit: int | None = None) -> list[ObservationGroup]:
        """Groups in any of ``states`` (all when none is given), newest observation first."""
        statement = select(ObservationGroup).order_by(ObservationGroup.key.desc()).limit(limit)
        if states:
            statement = statement.where(ObservationGroup.state.in_(states))
        with reading(self.engine) as session:
            return list(session.scalars(statement))

    def done(self, keys: Sequence[str], before: datetime) -> list[str]:
        """Those of ``keys`` whose groups have been completed or failed since before a time.

        Not those that a campaign has asked for: they are about to be made again.
        """
        asked_for = exists().where(
            CampaignGroup.key == ObservationGroup.key, CampaignGroup.state == "running"
        )
        statement = select(ObservationGroup.key).where(
            ObservationGroup.key.in_(keys),
            ObservationGroup.state.in_(("completed", "failed")),
            ObservationGroup.updated < before,
            ~asked_for,
        )
        with reading(self.engine) as session:
            return sorted(session.scalars(statement))

    def counts(self) -> dict[str, int]:
        """Number of groups in each state."""
        with reading(self.engine) as session:
            rows = session.execute(
                select(ObservationGroup.state, func.count()).group_by(ObservationGroup.state)
            )
            found = {state: int(number) for state, number in rows}
        return {state: found.get(state, 0) for state in TRANSITIONS}

    def transitions(self, key: str) -> list[GroupTransition]:
        """A group's history, oldest first."""
        with reading(self.engine) as session:
            return list(
                session.scalars(
                    select(GroupTransition).where(GroupTransition.key == key).order_by(GroupTransition.id)
                )
            )

    def begin(self, key: str, owner: str, *, explicit: bool = False) -> None:
        """Start a group: of any number of processes that try, one succeeds.

        Parameters
        ----------
        key : str
            The group.
        owner : str
            Holder of its lease: the run that starts it, which takes a free one, or the command that
            the run belongs to.  The same may start again (a retry).
        explicit : bool
            A person asked for it: a group that is done is reopened first.

        Raises
        ------
        StateError
            If somebody else holds the group, or it is not pending (nor reopened, nor a retry).
        """
        with transaction(self.engine) as session:
            group = get_group(session, key, lock=True)
            if take_lease(session, key, owner) and group.state == "in_progress":
                return
            if explicit and group.state in ("completed", "failed"):
                move(session, group, "pending", f"to be made again by {named(owner)}")
            if group.state != "pending":
                raise StateError(
                    f"group {key} is {group.state}, expected pending, so {named(owner)} leaves it alone"
                )
            move(session, group, "in_progress", f"started by {named(owner)}")

    def complete(self, key: str) -> None:
        """Everything of the group has been made; one that was completed before stays so."""
        with transaction(self.engine) as session:
            group = get_group(session, key, lock=True)
            if group.state != "completed":
                move(session, group, "completed", "everything has been made")

    def fail(self, key: str, reason: str, *, owner: str | None = None) -> None:
        """A stage of the group failed.

        Parameters
        ----------
        key : str
            The group.
        reason : str
            What went wrong, as the user shall read it.
        owner : str, optional
            Whose work failed: if that does not hold the group, or it is not in progress, nothing
            changes.  So a stage that is made again by hand does not undo a completed group.
        """
        with transaction(self.engine) as session:
            group = get_group(session, key, lock=True)
            held = lease_of(session, key)
            if owner is None or (group.state == "in_progress" and held is not None and held.owner == owner):
                move(session, group, "failed", reason)

    def reopen(self, key: str, reason: str) -> None:
        """Put a group that is done back to ``pending``, because somebody asked.

        Raises
        ------
        StateError
            If it is neither completed nor failed.
        """
        with transaction(self.engine) as session:
            group = get_group(session, key, lock=True)
            if group.state not in ("completed", "failed"):
                raise StateError(
                    f"group {key} is {group.state}: only a completed or failed group is reopened"
                )
            move(session, group, "pending", reason)

    # -- products ---------------------------------------------------------------------------

    def record_product(
        self,
        key: str,
        product: str,
        path: PurePath,
        numbers: Mapping[str, Any],
        *,
        owner: str | None = None,
        run: str | None = None,
        inputs: Iterable[int] = (),
        settings: Mapping[str, Any] | None = None,
        made_bytes: int | None = None,
        show: Callable[[], None] | None = None,
    ) -> ProductVersion:
        """Enter a version of a product in place of the current one, and what it took to make it.

        Parameters
        ----------
        key, product : str
            Group, and name of the product.
        path : PurePath
            Of its content, relative to the home; its name is ``<product>-<version>``.
        numbers : Mapping
            What the stage reports.
        owner : str, optional
            Who must hold the group's lease.
        run : str, optional
            The run that made it, if that is another.
        inputs : iterable of int
            Identities of the versions that went into it.
        settings : Mapping, optional
            Options and software with which it was made.
        made_bytes : int, optional
            Size of its content.
        show : callable, optional
            Lets the product's link lead to the content.  It is called last, when it is certain that the
            group is still the owner's, and nobody can take it meanwhile; it must be quick.

        Returns
        -------
        ProductVersion
            The row.

        Raises
        ------
        StateError
            If the group is not the owner's (any more: it was taken for dead).
        """
        with transaction(self.engine) as session:
            group = get_group(session, key, lock=True)
            if owner is not None:
                require_lease(session, key, owner)
            known = finite(numbers)
            version = ProductVersion(
                kind=GROUP,
                key=key,
                product=product,
                version=path.name.removeprefix(f"{product}-"),
                path=path.as_posix(),
                numbers=known,
                settings=finite(settings or {}),
                run=run or owner,
                made_at=now(),
                made_bytes=made_bytes,
                kept_bytes=made_bytes,
            )
            enter(session, version, inputs)
            session.add(performance_of(version, group.retries))
            summarise_group(session, key)
            if show is not None:
                show()
            return version

    def performance(self, key: str) -> list[Performance]:
        """What each product of a group took to make, each time, oldest first."""
        statement = select(Performance).where(Performance.key == key).order_by(Performance.id)
        with reading(self.engine) as session:
            return list(session.scalars(statement))

    def product(self, key: str, product: str) -> ProductVersion:
        """The current version of one product of a group.

        Raises
        ------
        MissingInputError
            If it has not been made.
        """
        with reading(self.engine) as session:
            found = current_version(session, key, product)
        if found is None:
            raise MissingInputError(f"the database has no {product} of group {key}")
        return found

    def present(self, key: str) -> dict[str, ProductVersion]:
        """As :meth:`products`, but only those whose content has not been removed."""
        return {name: version for name, version in self.products(key).items() if not version.removed}

    def products(self, key: str) -> dict[str, ProductVersion]:
        """The current versions of a group's products by name, as they were made, removed ones too."""
        with reading(self.engine) as session:
            rows = session.scalars(current(key).order_by(ProductVersion.made_at, ProductVersion.id))
            return {row.product: row for row in rows}

    def due(
        self, made: str, wanted: str, *states: str, calibrators_only: bool = False
    ) -> list[ObservationGroup]:
        """Groups that have one product but lack another (or have an older one of it).

        Parameters
        ----------
        made, wanted : str
            Products: the one that must be there, and the one to be made after it.
        *states : str
            States that the group may be in.
        calibrators_only : bool
            Only groups with a calibrator in the beam.

        Returns
        -------
        list of ObservationGroup
            Newest observation first.
        """
        before, after = aliased(ProductVersion), aliased(ProductVersion)

        def of_group(version: type[ProductVersion], product: str) -> ColumnElement[bool]:
            return and_(
                version.kind == GROUP,
                version.key == ObservationGroup.key,
                version.product == product,
                version.superseded_at.is_(None),
            )

        statement = (
            select(ObservationGroup)
            .join(before, of_group(before, made))
            .outerjoin(after, of_group(after, wanted))
            .where(ObservationGroup.state.in_(states))
            .where(after.made_at.is_(None) | (after.made_at < before.made_at))
            .order_by(ObservationGroup.key.desc())
        )
        if calibrators_only:
            statement = statement.where(ObservationGroup.calibrator_name.is_not(None))
        with reading(self.engine) as session:
            return list(session.scalars(statement))

    # -- verdicts ---------------------------------------------------------------------------

    def record_verdicts(
        self, key: str, product: str, judgements: Iterable[Judgement], *, version_id: int | None = None
    ) -> None:
        """Enter what checks said of a version: the one named, or the current one if there is any."""
        with transaction(self.engine) as session:
            get_group(session, key, lock=True)
            judged = current_version(session, key, product)
            if version_id is None and judged is not None:
                version_id = judged.id
            session.add_all(
                Verdict(
                    key=key,
                    product=product,
                    version_id=version_id,
                    check=found.metric,
                    status=found.status,
                    value=found.value,
                    soft=found.limit.soft,
                    hard=found.limit.hard,
                    limits_version=found.version,
                )
                for found in judgements
            )
            summarise_group(session, key)

    def verdicts(self, key: str, product: str) -> dict[str, Verdict]:
        """The verdict of each check on a product that counts now."""
        with reading(self.engine) as session:
            return standing_verdicts(session, key, product)

    def bad_verdicts_after(self, verdict_id: int, limit: int) -> list[Verdict]:
        """Verdicts other than PASS that are newer than one, oldest first."""
        statement = (
            select(Verdict)
            .where(Verdict.id > verdict_id, Verdict.status != "PASS")
            .order_by(Verdict.id)
            .limit(limit)
        )
        with reading(self.engine) as session:
            return list(session.scalars(statement))

    def refuse_errors(self, key: str, product: str) -> None:
        """The quality gate: whoever starts a stage, a product that is bad goes no further.

        Raises
        ------
        VerdictError
            If the standing verdict of any check on ``product`` is ERROR.
        """
        errors = [v for v in self.verdicts(key, product).values() if v.status == "ERROR"]
        if errors:
            raise VerdictError(
                f"group {key} is refused: the last verdict on its {product} is ERROR "
                f"({'; '.join(describe_error(v) for v in errors)})"
            )
