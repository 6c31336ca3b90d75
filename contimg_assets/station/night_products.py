"""The report of a night as a product: made, kept by version, and sent.

Belongs here: building, publishing and queueing.  Does not belong here: what it says
(``night_report.py``), or when it is made (``assets/nights.py``, ``contimg night``).
"""

import json
import socket
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.station.addresses import Address
from contimg_assets.station.alarm_look import usable_addresses
from contimg_assets.station.alarm_models import REPORT, Delivery
from contimg_assets.station.columns import now
from contimg_assets.station.database import reading, transaction
from contimg_assets.station.installation import Installation
from contimg_assets.station.made_with import settings_of
from contimg_assets.station.models import GROUP, KINDS, ProductVersion
from contimg_assets.station.night_report import NightReport, gather
from contimg_assets.station.night_report_page import page, sentence, text
from contimg_assets.station.numbers import finite
from contimg_assets.station.store import Placed
from contimg_assets.station.versions import current_version, enter, history, performance_of

#: The product; it belongs to a day.
NIGHT_REPORT, DAY = "night_report", KINDS[1]
#: Its files: the page, and all that is on it.
PAGE, NUMBERS = "report.html", "report.json"
#: What goes into it of each group.
_INPUTS = ("image_qa", "flags")


def make_report(
    station: Installation, date: str, run: str | None = None
) -> tuple[NightReport, ProductVersion]:
    """Make the report of a night, in place of the one that there is.

    Parameters
    ----------
    station : Installation
    date : str
        Day, UTC, ``YYYY-MM-DD``.
    run : str, optional
        The run that makes it.

    Returns
    -------
    report, version

    Raises
    ------
    SelectionError
        If it is no day.
    """
    report = gather(station, date)
    store = station.store
    with store.staging(report.date, NIGHT_REPORT) as staging:
        built = staging / "built"
        built.mkdir()
        (built / PAGE).write_text(page(report, station.settings.web.base_url or ""), encoding="utf-8")
        told = json.dumps(finite(asdict(report)), indent=1)
        (built / NUMBERS).write_text(told, encoding="utf-8")
        placed = store.place(built, report.date, NIGHT_REPORT)
    return report, _publish(station, report, placed, run)


def send_report(station: Installation, report: NightReport) -> list[str]:
    """Queue a report for the addresses that take reports; their names."""
    addresses, _ = usable_addresses(station.settings.home)
    chosen = [address for address in addresses if address.reports]
    attachment = station.store.path(report.date, NIGHT_REPORT) / PAGE
    with transaction(station.engine) as session:
        session.add_all(_delivery(station, report, address, attachment) for address in chosen)
    return [address.name for address in chosen]


def is_first(station: Installation, date: str) -> bool:
    """Whether a night's report was made once at most, so that nobody has been sent another."""
    with reading(station.engine) as session:
        return len(history(session, date, NIGHT_REPORT, DAY)) <= 1


def report_of(station: Installation, date: str, name: str = PAGE) -> Path:
    """A file of a night's report: its page unless told.

    Raises
    ------
    MissingInputError
        If it has not been made.
    """
    with reading(station.engine) as session:
        version = current_version(session, date, NIGHT_REPORT, DAY)
    path = None if version is None else station.store.absolute(version.path) / name
    if path is None or not path.is_file():
        raise MissingInputError(f"there is no report of the night {date}: `contimg night {date}` makes it")
    return path


def reports(station: Installation, limit: int = 400) -> list[ProductVersion]:
    """The current reports, newest night first."""
    statement = (
        select(ProductVersion)
        .where(
            ProductVersion.kind == DAY,
            ProductVersion.product == NIGHT_REPORT,
            ProductVersion.superseded_at.is_(None),
        )
        .order_by(ProductVersion.key.desc())
        .limit(limit)
    )
    with reading(station.engine) as session:
        return list(session.scalars(statement))


def _publish(station: Installation, report: NightReport, placed: Placed, run: str | None) -> ProductVersion:
    """Enter the version, and let its link lead to it; one that is not entered goes again."""
    store = station.store
    try:
        with transaction(station.engine) as session:
            version = ProductVersion(
                kind=DAY,
                key=report.date,
                product=NIGHT_REPORT,
                version=placed.path.name.removeprefix(f"{NIGHT_REPORT}-"),
                path=store.relative(placed.path),
                numbers=finite(report.numbers),
                settings=finite(settings_of(NIGHT_REPORT, station.settings)),
                run=run or f"command on {socket.gethostname()}",
                made_at=now(),
            )
            enter(session, version, _inputs(session, report.date))
            session.add(performance_of(version, 0))
            store.point(placed.link, placed.path)
        return version
    except BaseException:  # also one that is cancelled must leave nothing
        with reading(station.engine) as session:
            before = current_version(session, report.date, NIGHT_REPORT, DAY)
        if before is None:
            placed.link.unlink(missing_ok=True)
        else:
            store.point(placed.link, store.absolute(before.path))
        if before is None or store.absolute(before.path) != placed.path:
            store.remove(placed.path)
        raise


def _inputs(session: Session, date: str) -> Iterator[int]:
    statement = select(ProductVersion.id).where(
        ProductVersion.kind == GROUP,
        ProductVersion.product.in_(_INPUTS),
        ProductVersion.superseded_at.is_(None),
        ProductVersion.key.between(date, f"{date}~"),
    )
    yield from session.scalars(statement)


def _delivery(station: Installation, report: NightReport, address: Address, attachment: Path) -> Delivery:
    return Delivery(
        address=address.name,
        kind=REPORT,
        title=f"contimg: night of {report.date}: {sentence(report)}"[:200],
        body=text(report, station.settings.web.base_url),
        attachment=station.store.relative(attachment),
    )
