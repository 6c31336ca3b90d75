"""Groups of a campaign of which one product is made: whether it has been.

Belongs here: the judgement of one group.  Does not belong here: groups that are made again as a
whole, and what is next (``campaigns.py``).
"""

from collections.abc import Callable

from sqlalchemy.orm import Session

from contimg_assets.station.campaign_models import CampaignGroup
from contimg_assets.station.models import now
from contimg_assets.station.versions import current_version

#: How often a group is asked for whose run ends before it begins.
ATTEMPTS = 3
#: The last product that a job of a kind makes: with a new version of it, the job has done what it should.
LAST_PRODUCT: dict[str, str] = {
    "calibrate": "calibration_qa",
    "apply": "calibrated_ms",
    "image": "image_qa",
}


def version_of_item(session: Session, key: str, kind: str) -> int | None:
    """Identity of the current version of what a job of a kind makes of a group; None if there is none."""
    found = current_version(session, key, LAST_PRODUCT[kind])
    return None if found is None else found.id


def judge_item(
    session: Session, item: CampaignGroup, kind: str, verdict: str, said: Callable[[], str | None]
) -> None:
    """Let a group that was asked for, and that nobody works on, have its end, if it has come to one.

    Parameters
    ----------
    session : Session
    item : CampaignGroup
    kind : str
    verdict : str
        The worst of the group's checks.
    said : callable
        What its run said if it did not make what it should; None: no run began.
    """
    found = current_version(session, item.key, LAST_PRODUCT[kind])
    if found is not None and found.id != item.image_version_id:
        item.state, item.run = "completed", found.run
    else:
        reason = said()
        if reason is None and item.attempts < ATTEMPTS:
            item.state = "waiting"
            return
        item.state = "failed"
        item.failure = reason or f"its run ended before it began, {item.attempts} times"
        item.failure_kind = item.failure.partition(": ")[0][:64]
    item.verdict, item.ended_at = verdict, now()
