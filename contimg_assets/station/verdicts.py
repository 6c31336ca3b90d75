"""Standing verdicts: which of the verdicts on a product count now.

Belongs here: reading them, in the caller's transaction.  Does not belong here:
what a limit is (``radio/limits.py``), or who judges (``checks/``).
"""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from contimg_assets.radio.limits import load_limits
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
    known = load_limits().limits.get(product, {})
    rows = [row for row in session.scalars(statement) if row.check in known]
    version = current_version(session, key, product, kind)
    return _standing(rows, version.id if version else None)


def _standing(rows: Iterable[Verdict], current: int | None) -> dict[str, Verdict]:
    """The rows that count, by check, of one product's verdicts from the oldest to the newest."""
    found: dict[str, Verdict] = {}
    for row in rows:
        earlier = found.get(row.check)
        if earlier is None or row.version_id == current or earlier.version_id != current:
            found[row.check] = row
    return dict(sorted(found.items()))


def describe_error(verdict: Verdict) -> str:
    """One line that says why a verdict is ERROR."""
    if verdict.value is None:
        return f"{verdict.check} is missing"
    return f"{verdict.check} is {verdict.value:.4g}, hard limit {verdict.hard:.4g}"
