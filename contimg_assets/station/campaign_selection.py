"""Which groups a campaign makes again, and why.

Belongs here: what is asked for, what is out of date, and the statements that say
so of every group at once.  Does not belong here: what becomes of them
(``campaigns.py``), or what that costs (``campaign_estimate.py``).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import (
    Case,
    ColumnElement,
    Select,
    String,
    Subquery,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
)
from sqlalchemy.orm import Session, aliased

from contimg_assets.radio.errors import SelectionError
from contimg_assets.settings import Settings
from contimg_assets.station.campaign_models import Campaign, CampaignGroup
from contimg_assets.station.made_with import PRODUCTS, difference, present
from contimg_assets.station.models import GROUP, VERDICTS, CalibrationSet, GroupSummary, ProductVersion

FAILED = "failed before"
NO_IMAGE = "has no image"
ASKED = "up to date, asked for all the same"
#: Why a selected group is left out.
BUSY, TOO_FEW, UP_TO_DATE = (
    "is being made, or waits to be",
    "has too few subbands",
    "is up to date (--all takes it too)",
)
IN_CAMPAIGN = "is in campaign "
#: Written out, so that SQLite sees that the index on open groups serves it.
_OPEN = (literal_column("'waiting'"), literal_column("'running'"))


@dataclass(frozen=True)
class Selection:
    """What is asked for: a group is selected if it meets all of it."""

    since: str | None = None
    """First time of groups, as keys have it or its beginning."""
    until: str | None = None
    """Time from which on groups are left out."""
    min_declination_deg: float | None = None
    max_declination_deg: float | None = None
    verdict: str | None = None
    """Worst standing verdict: PASS, WARN or ERROR."""
    calibration_set: str | None = None
    """The set that calibrated the group last."""
    keys: tuple[str, ...] = ()
    """Only these groups; none: all."""
    outdated: bool = False
    """Made with other settings or by an older version; said alone, it selects of all groups."""
    everything: bool = False
    """Take those that are up to date, too."""

    def described(self) -> dict[str, Any]:
        """What was given, and nothing else."""
        given = {name: value for name, value in asdict(self).items() if value not in (None, False, ())}
        # The campaign has them as rows.
        return given | {"keys": f"{len(self.keys)} groups"} if self.keys else given

    def check(self, session: Session) -> None:
        """Refuse what cannot be meant.

        Raises
        ------
        SelectionError
            If nothing is asked for, or something that does not exist.
        """
        given = self.described()
        if not given.keys() - {"everything"}:
            raise SelectionError(
                "found nothing that groups are selected by; expected at least one of --since, --until, "
                "--declination, --verdict, --set and --outdated"
            )
        if self.outdated and self.everything:
            raise SelectionError("--outdated and --all contradict one another")
        if self.verdict is not None and self.verdict not in VERDICTS:
            raise SelectionError(f"verdict: found {self.verdict!r}; expected one of {', '.join(VERDICTS)}")
        if self.calibration_set is not None and session.get(CalibrationSet, self.calibration_set) is None:
            raise SelectionError(f"set: found {self.calibration_set!r}; `contimg registry list` has all sets")

    def conditions(self) -> list[ColumnElement[bool]]:
        """The same on rows of ``group_summary``."""
        bounds: Sequence[tuple[Any, Callable[[Any], ColumnElement[bool]]]] = (
            (self.since, GroupSummary.key.__ge__),
            (self.until, GroupSummary.key.__lt__),
            (self.min_declination_deg, GroupSummary.declination_deg.__ge__),
            (self.max_declination_deg, GroupSummary.declination_deg.__le__),
            (self.verdict, GroupSummary.verdict.__eq__),
            (self.calibration_set, GroupSummary.set_id.__eq__),
            (self.keys or None, lambda keys: GroupSummary.key.in_(keys)),
        )
        return [condition(value) for value, condition in bounds if value is not None]


def _settings_text() -> ColumnElement[str]:
    """The settings of a version as the database keeps them, to be compared whole."""
    return cast(ProductVersion.settings, Text)


def _current(selection: Selection) -> list[ColumnElement[bool]]:
    times = ((selection.since, ProductVersion.key.__ge__), (selection.until, ProductVersion.key.__lt__))
    return [
        ProductVersion.kind == GROUP,
        ProductVersion.superseded_at.is_(None),
        *(condition(value) for value, condition in times if value is not None),
    ]


@dataclass(frozen=True)
class _Outdated:
    """Products and settings that are not the present ones, each with the words for it."""

    found: list[tuple[str, str, str]]
    """Product, settings as text, why; in the order in which products are made."""
    rows: Subquery
    """The first of them, by number, of each group that has any."""

    def reason(self) -> Case[str]:
        numbers = {number: why for number, (_, _, why) in enumerate(self.found)}
        return case(numbers, value=self.rows.c.number, else_="")


def _outdated(session: Session, selection: Selection, settings: Settings) -> _Outdated | None:
    """What is out of date; None if nothing is."""
    of_settings = (
        select(ProductVersion.product, _settings_text(), func.min(ProductVersion.id))
        .where(*_current(selection), ProductVersion.product.in_(PRODUCTS))
        .group_by(ProductVersion.product, _settings_text())
    )
    # A handful, however many groups there are: settings change seldom.
    kept = session.execute(of_settings).all()
    rows = {row.id: row.settings for row in _examples(session, [identity for _, _, identity in kept])}
    now = present(settings)
    found = sorted(
        (
            (product, stored, why)
            for product, stored, identity in kept
            if (why := difference(product, rows[identity], now[product]))
        ),
        key=lambda each: (PRODUCTS.index(each[0]), each[1]),
    )
    if not found:
        return None
    cases = [
        (and_(ProductVersion.product == product, _settings_text() == stored), number)
        for number, (product, stored, _) in enumerate(found)
    ]
    number = func.min(case(*cases)).label("number")
    statement = (
        select(ProductVersion.key, number)
        .where(*_current(selection), or_(*(condition for condition, _ in cases)))
        .group_by(ProductVersion.key)
    )
    return _Outdated(found, statement.subquery())


def _examples(session: Session, identities: list[int]) -> Sequence[ProductVersion]:
    return session.scalars(select(ProductVersion).where(ProductVersion.id.in_(identities))).all()


def reasons(session: Session, selection: Selection, settings: Settings) -> Select[tuple[Any, ...]]:
    """Statement that says of each selected group whether it is made again, and why or why not.

    Parameters
    ----------
    session : Session
    selection : Selection
    settings : Settings
        Those of this process: what differs from them is out of date.

    Returns
    -------
    Select
        Columns ``key``, ``place``, ``image_version_id``, ``taken`` (0 or 1) and ``reason``.
    """
    # Loads numpy, which commands that only look do without.
    from contimg_assets.radio.telescope import MIN_SUBBANDS

    outdated = _outdated(session, selection, settings)
    why = outdated.reason() if outdated is not None else literal("")
    is_open = aliased(CampaignGroup)
    left_out = case(
        (is_open.key.is_not(None), literal(IN_CAMPAIGN, String) + Campaign.name),
        (GroupSummary.state.not_in(("completed", "failed")), BUSY),
        (GroupSummary.n_subbands < MIN_SUBBANDS, TOO_FEW),
        else_="",
    )
    for_what = case(
        (GroupSummary.state == "failed", FAILED),
        (GroupSummary.image_version_id.is_(None), NO_IMAGE),
        else_=why,
    )
    statement = (
        select(
            GroupSummary.key,
            case((GroupSummary.calibrator_name.is_not(None), 0), else_=1).label("place"),
            GroupSummary.image_version_id,
            left_out.label("left_out"),
            for_what.label("for_what"),
        )
        .select_from(GroupSummary)
        .outerjoin(is_open, and_(is_open.key == GroupSummary.key, is_open.state.in_(_OPEN)))
        .outerjoin(Campaign, Campaign.id == is_open.campaign_id)
        .where(*selection.conditions())
    )
    if outdated is not None:
        statement = statement.outerjoin(outdated.rows, outdated.rows.c.key == GroupSummary.key)
    found = statement.subquery()
    up_to_date = ASKED if selection.everything else UP_TO_DATE
    taken = and_(found.c.left_out == "", or_(found.c.for_what != "", literal(selection.everything)))
    return select(
        found.c.key,
        found.c.place,
        found.c.image_version_id,
        case((taken, 1), else_=0).label("taken"),
        case(
            (found.c.left_out != "", found.c.left_out),
            (found.c.for_what != "", found.c.for_what),
            else_=up_to_date,
        ).label("reason"),
    )
