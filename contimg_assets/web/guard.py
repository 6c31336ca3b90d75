"""What stands in front of everything that is served: hosts, origin, user, role, record.

Belongs here: the rules that hold for every request, HTTP and WebSocket, ours and Dagster's.  Does not
belong here: how a user is told (``principals.py``), which of Dagster's mutations a role includes
(``dagster_documents.py``), headers of responses (``headers.py``).

Any page that a user's browser shows can send requests to this server, from the user's own machine, also
through the loopback interface.  Browsers say where a request comes from (``Sec-Fetch-Site``, older ones and
plain HTTP only ``Origin``): whatever writes must come from our own pages, or from no browser.
"""

import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterable

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contimg_assets.radio.errors import AccessError, StateError
from contimg_assets.station.operator_actions import KEPT_CHARACTERS, Action, OperatorActions
from contimg_assets.web.dagster_documents import check_role, mutations, socket_may_pass
from contimg_assets.web.principals import Access
from contimg_assets.web.problems import ProblemError, problem_response
from contimg_assets.web.rates import WriteRate
from contimg_assets.web.roles import Principal, Role

log = logging.getLogger("contimg.web")

#: Where Dagster's own web app is mounted, and its two-way door.
DAGSTER = "/dagster"
GRAPHQL = f"{DAGSTER}/graphql"
#: Where a request's scope holds its principal (None where nobody need be known), and its record's identity.
PRINCIPAL, REQUEST = "contimg.principal", "contimg.request"
#: What may be asked by anybody who reaches the server: whether it works, without details.
OPEN_PATHS = frozenset({"/api/health", "/api/jobs/healthz"})
#: Questions that come by POST, as the reference API has them: they change nothing.
_QUESTIONS = re.compile(r"/api/ms/.+/validate-caltable")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
JSON = "application/json"
#: What browsers send for a form of our pages.
FORM = "application/x-www-form-urlencoded"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
#: Bytes of a request's body; Dagster's pages send the keys of a whole backfill.
MAX_BODY, MAX_DAGSTER_BODY = 64 * 1024, 4 * 1024 * 1024
#: Code with which a WebSocket is closed that asks for what it may not.
FORBIDDEN = 4403
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\s:@/\[\]]+)(:\d+)?")


def below_dagster(path: str) -> bool:
    """Whether a path is Dagster's."""
    return path == DAGSTER or path.startswith(f"{DAGSTER}/")


def takes_forms(path: str) -> bool:
    """Whether what is written to a path comes from a form of our pages, and not from a program."""
    return not below_dagster(path) and not path.startswith("/api/")


def check_host(headers: Headers, allowed: frozenset[str]) -> None:
    """Refuse a name that is not ours, by which a page elsewhere would have the browser take us for itself.

    Raises
    ------
    ProblemError
        421.
    """
    given = headers.getlist("host")
    matched = _HOST.fullmatch(given[0].lower()) if len(given) == 1 else None
    if matched is None or matched["name"] not in allowed:
        raise ProblemError(
            421, "the request's Host is not a name of this server: expected one of CONTIMG_WEB__ALLOWED_HOSTS"
        )


def check_same_origin(headers: Headers) -> None:
    """Refuse what a browser sends for a page that is not ours.

    Raises
    ------
    ProblemError
        403.
    """
    site, origin = headers.getlist("sec-fetch-site"), headers.getlist("origin")
    if site:
        ours = site in (["same-origin"], ["none"])
    elif origin:
        ours = origin in [[f"{scheme}://{headers['host'].lower()}"] for scheme in ("http", "https")]
    else:
        ours = True  # no browser
    if not ours:
        raise ProblemError(403, "the request comes from a page of another origin")


class Guard:
    """ASGI middleware through which every request passes.

    Parameters
    ----------
    app : ASGIApp
        What is guarded; it finds the principal as ``scope[PRINCIPAL]``.
    access : Access
        Tells who asks.
    actions : OperatorActions
        Told of every write before it is carried out.
    hosts : Iterable of str
        Names of this server besides those of the loopback interface.
    """

    def __init__(
        self, app: ASGIApp, access: Access, actions: OperatorActions, hosts: Iterable[str] = ()
    ) -> None:
        self.app = app
        self.access = access
        self.actions = actions
        self.rate = WriteRate(access.options.writes_per_minute)
        self.hosts = frozenset(name.lower() for name in (*LOOPBACK_NAMES, *hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer with the reason why not."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        try:
            principal = self._admitted(scope)
            scope = {**scope, PRINCIPAL: principal}
            if scope["type"] == "websocket":
                receive = _checked_messages(receive, send)
            elif scope["method"] in SAFE_METHODS:
                await _check_reading(scope)
            else:
                receive, send = await self._check_writing(scope, principal, receive, send)
        except ProblemError as problem:
            log.warning("%s %s refused: %s", scope.get("method", "WEBSOCKET"), scope["path"], problem)
            # In the form that Dagster's pages show as well.
            more = {"errors": [{"message": problem.detail}]} if scope["path"] == GRAPHQL else {}
            response = problem_response(problem.status, problem.detail, problem.headers, **more)
            await response(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _admitted(self, scope: Scope) -> Principal | None:
        """Who asks, if the request may come from where it does; None if nobody need be known."""
        headers = Headers(scope=scope)
        check_host(headers, self.hosts)
        writes = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        if writes or (below_dagster(scope["path"]) and "query" in QueryParams(scope["query_string"])):
            check_same_origin(headers)
        try:
            return self.access.principal(scope, headers)
        except ProblemError as problem:
            if problem.status == 401 and not writes and scope["path"] in OPEN_PATHS:
                return None
            raise
        except AccessError as error:
            log.error("%s", error)
            raise ProblemError(503, "the tokens cannot be read; the server's log says why") from error

    async def _check_writing(
        self, scope: Scope, principal: Principal | None, receive: Receive, send: Send
    ) -> tuple[Receive, Send]:
        """Check what is sent and whether the role includes it, and record it.

        Returns
        -------
        tuple
            In place of ``receive`` and ``send``: the body again, and the record's identity in the response.
        """
        assert principal is not None, "only questions are open to anybody"
        path, headers = scope["path"], Headers(scope=scope)
        body = await _body(receive, headers, MAX_DAGSTER_BODY if below_dagster(path) else MAX_BODY)
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        expected = FORM if takes_forms(path) else JSON
        if media_type != expected and (body or media_type or path == GRAPHQL):
            raise ProblemError(415, f"found {media_type or 'no content type'}, expected {expected}")
        asked: tuple[str, ...] = ()
        content = body
        if path == GRAPHQL:
            sent = _json_object(body)
            asked = await run_in_threadpool(mutations, sent.get("query"))
            check_role(asked, principal)
            if not asked:
                return _again(body, receive), send
            # Variables first: a document of Dagster's pages is longer than what is kept.
            content = json.dumps({name: sent.get(name) for name in ("variables", "query")}).encode()
        elif _QUESTIONS.fullmatch(path):
            return _again(body, receive), send
        else:
            needed = Role.ADMIN if below_dagster(path) else Role.OPERATOR
            if not principal.role.includes(needed):
                raise ProblemError(403, f"{principal.name} is {principal.role}, expected {needed}")
        self.rate.count(principal.name)
        peer = (scope.get("client") or ("",))[0]
        kept = content.decode(errors="replace")[:KEPT_CHARACTERS]
        action = Action(
            principal.name, principal.role, principal.by, peer, scope["method"], path, asked, kept
        )
        try:
            await run_in_threadpool(self.actions.record, action)
        except StateError as error:
            log.error("not recorded, so not done: %s", error)
            raise ProblemError(503, "the request cannot be recorded, so it is not carried out") from error
        scope[REQUEST] = action.request
        return _again(body, receive), _with_identity(send, action.request)


async def _check_reading(scope: Scope) -> None:
    """Dagster also takes documents in the address: only queries, since any page can have one fetched."""
    if scope["path"] != GRAPHQL:
        return
    for document in QueryParams(scope["query_string"]).getlist("query"):
        if await run_in_threadpool(mutations, document):
            raise ProblemError(403, f"mutations are taken by POST of {JSON} only")


async def _body(receive: Receive, headers: Headers, limit: int) -> bytes:
    declared = headers.get("content-length", "0")
    body = bytearray()
    more = True
    while more and declared.isdecimal() and int(declared) <= limit and len(body) <= limit:
        message = await receive()
        if message["type"] != "http.request":
            raise ProblemError(400, "the request ended before its body did")
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if more or len(body) > limit:
        raise ProblemError(413, f"the request's body is larger than {limit} bytes")
    return bytes(body)


def _json_object(body: bytes) -> dict[str, object]:
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProblemError(400, "the body is not JSON") from error
    if not isinstance(sent, dict):
        raise ProblemError(400, "the body is not a JSON object")
    return sent


def _again(body: bytes, receive: Receive) -> Receive:
    """Give a body that was read once more."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return left.pop() if left else await receive()

    return replayed


def _with_identity(send: Send, request: str) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["X-Request-Id"] = request
        await send(message)

    return sent


def _checked_messages(receive: Receive, send: Send) -> Callable[[], Awaitable[Message]]:
    """What comes over a WebSocket, until something comes that may not pass: then it is closed."""

    async def checked() -> Message:
        message = await receive()
        if message["type"] != "websocket.receive":
            return message
        try:
            may_pass = await run_in_threadpool(socket_may_pass, json.loads(message.get("text") or ""))
        except (ValueError, RecursionError):
            may_pass = False
        if may_pass:
            return message
        await send({"type": "websocket.close", "code": FORBIDDEN})
        return {"type": "websocket.disconnect", "code": FORBIDDEN}

    return checked
