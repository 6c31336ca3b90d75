"""Which content of current versions may go, and when: by class of product, age, size and verdict.

=================  ==========================================================================================
calibrated_ms      its Measurement Set, if one was written: once the image made of it has its verdict; of
                   groups without a good image: with the days
measurement_set    some days after the group was done, if its image is good and its files are there; of groups
                   without a good image, if their files are there, only when nothing else makes the room
                   that is wanted
image              stays for ever; some days after it was made its last whole planes are compressed
files              never, unless the setting says after how many days
all else           stays for ever
=================  ==========================================================================================

A good image is one with a verdict, where no check of the group says ERROR.  Nothing goes of a group that
somebody works on or that waits in a campaign.  While room is wanted, what may go goes before its days are
over, the oldest first.  Belongs here: the rules.  Does not belong here: superseded versions and left-overs
(``retention.py``), or carrying out (``removal.py``).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Select, exists, select
from sqlalchemy.orm import aliased

from contimg_assets.radio.group_key import ms_path
from contimg_assets.settings import RetentionOptions
from contimg_assets.station.campaign_models import CampaignGroup
from contimg_assets.station.database import reading
from contimg_assets.station.models import (
    GROUP,
    GroupSummary,
    Lease,
    ObservationGroup,
    ProductVersion,
    now,
)
from contimg_assets.station.removal import OPEN_STATES, Action, Removal
from contimg_assets.station.store import Store, size_of

CALIBRATED, CONVERTED, IMAGE = "calibrated_ms", "measurement_set", "image"
RAW = "raw file"
_UNJUDGED = "unknown"
#: What compressing leaves of an image of which four planes are whole, as measured on one of full size (55 of
#: 494 MB); of one that is whole throughout, as images were made before, less.
_KEPT_PART = 0.11


@dataclass(frozen=True)
class _Candidate:
    """A current version that has content, with what the rules look at."""

    version: ProductVersion
    image_made: datetime | None
    good: bool
    judged: bool
    done: datetime
    files: dict[str, str]


def due(
    engine: Engine,
    store: Store,
    options: RetentionOptions,
    at: datetime | None = None,
    *,
    wanted_bytes: int = 0,
) -> list[Removal]:
    """What the rules let go.

    Parameters
    ----------
    engine, store
        Of the installation.
    options : RetentionOptions
        The days.
    at : datetime, optional
        The moment to judge by; default: now.
    wanted_bytes : int
        Room that is wanted on the disk: content goes before its days are over until there is as much.

    Returns
    -------
    list of Removal
        In the order in which they should go.
    """
    moment = at or now()
    with reading(engine) as session:
        found = [_candidate(*row) for row in session.execute(_current())]
    ripe: list[Removal] = []
    later: list[Removal] = []
    last: list[Removal] = []
    for each in found:
        ripening = _rule(store, options, each)
        if ripening is None:
            continue
        ripe_at, removal = ripening
        if ripe_at is None:
            last.append(removal)
        else:
            (ripe if ripe_at <= moment else later).append(removal)
    total = sum(each.version.kept_bytes or 0 for each in found if each.version.product == CONVERTED)
    freed = sum(removal.size for removal in ripe)
    limit = options.measurement_sets_gb
    over = 0 if limit is None else total - limit * 1e9 - _of(ripe, CONVERTED)
    early = [*_early(later, last, wanted_bytes - freed, "room is wanted on the disk")]
    if limit is not None:
        taken = {each.version_id for each in early}
        sets = [each for each in later if each.what == CONVERTED and each.version_id not in taken]
        early += _early(
            sets, [], over - _of(early, CONVERTED), f"Measurement Sets take more than {limit:g} GB"
        )
    return [*ripe, *early, *_raw(options, found, moment)]


def _current() -> Select[Any]:
    """Current versions with content that the rules are about, of groups that nobody needs; oldest first."""
    image = aliased(ProductVersion)
    campaign = exists().where(CampaignGroup.key == ProductVersion.key, CampaignGroup.state.in_(OPEN_STATES))
    held = exists().where(Lease.key == ProductVersion.key)
    return (
        select(ProductVersion, image.made_at, GroupSummary, ObservationGroup)
        .join(ObservationGroup, ObservationGroup.key == ProductVersion.key)
        .join(GroupSummary, GroupSummary.key == ProductVersion.key)
        .outerjoin(image, image.id == GroupSummary.image_version_id)
        .where(
            ProductVersion.kind == GROUP,
            ProductVersion.product.in_((CALIBRATED, CONVERTED, IMAGE)),
            ProductVersion.superseded_at.is_(None),
            ProductVersion.deleted_at.is_(None),
            # A row of version 0.1.0 whose link was never read names no content.
            ProductVersion.version != "",
            ObservationGroup.state.in_(("completed", "failed")),
            ~campaign,
            ~held,
        )
        .order_by(ProductVersion.key, ProductVersion.id)
    )


def _candidate(
    version: ProductVersion, image_made: datetime | None, summary: GroupSummary, group: ObservationGroup
) -> _Candidate:
    judged = image_made is not None and summary.image_quality != _UNJUDGED
    good = judged and group.state == "completed" and summary.verdict in ("PASS", "WARN")
    return _Candidate(version, image_made, good, judged, group.updated, group.files)


def _rule(
    store: Store, options: RetentionOptions, each: _Candidate
) -> tuple[datetime | None, Removal] | None:
    """When content may go (None: only if nothing else makes room), and how; None if it stays."""
    version, days = each.version, timedelta(days=options.measurement_set_days)
    path = store.absolute(version.path)
    if not path.is_relative_to(store.products):
        return None
    # What was made again on demand is new.
    done = max(each.done, version.made_at)
    if version.product == CALIBRATED:
        if not ms_path(path, version.key).exists():
            # What calibrates the group is kept with its image.
            return None
        fresh = each.image_made is not None and version.made_at <= each.image_made
        if each.good and fresh and each.image_made is not None:
            hours = timedelta(hours=options.calibrated_hours)
            return each.image_made + hours, _removal(path, version, "its image has its verdict")
        return done + days, _removal(path, version, _after(options.measurement_set_days))
    if version.product == CONVERTED:
        there = all(Path(file).exists() for file in each.files.values())
        if not each.good:
            # It is the best that there is of the group, unless the files make it again.
            return (None, _removal(path, version, "which has no good image")) if there else None
        if not there and options.raw_days is None:
            return None
        return done + days, _removal(path, version, _after(options.measurement_set_days))
    if version.compressed_at is not None or not each.judged or options.compress_days is None:
        return None
    ripe_at = version.made_at + timedelta(days=options.compress_days)
    size = round((1 - _KEPT_PART) * (version.kept_bytes or 0)) or size_of(path)
    told = f"image of {version.key}, {_after(options.compress_days)}: planes are compressed"
    return ripe_at, Removal(path, told, size, version.id, Action.COMPRESS, IMAGE, current=True)


def _removal(path: Path, version: ProductVersion, why: str) -> Removal:
    size = version.kept_bytes if version.kept_bytes is not None else size_of(path)
    told = f"{version.product} of {version.key}, {why}"
    return Removal(path, told, size, version.id, what=version.product, current=True)


def _after(days: float) -> str:
    return f"{days:g} days after it was done"


def _early(later: list[Removal], last: list[Removal], wanted: float, why: str) -> Iterator[Removal]:
    """What goes early: Measurement Sets, then planes, the oldest first; then what is ``last``."""
    for each in [*sorted(later, key=lambda removal: removal.action == Action.COMPRESS), *last]:
        if wanted <= 0:
            return
        wanted -= each.size
        yield replace(each, reason=f"{each.reason}; before that, since {why}")


def _raw(options: RetentionOptions, found: list[_Candidate], moment: datetime) -> Iterator[Removal]:
    """Files of groups with a good image, if the settings tell to remove them."""
    if options.raw_days is None:
        return
    for each in found:
        if each.version.product != IMAGE or not each.good:
            continue
        if each.done + timedelta(days=options.raw_days) > moment:
            continue
        for file in map(Path, each.files.values()):
            if file.is_file():
                told = f"file of {each.version.key}, {_after(options.raw_days)}, as the settings say"
                yield Removal(file, told, file.stat().st_size, each.version.id, what=RAW, current=True)


def _of(removals: Iterable[Removal], what: str) -> int:
    return sum(removal.size for removal in removals if removal.what == what)
