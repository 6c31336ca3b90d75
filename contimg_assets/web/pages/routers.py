"""All pages in one place.

Belongs here: the list of routers.  Does not belong here: routes.
"""

from fastapi import FastAPI

from contimg_assets.web.api.parts import Parts
from contimg_assets.web.pages.alarms import alarm_forms_router
from contimg_assets.web.pages.antennas import antennas_router
from contimg_assets.web.pages.batches import batches_router
from contimg_assets.web.pages.calibration import calibration_router
from contimg_assets.web.pages.candidates import candidates_router
from contimg_assets.web.pages.group import group_router
from contimg_assets.web.pages.group_forms import group_forms_router
from contimg_assets.web.pages.group_rows import rows_router
from contimg_assets.web.pages.groups import groups_router
from contimg_assets.web.pages.jobs import jobs_router
from contimg_assets.web.pages.limits import limits_router
from contimg_assets.web.pages.nights import nights_router
from contimg_assets.web.pages.rendering import static_router
from contimg_assets.web.pages.sources import sources_router
from contimg_assets.web.pages.system import system_router
from contimg_assets.web.pages.tonight import tonight_router

_ROUTERS = (
    tonight_router,
    groups_router,
    rows_router,
    group_router,
    group_forms_router,
    calibration_router,
    antennas_router,
    sources_router,
    candidates_router,
    jobs_router,
    batches_router,
    limits_router,
    system_router,
    alarm_forms_router,
    nights_router,
)


def include_pages(app: FastAPI, parts: Parts) -> None:
    """Add all pages, and the files that they load."""
    app.include_router(static_router())
    for made in _ROUTERS:
        app.include_router(made(parts))
