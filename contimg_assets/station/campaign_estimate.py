"""What a campaign will take, from what its station's groups took: time, and room on the disk.

Belongs here: reading performance rows and sizes of products.  Does not belong
here: which groups it has (``campaign_selection.py``).
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from sqlalchemy import select
from sqlalchemy.orm import Session

from contimg_assets.station.models import GROUP, GroupSummary, Performance, ProductVersion
from contimg_assets.station.store import Store, size_of
from contimg_assets.station.versions import current

#: What every group is made of, and what a calibrator scan has besides.
PRODUCTS = (
    "measurement_set",
    "measurement_set_qa",
    "flags",
    "calibrated_ms",
    "image",
    "image_qa",
    "photometry",
)
OF_CALIBRATORS = ("calibration_tables", "calibration_qa")
#: Newest rows of a product that its median is taken of: what a station is like now.
_ROWS = 500
#: Groups whose products are weighed: walking through a Measurement Set takes its time.
_WEIGHED = 5


@dataclass(frozen=True)
class Estimate:
    """What is to be expected of a number of groups."""

    n_groups: int
    n_calibrators: int
    slots: int
    """Runs at once."""
    pool_limit: int | None
    """Stages of one class of memory at once; None: as many as there are runs."""
    group_s: float | None
    """Median time of the stages of a group, s; None if none was made yet."""
    longest_s: float
    """Of its longest stage, s."""
    calibrator_s: float
    """What a calibrator scan takes besides, s."""
    group_bytes: float | None
    """Median size on disk of what is made of a group."""
    free_bytes: int
    """Free now where products lie."""
    grace_hours: float
    """Time that replaced versions stay, h."""

    @property
    def hours(self) -> float | None:
        """Time for all of them, h, if nothing else runs."""
        if self.group_s is None:
            return None
        work_s = (self.n_groups * self.group_s + self.n_calibrators * self.calibrator_s) / self.slots
        # However many runs there are, where the longest stage of all groups goes through one pool.
        pool_s = self.n_groups * self.longest_s / self.pool_limit if self.pool_limit else 0.0
        return max(work_s, pool_s) / 3600

    @property
    def written_bytes(self) -> float | None:
        """What will be written in all."""
        return None if self.group_bytes is None else self.n_groups * self.group_bytes

    @property
    def extra_bytes(self) -> float | None:
        """Room for replaced versions within their grace, besides what lies there now."""
        hours, written = self.hours, self.written_bytes
        if hours is None or written is None:
            return None
        return written * (min(1.0, self.grace_hours / hours) if hours > 0 else 1.0)


def estimate(
    session: Session,
    store: Store,
    n_groups: int,
    n_calibrators: int,
    *,
    slots: int,
    pool_limit: int | None,
    grace_hours: float,
    products: Sequence[str] = PRODUCTS,
    of_calibrators: Sequence[str] = OF_CALIBRATORS,
) -> Estimate:
    """What to expect.

    Parameters
    ----------
    session : Session
    store : Store
        Of the same installation.
    n_groups, n_calibrators : int
        All groups, and those of them that hold a calibrator.
    slots : int
        Runs at once.
    pool_limit : int or None
        Stages of one class of memory at once.
    grace_hours : float
        Of retention, h.
    products, of_calibrators : sequence of str
        What is made of each group, and besides of those that hold a calibrator.
    """
    group_s = [_median_s(session, product) for product in products]
    calibrator_s = [_median_s(session, product) or 0.0 for product in of_calibrators]
    known = [seconds for seconds in group_s if seconds is not None]
    return Estimate(
        n_groups,
        n_calibrators,
        slots,
        pool_limit,
        sum(known) if known else None,
        max(known, default=0.0),
        sum(calibrator_s),
        _median_bytes(session, store, products),
        shutil.disk_usage(store.home).free,
        grace_hours,
    )


def _median_s(session: Session, product: str) -> float | None:
    newest = (
        select(Performance.seconds)
        .where(Performance.product == product, Performance.seconds.is_not(None))
        .order_by(Performance.id.desc())
        .limit(_ROWS)
    )
    seconds = [each for each in session.scalars(newest) if each is not None]
    return median(seconds) if seconds else None


def _size(store: Store, version: ProductVersion) -> int:
    """What a version took when it was made, whatever is left of it; weighed where that was not recorded."""
    if version.made_bytes is not None:
        return version.made_bytes
    path = store.absolute(version.path)
    return size_of(path) if path.exists() else 0


def _median_bytes(session: Session, store: Store, products: Sequence[str]) -> float | None:
    newest = (
        select(GroupSummary.key)
        .where(GroupSummary.state == "completed", GroupSummary.image_version_id.is_not(None))
        .order_by(GroupSummary.image_version_id.desc())
        .limit(_WEIGHED)
    )
    sizes: list[int] = []
    for key in session.scalars(newest):
        versions = [each for each in session.scalars(current(key, GROUP)) if each.product in products]
        sizes.append(sum(_size(store, version) for version in versions))
    return median(sizes) if sizes else None
