"""The product catalogue: groups and their states, products and their numbers, verdicts.

Belongs here: what may be written when; every write is one transaction.  Does
not belong here: calibration sets (``calibration_registry.py``), files of
products (``station/store.py``), or what a limit is (``radio/limits.py``).
"""

import math
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from contimg_assets.radio.errors import MissingInputError, StateError, VerdictError
from contimg_assets.radio.limits import error_text, load_limits
from contimg_assets.station.database import reading, transaction
from contimg_assets.station.group_states import TRANSITIONS, Registration, get_group, move, start
from contimg_assets.station.models import (
    GroupTransition,
    ObservationGroup,
    Performance,
    Product,
    Verdict,
    now,
)
from contimg_assets.station.pointing import note_pointing


def finite(value: Any) -> Any:
    """Copy of ``value`` in which numbers that are not finite are None, as JSON demands."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def _was_rejected(session: Session, key: str) -> bool:
    """Whether a failed group had too few files, and nothing was made of it."""
    last = (
        select(GroupTransition.from_state)
        .where(GroupTransition.key == key)
        .order_by(GroupTransition.id.desc())
        .limit(1)
    )
    return session.scalar(last) == "collecting"


def standing_verdicts(session: Session, key: str, product: str) -> dict[str, Verdict]:
    """Newest verdict of each check that the limits still know."""
    newest = (
        select(func.max(Verdict.id))
        .where(Verdict.group_key == key, Verdict.product == product)
        .group_by(Verdict.check)
    )
    known = load_limits().limits.get(product, {})
    rows = session.scalars(select(Verdict).where(Verdict.id.in_(newest)).order_by(Verdict.check))
    return {row.check: row for row in rows if row.check in known}


def describe_error(verdict: Verdict) -> str:
    """One line that says why a verdict is ERROR."""
    return error_text(verdict.check, verdict.value, verdict.hard)


class ProductCatalog:
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
        """Those of ``keys`` whose groups have been completed or failed since before a time."""
        statement = select(ObservationGroup.key).where(
            ObservationGroup.key.in_(keys),
            ObservationGroup.state.in_(("completed", "failed")),
            ObservationGroup.updated < before,
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
            Identity of the run that starts it; the same run may start again (a retry).
        explicit : bool
            A person asked for it: a group that is done is reopened first.

        Raises
        ------
        StateError
            If the group is not pending (nor reopened, nor the same run's own).
        """
        with transaction(self.engine) as session:
            group = get_group(session, key, lock=True)
            if group.state == "in_progress" and group.owner == owner:
                return
            if explicit and group.state in ("completed", "failed"):
                move(session, group, "pending", f"to be made again by run {owner}")
            if group.state != "pending":
                raise StateError(
                    f"group {key} is {group.state}, expected pending, so run {owner} leaves it alone"
                )
            start(session, group, owner, f"started by run {owner}")

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
            The run it failed in: if that does not hold the group, nothing changes.
            So a stage that is made again by hand does not undo a completed group.
        """
        with transaction(self.engine) as session:
            group = get_group(session, key, lock=True)
            if owner is None or group.owner == owner:
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
        path: Path | Callable[[], Path],
        metrics: Mapping[str, Any],
        *,
        owner: str | None = None,
    ) -> Path:
        """Enter a product in place of its older version, and what it took to make it.

        Parameters
        ----------
        key, product : str
            Group, and name of the product.
        path : Path or callable
            Where it is; or what publishes it and returns that.  It is called when it is
            certain that the group is still the run's, and nobody can take it meanwhile.
        metrics : Mapping
            What the stage reports.
        owner : str, optional
            The run that made it.

        Raises
        ------
        StateError
            If the group is in progress and another run's (this one was taken for dead).
        """
        with transaction(self.engine) as session:
            group = get_group(session, key, lock=True)
            if owner is not None and group.state != "completed" and group.owner != owner:
                raise StateError(
                    f"group {key} is {group.state}, held by {group.owner or 'nobody'}: "
                    f"run {owner} lost it, and what it made of {product} is not published"
                )
            published = path() if callable(path) else path
            known = finite(metrics)
            session.merge(
                Product(group_key=key, product=product, path=str(published), metrics=known, created_at=now())
            )
            session.add(
                Performance(
                    key=key,
                    product=product,
                    retry=group.retries,
                    run=owner,
                    host=socket.gethostname(),
                    writer=known.get("writer") or known.get("engine"),
                    seconds=known.get("stage_seconds"),
                    peak_memory_mb=known.get("peak_memory_mb"),
                )
            )
            return published

    def performance(self, key: str) -> list[Performance]:
        """What each product of a group took to make, each time, oldest first."""
        statement = select(Performance).where(Performance.key == key).order_by(Performance.id)
        with reading(self.engine) as session:
            return list(session.scalars(statement))

    def product(self, key: str, product: str) -> Product:
        """One product of a group.

        Raises
        ------
        MissingInputError
            If it has not been made.
        """
        with reading(self.engine) as session:
            found = session.get(Product, (key, product))
        if found is None:
            raise MissingInputError(f"the catalogue has no {product} of group {key}")
        return found

    def products(self, key: str) -> dict[str, Product]:
        """All products of a group by name, in the order in which they were made."""
        with reading(self.engine) as session:
            rows = session.scalars(
                select(Product).where(Product.group_key == key).order_by(Product.created_at)
            )
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
        before, after = aliased(Product), aliased(Product)
        statement = (
            select(ObservationGroup)
            .join(before, (before.group_key == ObservationGroup.key) & (before.product == made))
            .outerjoin(after, (after.group_key == ObservationGroup.key) & (after.product == wanted))
            .where(ObservationGroup.state.in_(states))
            .where(after.created_at.is_(None) | (after.created_at < before.created_at))
            .order_by(ObservationGroup.key.desc())
        )
        if calibrators_only:
            statement = statement.where(ObservationGroup.calibrator_name.is_not(None))
        with reading(self.engine) as session:
            return list(session.scalars(statement))

    # -- verdicts ---------------------------------------------------------------------------

    def record_verdict(
        self,
        key: str,
        product: str,
        check: str,
        *,
        status: str,
        value: float | None,
        soft: float,
        hard: float,
        limits_version: str,
    ) -> None:
        """Enter what a check said; the newest verdict of a check counts."""
        with transaction(self.engine) as session:
            session.add(
                Verdict(
                    group_key=key,
                    product=product,
                    check=check,
                    status=status,
                    value=value,
                    soft=soft,
                    hard=hard,
                    limits_version=limits_version,
                )
            )

    def verdicts(self, key: str, product: str) -> dict[str, Verdict]:
        """Newest verdict of each check on a product."""
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
            If the last verdict of any check on ``product`` is ERROR.
        """
        errors = [v for v in self.verdicts(key, product).values() if v.status == "ERROR"]
        if errors:
            raise VerdictError(
                f"group {key} is refused: the last verdict on its {product} is ERROR "
                f"({'; '.join(describe_error(v) for v in errors)})"
            )
