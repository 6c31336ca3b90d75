"""What the forms of alarms do, which stand on the page of the system.

Belongs here: the write.  Does not belong here: the page (``system.py``).
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse

from contimg_assets.station.alarms import Alarms
from contimg_assets.web.api.alarms import AlarmId
from contimg_assets.web.api.parts import Parts, require
from contimg_assets.web.pages.rendering import Form, form_of, go_to
from contimg_assets.web.roles import Role


def alarm_forms_router(parts: Parts) -> APIRouter:
    """What the forms do."""
    router = APIRouter(include_in_schema=False)

    @router.post("/alarms/{identity}/acknowledge")
    def acknowledge(
        identity: AlarmId, request: Request, form: Annotated[Form, Depends(form_of)]
    ) -> RedirectResponse:
        user = require(request, Role.OPERATOR).name
        Alarms(parts.station.engine).acknowledge(identity, user, form.one("note"))
        return go_to("/system#alarms")

    return router
