"""``/system``: whether the machine holds, who did what; switching sensors, and pools.

Belongs here: the page.  Does not belong here: gathering (``station/``, ``web/api/system.py``).
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse

from contimg_assets.station.alarm_look import usable_addresses
from contimg_assets.station.alarm_messages import heading
from contimg_assets.station.alarms import Alarms
from contimg_assets.station.settings_views import settings_in_force, shown_as_typed
from contimg_assets.web.api.parts import Parts, principal_of, require
from contimg_assets.web.api.system import check_health, gather_status
from contimg_assets.web.pages.rendering import Form, form_of, go_to, page
from contimg_assets.web.problems import ProblemError
from contimg_assets.web.roles import Role
from contimg_assets.web.tokens import Tokens

ALERTS, ALARMS, ACTIONS = 50, 50, 50


def system_router(parts: Parts) -> APIRouter:
    """The page."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    station = parts.station

    @router.api_route("/system", methods=["GET", "HEAD"])
    def system(
        request: Request, before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None
    ) -> HTMLResponse:
        principal = principal_of(request)
        admin = principal is not None and principal.role.includes(Role.ADMIN)
        actions, total = parts.actions.recent(ACTIONS, before=before) if admin else ([], 0)
        addresses, _ = usable_addresses(station.settings.home)
        capacity = {} if parts.orchestrator is None else parts.dagster.capacity()
        return page(
            request,
            "system.html",
            health=check_health(parts),
            state=gather_status(parts, request),
            capacity=capacity,
            pools={} if parts.orchestrator is None else parts.dagster.pools(),
            settings=settings_in_force(),
            shown=shown_as_typed,
            alarms=Alarms(station.engine).list(over=True, limit=ALARMS),
            alarm_heading=heading,
            addresses=[each.name for each in addresses],
            alerts=station.notifier.recent(ALERTS)[::-1],
            actions=actions,
            n_actions=total,
            tokens=Tokens(station.settings.home).known() if admin else [],
            database=station.engine.url.render_as_string(hide_password=True),
            spells=station.pointing.spells()[::-1][:20],
        )

    @router.post("/system/sensors")
    def switch(request: Request, form: Annotated[Form, Depends(form_of)]) -> RedirectResponse:
        require(request, Role.OPERATOR)
        to = form.one("to")
        if to not in ("on", "off"):
            raise ProblemError(422, f"to: found {to[:20]!r}; expected on or off")
        parts.dagster.switch_sensor(form.one("sensor"), to == "on", request)
        return go_to("/system")

    @router.post("/system/pools")
    def pool(request: Request, form: Annotated[Form, Depends(form_of)]) -> RedirectResponse:
        require(request, Role.OPERATOR)
        limit = form.one("limit")
        if not limit.isascii() or not limit.isdigit():
            raise ProblemError(422, f"limit: found {limit[:20]!r}; expected a whole number")
        parts.dagster.set_pool(form.one("pool"), int(limit[:9]), request)
        return go_to("/system")

    return router
