"""What if a limit were another one: which of the last groups would be judged otherwise.

Belongs here: holding numbers that were judged against limits that are not in force.  Does not belong here:
the limits (``radio/limits.toml``), which this changes nothing of.
"""

from dataclasses import dataclass, replace

from sqlalchemy import Engine, func, select

from contimg_assets.radio.errors import MissingInputError, SettingsError
from contimg_assets.radio.limits import Limit, load_limits
from contimg_assets.station.database import reading
from contimg_assets.station.models import GROUP, GroupSummary, Verdict


@dataclass(frozen=True)
class Judged:
    """A number of a group under two limits."""

    group: str
    value: float
    now: str
    """Status under the limit in force."""
    then: str
    """Status under the other one."""

    @property
    def flips(self) -> bool:
        """Whether it is judged otherwise."""
        return self.now != self.then


@dataclass(frozen=True)
class WhatIf:
    """A limit, another one in its place, and the last groups under both."""

    product: str
    check: str
    limit: Limit
    other: Limit
    judged: list[Judged]
    """Newest first."""

    def count(self, status: str, *, then: bool) -> int:
        """Groups of a status, now or then."""
        return sum((each.then if then else each.now) == status for each in self.judged)

    @property
    def flipped(self) -> list[Judged]:
        """Groups that would be judged otherwise, newest first."""
        return [each for each in self.judged if each.flips]


def what_if(
    engine: Engine,
    product: str,
    check: str,
    soft: float | None = None,
    hard: float | None = None,
    n_groups: int = 300,
) -> WhatIf:
    """Hold the numbers of the last groups against another limit; nothing is changed.

    Parameters
    ----------
    engine : Engine
    product, check : str
        Of ``limits.toml``.
    soft, hard : float, optional
        The other limit; default: as in force.
    n_groups : int
        So many groups at most.

    Raises
    ------
    MissingInputError
        If there is no such limit.
    SettingsError
        If the hard limit is on the good side of the soft one.
    """
    limit = load_limits().limits.get(product, {}).get(check)
    if limit is None:
        raise MissingInputError(f"there is no limit on {check} of {product}; /limits has all")
    other = replace(
        limit, soft=limit.soft if soft is None else soft, hard=limit.hard if hard is None else hard
    )
    if (other.hard - other.soft) * (1 if limit.direction == "above" else -1) < 0:
        raise SettingsError(
            f"limits: found soft {other.soft:g} and hard {other.hard:g}; values {limit.direction} are bad, "
            f"so expected hard {'at least' if limit.direction == 'above' else 'at most'} soft"
        )
    newest = (
        select(GroupSummary.key)
        .where(GroupSummary.verdict != "")
        .order_by(GroupSummary.key.desc())
        .limit(n_groups)
    )
    of_check = (Verdict.kind == GROUP, Verdict.product == product, Verdict.check == check)
    last = select(func.max(Verdict.id)).where(*of_check, Verdict.key.in_(newest)).group_by(Verdict.key)
    statement = select(Verdict.key, Verdict.value).where(Verdict.id.in_(last)).order_by(Verdict.key.desc())
    with reading(engine) as session:
        rows = session.execute(statement).all()
    judged = [
        Judged(key, value, limit.status(value), other.status(value))
        for key, value in rows
        if value is not None
    ]
    return WhatIf(product, check, limit, other, judged)
