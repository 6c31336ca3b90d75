"""The product catalogue: groups and their states, products and their numbers, verdicts.

Belongs here: what may be written when; every write is one transaction.  Does
not belong here: calibration sets (``calibration_registry.py``), files of
products (``store.py``), or what a limit is (``radio/quality/limits.py``).
"""

import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from contimg_assets.radio.errors import MissingInputError, StateError, VerdictError
from contimg_assets.radio.quality.limits import load_limits
from contimg_assets.resources.database import reading, transaction
from contimg_assets.resources.group_states import TRANSITIONS, Registration, get_group, move, walk
from contimg_assets.resources.models import GroupTransition, ObservationGroup, Product, Verdict, now

#: Longest reason that is kept: the first lines of a message say what went wrong.
REASON_LENGTH = 2000


def finite(value: Any) -> Any:
    """Copy of ``value`` in which numbers that are not finite are None, as JSON demands."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


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
    if verdict.value is None:
        return f"{verdict.check} is missing"
    return f"{verdict.check} is {verdict.value:.4g}, hard limit {verdict.hard:.4g}"


class ProductCatalog:
    """Groups, products and verdicts of one database.

    Parameters
    ----------
    engine : Engine
        From :func:`contimg_assets.resources.database.engine_for`.
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
            The group can be processed: ``collecting`` becomes ``pending``.

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
            session.execute(
                update(ObservationGroup)
                .where(ObservationGroup.key == key, ObservationGroup.state.in_(("collecting", "pending")))
                .values(**values)
                .execution_options(synchronize_session=False)
            )
            group = get_group(session, key)
            session.refresh(group)
            if ready and group.state == "collecting":
                move(session, key, "collecting", "pending", values["reason"])
                session.refresh(group)
            return group

    def group(self, key: str) -> ObservationGroup:
        """One group.

        Raises
        ------
        MissingInputError
            If it is not registered.
        """
        with reading(self.engine) as session:
            return get_group(session, key)

    def find(self, key: str) -> ObservationGroup | None:
        """One group, or None if it is not registered."""
        with reading(self.engine) as session:
            return session.get(ObservationGroup, key)

    def groups(
        self, *states: str, limit: int | None = None, updated_before: datetime | None = None
    ) -> list[ObservationGroup]:
        """Groups in any of ``states`` (all when none is given), newest observation first."""
        statement = select(ObservationGroup).order_by(ObservationGroup.key.desc()).limit(limit)
        if states:
            statement = statement.where(ObservationGroup.state.in_(states))
        if updated_before is not None:
            statement = statement.where(ObservationGroup.updated < updated_before)
        with reading(self.engine) as session:
            return list(session.scalars(statement))

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
            group = get_group(session, key)
            state, held_by = group.state, group.owner
            if held_by == owner and state == "in_progress":
                return
            if state in ("completed", "failed") and (explicit or held_by == owner):
                walk(session, key, "in_progress", f"reprocessed by run {owner}", owner=owner)
                return
            if state != "pending":
                raise StateError(f"group {key} is {state}, expected pending, so run {owner} leaves it alone")
            move(session, key, "pending", "in_progress", f"started by run {owner}", owner=owner)

    def complete(self, key: str) -> None:
        """Everything of the group has been made."""
        with transaction(self.engine) as session:
            walk(session, key, "completed", "")

    def fail(self, key: str, reason: str) -> None:
        """A stage of the group failed.

        Parameters
        ----------
        key : str
            The group.
        reason : str
            What went wrong, as the user shall read it.
        """
        reason = reason[:REASON_LENGTH]
        with transaction(self.engine) as session:
            if get_group(session, key).state == "failed":
                session.execute(
                    update(ObservationGroup).where(ObservationGroup.key == key).values(reason=reason)
                )
            else:
                walk(session, key, "failed", reason)

    def reopen(self, key: str, reason: str) -> None:
        """Put a group that is done back to ``pending``, because somebody asked.

        Raises
        ------
        StateError
            If it is neither completed nor failed.
        """
        with transaction(self.engine) as session:
            state = get_group(session, key).state
            if state not in ("completed", "failed"):
                raise StateError(f"group {key} is {state}: only a completed or failed group is reopened")
            walk(session, key, "pending", reason, owner=None)

    # -- products ---------------------------------------------------------------------------

    def record_product(self, key: str, product: str, path: Path, metrics: Mapping[str, Any]) -> None:
        """Enter a product that has just been published, in place of its older version."""
        with transaction(self.engine) as session:
            get_group(session, key)
            session.merge(
                Product(
                    group_key=key,
                    product=product,
                    path=str(path),
                    metrics=finite(metrics),
                    created_at=now(),
                )
            )

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
