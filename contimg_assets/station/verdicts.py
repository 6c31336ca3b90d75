"""Standing verdicts: which of the verdicts on a product count now.

Belongs here: reading them, in the caller's transaction.  Does not belong here:
what a limit is (``radio/limits.py``), or who judges (``checks/``).
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from contimg_assets.radio.limits import error_text, load_limits
from contimg_assets.station.models import GROUP, Verdict
from contimg_assets.station.versions import current_version


def standing_verdicts(session: Session, key: str, product: str, kind: str = GROUP) -> dict[str, Verdict]:
    """Of each check that the limits still know: its newest verdict on the current version.

    A check that has not judged the current version yet stands by its newest verdict on any other, so that a
    product that was bad and is made again is not taken for good before it has been judged.
    """
    statement = (
        select(Verdict)
        .where(Verdict.kind == kind, Verdict.key == key, Verdict.product == product)
        .order_by(Verdict.id)
    )
    version = current_version(session, key, product, kind)
    return standing(session.scalars(statement), product, version.id if version else None)


def standing(rows: Iterable[Any], product: str, current: int | None) -> dict[str, Any]:
    """The rows that count, by check, of one product's verdicts from the oldest to the newest.

    Parameters
    ----------
    rows : iterable
        Verdicts, or rows with their columns ``check`` and ``version_id``.
    product : str
        Whose they are.
    current : int or None
        Identity of its current version.
    """
    known = load_limits().limits.get(product, {})
    found: dict[str, Any] = {}
    for row in rows:
        earlier = found.get(row.check)
        if row.check in known and (
            earlier is None or row.version_id == current or earlier.version_id != current
        ):
            found[row.check] = row
    return dict(sorted(found.items()))


def describe_error(verdict: Verdict) -> str:
    """One line that says why a verdict is ERROR."""
    return error_text(verdict.check, verdict.value, verdict.hard)
