"""Headers of responses that tell browsers what a page of ours may do and who may show it.

Belongs here: headers that do not depend on what was asked.  Those of a product's files, which are not
our pages, are in ``products.py``.
"""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contimg_assets.web.guard import below_dagster

CSP = "content-security-policy"
#: Our pages: nothing from elsewhere, no script or style in the page itself, shown in no other page.
OUR_CSP = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)
#: Dagster's pages have a policy of their own, which does not say who may show them.
DAGSTER_CSP = "frame-ancestors 'self'"
COMMON = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class SecurityHeaders:
    """ASGI middleware that adds them where a response does not set its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and add to its response."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        dagsters = below_dagster(scope["path"])

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in COMMON.items():
                    headers.setdefault(name, value)
                own = headers.get(CSP, "").strip().rstrip(";")
                if dagsters:
                    headers[CSP] = f"{own}; {DAGSTER_CSP}" if own else DAGSTER_CSP
                else:
                    headers.setdefault(CSP, OUR_CSP)
            await send(message)

        await self.app(scope, receive, sent)
