"""What tests of the web share that need no Dagster."""

from collections.abc import Callable

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from contimg_assets.settings import Settings, WebOptions
from contimg_assets.station.installation import Installation
from contimg_assets.station.operator_actions import OperatorActions
from contimg_assets.web.app import guarded_app, own_app
from contimg_assets.web.principals import Access, Mode
from contimg_assets.web.tokens import Tokens

Made = Callable[..., ASGIApp]


@pytest.fixture
def app_of(settings: Settings) -> Made:
    """Makes our own part of what is served, behind the guard; nothing stands in Dagster's place."""
    for name in ("products", "logs"):
        (settings.home / name).mkdir(exist_ok=True)
    installation = Installation(settings)

    def made(mode: Mode, **options: object) -> ASGIApp:
        web = WebOptions.model_validate(options)
        access = Access(mode, web, Tokens(settings.home))
        own = own_app(installation)
        nothing = PlainTextResponse("", 404)
        return guarded_app(own, nothing, access, OperatorActions(installation.engine), web.allowed_hosts)

    return made
