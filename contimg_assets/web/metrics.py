"""``/metrics``: what Prometheus reads.

Belongs here: the route.  Does not belong here: the metrics (``station/metrics.py``,
``resources/dagster_metrics.py``).
"""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.registry import Collector
from starlette.responses import Response


def metrics_router(collector: Collector) -> APIRouter:
    """The route of an installation's metrics.

    Parameters
    ----------
    collector : Collector
        Reads everything anew at each request.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    router = APIRouter(include_in_schema=False)

    @router.get("/metrics")
    def metrics() -> Response:
        return Response(
            generate_latest(registry), media_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"}
        )

    return router
