"""What the disk of an installation has room for, as metrics of Prometheus.

Belongs here: names and units.  Does not belong here: measuring (``space.py``), or all other
metrics (``metrics.py``).
"""

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.metrics_core import GaugeMetricFamily
from sqlalchemy import Engine, func, select

from contimg_assets.settings import Settings
from contimg_assets.station.database import reading
from contimg_assets.station.models import ProductVersion
from contimg_assets.station.space import Guard


def space_metrics(engine: Engine, settings: Settings) -> Iterator[Metric]:
    """Room for groups, and what products take by name."""
    if not settings.home.is_dir():
        return
    space = Guard(engine, settings).look()
    yield GaugeMetricFamily(
        "contimg_groups_held_back",
        "1 while new groups wait for room on the disk, else 0.",
        value=int(space.stopped),
    )
    yield GaugeMetricFamily(
        "contimg_group_bytes", "What a group takes on the disk while it is made.", value=space.group_bytes
    )
    yield GaugeMetricFamily(
        "contimg_promised_bytes", "What groups in work have still to write.", value=space.promised_bytes
    )
    more = GaugeMetricFamily("contimg_groups_that_fit", "Groups that fit on the disk besides those in work.")
    if space.n_more is not None:
        more.add_metric([], space.n_more)
    yield more
    full = GaugeMetricFamily(
        "contimg_disk_full_seconds", "Time until the disk is full at the pace of the last week, s."
    )
    if space.days_left is not None:
        full.add_metric([], space.days_left * 86400.0)
    yield full
    kept = GaugeMetricFamily("contimg_product_bytes", "What products take on the disk.", labels=["product"])
    sizes = select(ProductVersion.product, func.sum(ProductVersion.kept_bytes)).group_by(
        ProductVersion.product
    )
    with reading(engine) as session:
        for product, size in session.execute(sizes):
            kept.add_metric([product], int(size or 0))
    yield kept
