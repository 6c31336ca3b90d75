"""Only our own pages, and clients that are no browser, have Dagster do anything; roles; records of writes.

All over HTTP and WebSocket against a server with Dagster's own app, a code server and an instance.
"""

import base64
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from dagster import DagsterInstance
from dagster_graphql.schema import create_schema
from sqlalchemy import create_engine, delete
from starlette.types import ASGIApp, Receive, Scope, Send
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from contimg_assets.partitions import OBSERVATION_GROUP
from contimg_assets.resources.instance import initialise
from contimg_assets.settings import Settings, WebOptions, get_settings
from contimg_assets.station.database import transaction
from contimg_assets.station.installation import Installation as Station
from contimg_assets.station.models import OperatorAction
from contimg_assets.station.operator_actions import OperatorActions
from contimg_assets.web.app import guarded_app, own_app
from contimg_assets.web.dagster_app import dagster_app, dagster_workspace
from contimg_assets.web.dagster_documents import OPERATOR_MUTATIONS
from contimg_assets.web.guard import PRINCIPAL
from contimg_assets.web.principals import LOCAL, Access, Mode
from contimg_assets.web.roles import Role
from contimg_assets.web.tokens import Tokens
from contimg_assets_tests.web.site import JSON, PATIENCE_S, Site, running

KEY = "2026-01-15T03:00:00"
WHERE = '{repositoryName: "__repository__", repositoryLocationName: "contimg"}'
ADD = (
    f'mutation {{ addDynamicPartition(repositorySelector: {WHERE}, partitionsDefName: "observation_group", '
    f'partitionKey: "{KEY}") {{ __typename }} }}'
)
LAUNCH = """mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) { __typename ... on LaunchRunSuccess { run { runId } } }
}"""
PARAMS: dict[str, Any] = {
    "selector": {
        "jobName": "convert_group",
        "repositoryName": "__repository__",
        "repositoryLocationName": "contimg",
    },
    "runConfigData": {},
    "mode": "default",
    "executionMetadata": {"tags": [{"key": "dagster/partition", "value": KEY}]},
}
LOGS = 'subscription { pipelineRunLogs(runId: "none") { __typename } }'
EVIL = "http://evil.example"
GRAPHQL = "/dagster/graphql"


@dataclass(frozen=True)
class Installation:
    """A home with Dagster's app, which any guard may be put before."""

    settings: Settings
    instance: DagsterInstance
    own: ASGIApp
    dagster: ASGIApp
    actions: OperatorActions

    def partitions(self) -> list[str]:
        return list(self.instance.get_dynamic_partitions(OBSERVATION_GROUP))

    def recorded(self) -> list[OperatorAction]:
        return self.actions.recent()[0]

    def app(self, mode: Mode, *hosts: str) -> ASGIApp:
        access = Access(mode, WebOptions(), Tokens(self.settings.home))
        return guarded_app(self.own, self.dagster, access, self.actions, hosts)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One for all tests of the file: its code server takes seconds to start."""
    home = tmp_path_factory.mktemp("web") / "home"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTIMG_HOME", str(home))
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        get_settings.cache_clear()
        settings = get_settings()
        folder = initialise(settings)
        with (
            DagsterInstance.from_config(str(folder)) as instance,
            dagster_workspace(instance, None) as workspace,
        ):
            station = Station(settings)
            own = own_app(station)
            actions = OperatorActions(station.engine)
            yield Installation(settings, instance, own, dagster_app(workspace), actions)
    get_settings.cache_clear()


@pytest.fixture(autouse=True)
def clean(installation: Installation) -> Installation:
    """Without keys and records of an earlier test."""
    for key in installation.partitions():
        installation.instance.delete_dynamic_partition(OBSERVATION_GROUP, key)
    with transaction(installation.actions.engine) as session:
        session.execute(delete(OperatorAction))
    return installation


@pytest.fixture(scope="module")
def site(installation: Installation) -> Iterator[Site]:
    """Open to the loopback interface, as it is by default."""
    with running(installation.app(Mode.LOOPBACK)) as site:
        yield site


# -- what other people's pages may try ---------------------------------------------------------

BODY = json.dumps({"query": ADD})
IN_URL = f"{GRAPHQL}?{urlencode({'query': ADD})}"
REPORT = "/dagster/report_asset_materialization/measurement_set"
#: Name: method, path, headers, body.  Old browsers, and all on plain HTTP, do not send Sec-Fetch-Site.
ATTEMPTS: dict[str, tuple[str, str, dict[str, str], str | None]] = {
    "GET, a navigation or picture": ("GET", IN_URL, {"Sec-Fetch-Site": "cross-site"}, None),
    "GET without any sign of a page": ("GET", IN_URL, {}, None),
    "HEAD": ("HEAD", IN_URL, {}, None),
    "GET of a bookmark": ("GET", IN_URL, {"Sec-Fetch-Site": "none"}, None),
    "form, query in the URL": ("POST", IN_URL, {"Content-Type": "text/plain", "Origin": EVIL}, ""),
    "POST without a type, query in the URL": ("POST", IN_URL, {}, ""),
    "POST of text/plain": ("POST", GRAPHQL, {"Content-Type": "text/plain", "Origin": EVIL}, BODY),
    "the same without an origin": ("POST", GRAPHQL, {"Content-Type": "text/plain"}, BODY),
    "a type that only holds the word": (
        "POST",
        GRAPHQL,
        {"Content-Type": "text/plain; application/json"},
        BODY,
    ),
    "POST of application/graphql": ("POST", GRAPHQL, {"Content-Type": "application/graphql"}, ADD),
    "JSON of another origin": ("POST", GRAPHQL, {**JSON, "Origin": EVIL}, BODY),
    "JSON of a sandboxed page": ("POST", GRAPHQL, {**JSON, "Origin": "null"}, BODY),
    "JSON of another port of this machine": (
        "POST",
        GRAPHQL,
        {**JSON, "Origin": "http://localhost:8000", "Sec-Fetch-Site": "same-site"},
        BODY,
    ),
    "JSON of an origin that is none": ("POST", GRAPHQL, {**JSON, "Origin": "http://["}, BODY),
    "a sign beside ours": ("POST", GRAPHQL, {**JSON, "Sec-Fetch-Site": "same-origin, cross-site"}, BODY),
    "a page that names us in its origin": (
        "POST",
        GRAPHQL,
        {**JSON, "Origin": "http://localhost@evil.example"},
        BODY,
    ),
    "two signs": (
        "POST",
        GRAPHQL,
        {**JSON, "Origin": EVIL, "Sec-Fetch-Site": "cross-site"},
        BODY,
    ),
    "a host name that was rebound": ("POST", GRAPHQL, {**JSON, "Host": "evil.example"}, BODY),
    "the same with our port": ("POST", GRAPHQL, {**JSON, "Host": "evil.example:3000", "Origin": EVIL}, BODY),
    "a name that begins as ours": ("POST", GRAPHQL, {**JSON, "Host": "localhost.evil.example"}, BODY),
    "a name that ends as ours": ("POST", GRAPHQL, {**JSON, "Host": "evil.example@localhost"}, BODY),
    "event of an asset, no body": ("POST", REPORT, {"Origin": EVIL}, ""),
    "event of an asset, a form": (
        "POST",
        REPORT,
        {"Content-Type": "application/x-www-form-urlencoded"},
        "a=b",
    ),
    "another spelling of the path": ("GET", IN_URL.replace("graphql", "%67raphql"), {}, None),
    "a slash more": ("GET", IN_URL.replace("/graphql", "//graphql"), {}, None),
    "a slash behind": ("GET", IN_URL.replace("graphql?", "graphql/?"), {}, None),
    "the prefix twice": ("GET", IN_URL.replace("/dagster", "/dagster/dagster"), {}, None),
    "without the prefix": ("GET", IN_URL.replace("/dagster", ""), {}, None),
}


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_no_page_of_another_origin_writes(clean: Installation, site: Site, attempt: tuple[Any, ...]) -> None:
    method, path, headers, body = attempt
    answer = site.ask(method, path, headers, body)
    assert clean.partitions() == []
    assert clean.recorded() == []
    # A path that leads nowhere is Dagster's start page, or nothing; all else is told why not.
    if path.startswith((f"{GRAPHQL}?", REPORT)) or path == GRAPHQL:
        assert answer.status in (403, 415, 421)
        assert answer.headers["Content-Type"] == "application/problem+json"
    else:
        assert b"data" not in answer.body or answer.body.startswith(b"<!DOCTYPE html>")


def test_the_attempts_would_have_succeeded_without_the_guard(clean: Installation) -> None:
    async def open_app(scope: Scope, receive: Receive, send: Send) -> None:
        await clean.dagster({**scope, PRINCIPAL: LOCAL}, receive, send)

    with running(open_app) as open_site:
        assert open_site.get(IN_URL, {"Origin": EVIL, "Host": "evil.example"}).status == 200
    assert clean.partitions() == [KEY]


def socket_of(site: Site, **headers: str) -> Any:
    """A WebSocket to Dagster, as its pages open it."""
    return connect(
        f"ws://localhost:{site.port}{GRAPHQL}",
        subprotocols=[Subprotocol("graphql-ws")],
        additional_headers=headers,
        proxy=None,
        # The name leads to ::1 as well, where nobody listens.
        sock=socket.create_connection(("127.0.0.1", site.port)),
    )


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": EVIL}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Origin": EVIL, "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_no_page_of_another_origin_opens_a_websocket(
    site: Site, headers: dict[str, str], status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        socket_of(site, **headers)
    assert refused.value.response.status_code == status


def test_a_websocket_with_a_rebound_name_is_refused(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.port)) as raw:
        raw.sendall(
            f"GET {GRAPHQL} HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert raw.recv(64).startswith(b"HTTP/1.1 421")


def test_our_own_page_opens_one_and_mutations_close_it(clean: Installation, site: Site) -> None:
    with socket_of(site, Origin=f"http://{site.host}") as ours:
        ours.send(json.dumps({"type": "connection_init"}))
        assert json.loads(ours.recv())["type"] == "connection_ack"
        ours.send(json.dumps({"id": "1", "type": "start", "payload": {"query": LOGS}}))
        assert json.loads(ours.recv(PATIENCE_S))["payload"]["data"]["pipelineRunLogs"]
        ours.send(json.dumps({"id": "2", "type": "start", "payload": {"query": ADD}}))
        with pytest.raises(ConnectionClosed) as closed:
            list(iter(ours.recv, None))
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403
    assert clean.partitions() == []


@pytest.mark.parametrize("message", ["", "[]", "x", '{"type": "start"}', '{"type": "start", "payload": 1}'])
def test_what_cannot_be_read_closes_a_websocket(site: Site, message: str) -> None:
    with socket_of(site) as ours:
        ours.send(message)
        with pytest.raises(ConnectionClosed):
            ours.recv(PATIENCE_S)


# -- what our pages and scripts may do -----------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:9"},
        {"Origin": "http://{host}"},
        {"Host": "127.0.0.1:{port}", "Origin": "http://127.0.0.1:{port}"},
    ],
    ids=["a script", "a browser", "a browser says it itself", "an older browser", "by number"],
)
def test_our_own_pages_and_scripts_write_and_it_is_recorded(
    clean: Installation, site: Site, headers: dict[str, str]
) -> None:
    sent = {name: value.format(host=site.host, port=site.port) for name, value in headers.items()}
    answer = site.graphql(ADD, sent)
    assert answer.json()["data"]["addDynamicPartition"]["__typename"] == "AddDynamicPartitionSuccess"
    assert clean.partitions() == [KEY]
    [record] = clean.recorded()
    assert record.request == answer.headers["X-Request-Id"]
    assert (record.user, record.role, record.by) == ("local", "admin", "loopback")
    assert record.mutations == ["addDynamicPartition"]


def test_what_cannot_be_recorded_is_not_done(clean: Installation) -> None:
    """As where another writer holds the database, or the disk is full."""
    closed = OperatorActions(create_engine("sqlite:///file:nowhere?mode=ro&uri=true"))
    access = Access(Mode.LOOPBACK, WebOptions(), Tokens(clean.settings.home))
    with running(guarded_app(clean.own, clean.dagster, access, closed, [])) as site:
        assert site.graphql(ADD).status == 503
        assert site.graphql("{ version }").status == 200
    assert clean.partitions() == []


def test_reading_by_post_or_address_is_not_recorded(clean: Installation, site: Site) -> None:
    assert site.graphql("{ version }").json()["data"]["version"]
    assert site.get(f"{GRAPHQL}?query={quote('{ version }')}").json()["data"]["version"]
    assert clean.recorded() == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b"[1]", 400),
        (b"{}", 400),
        (json.dumps({"query": "{"}).encode(), 400),
        (json.dumps({"query": "{a" * 5_000}).encode(), 400),
        (json.dumps({"query": "schema { query: Q }"}).encode(), 400),
        (json.dumps({"query": "mutation { ...F }"}).encode(), 400),
        (json.dumps({"query": "{" + "a " * 30_000 + "}"}).encode(), 400),
        (b'"' + b"x" * (4 * 1024 * 1024) + b'"', 413),
    ],
)
def test_what_cannot_be_read_is_refused(site: Site, body: bytes, status: int) -> None:
    answer = site.ask("POST", GRAPHQL, JSON, body)
    assert answer.status == status
    # Dagster's pages show this form of an error.
    assert answer.json()["errors"][0]["message"] == answer.json()["detail"]


def test_a_body_without_a_length_is_limited_too(site: Site) -> None:
    chunked = b"".join(b"10000\r\n" + b"x" * 0x10000 + b"\r\n" for _ in range(66)) + b"0\r\n\r\n"
    answer = site.ask("POST", GRAPHQL, {**JSON, "Transfer-Encoding": "chunked"}, chunked)
    assert answer.status == 413


def test_dagster_is_mounted_whole(site: Site) -> None:
    assert site.get("/dagster").headers["Location"] == "/dagster/"
    page = site.get("/dagster/assets/measurement_set")
    assert b'"pathPrefix": "/dagster"' in page.body
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'nonce-" in policy
    assert policy.endswith("frame-ancestors 'self'")
    assert site.get("/dagster/favicon.png").headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_our_start_page_answers_and_lets_nothing_in(site: Site) -> None:
    page = site.get("/")
    assert page.status == 200
    assert b"Nothing has been observed yet" in page.body
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert "Server" not in page.headers


def test_an_error_is_a_problem_without_a_stack(site: Site) -> None:
    answer = site.get("/none")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "Not Found",
    }
    assert site.ask("DELETE", "/", {}).status == 405


# -- roles ---------------------------------------------------------------------------------------


@pytest.fixture
def bearers(clean: Installation) -> Iterator[dict[Role, dict[str, str]]]:
    """A token of each role, as a header."""
    tokens = Tokens(clean.settings.home)
    made = {role: tokens.add(f"a-{role}", role, None)[0] for role in Role}
    yield {role: {"Authorization": f"Bearer {secret}"} for role, secret in made.items()}
    tokens.path.unlink()


@pytest.fixture(scope="module")
def closed(installation: Installation) -> Iterator[Site]:
    """A server that takes tokens only, as beyond the loopback interface."""
    with running(installation.app(Mode.TOKENS, "station")) as site:
        yield site


def launched(clean: Installation) -> int:
    return clean.instance.get_runs_count()


def test_a_viewer_looks_and_cannot_launch(
    clean: Installation, closed: Site, bearers: dict[Role, dict[str, str]]
) -> None:
    viewer, before = bearers[Role.VIEWER], launched(clean)
    assert closed.graphql("{ version }", viewer).status == 200
    assert closed.get("/dagster/", viewer).status == 200
    answer = closed.graphql(LAUNCH, viewer, params=PARAMS)
    assert answer.status == 403
    assert "a-viewer is viewer, which does not include launchRun" in answer.json()["detail"]
    assert closed.ask("POST", REPORT, {**viewer, **JSON}, "{}").status == 403
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert closed.ask("POST", "/", {**viewer, **form}, "a=b").status == 403
    assert (launched(clean), clean.recorded()) == (before, [])
    # Its pages are told so, and offer no buttons.
    permissions = closed.graphql("{ permissions { permission value } }", viewer).json()["data"]["permissions"]
    assert not any(each["value"] for each in permissions if each["permission"] == "launch_pipeline_execution")


def test_a_viewer_reads_live_logs(closed: Site, bearers: dict[Role, dict[str, str]]) -> None:
    with socket_of(closed, **bearers[Role.VIEWER]) as logs:
        logs.send(json.dumps({"id": "1", "type": "start", "payload": {"query": LOGS}}))
        assert json.loads(logs.recv(PATIENCE_S))["type"] == "data"


def test_a_mutation_is_found_wherever_it_hides(
    clean: Installation, closed: Site, bearers: dict[Role, dict[str, str]]
) -> None:
    inner = ADD.removeprefix("mutation { ").removesuffix(" }")
    for document in (
        f"mutation {{ version: {inner} }}",
        f"mutation {{ ...F }} fragment F on Mutation {{ {inner} }}",
        f"mutation {{ ... on Mutation {{ {inner} }} }}",
        f"query Q {{ version }} mutation M {{ {inner} }}",
        f"#\n mutation {{ {inner} }}",
    ):
        body = json.dumps({"query": document, "operationName": "M" if " M " in document else None})
        for role, status in ((Role.VIEWER, 403), (Role.OPERATOR, 200)):
            answer = closed.ask("POST", GRAPHQL, {**JSON, **bearers[role]}, body)
            assert (document, answer.status) == (document, status)
    assert clean.partitions() == [KEY]
    assert [record.mutations for record in clean.recorded()] == [["addDynamicPartition"]] * 5


def test_what_an_operator_may_do_exists_in_dagster() -> None:
    mutation_type = create_schema().graphql_schema.mutation_type
    assert mutation_type is not None
    assert set(mutation_type.fields) >= OPERATOR_MUTATIONS


def test_an_operator_launches_and_removes_nothing(
    clean: Installation, closed: Site, bearers: dict[Role, dict[str, str]]
) -> None:
    operator, before = bearers[Role.OPERATOR], launched(clean)
    answer = closed.graphql(LAUNCH, operator, params=PARAMS)
    run = answer.json()["data"]["launchRun"]["run"]["runId"]
    assert launched(clean) == before + 1
    [record] = clean.recorded()
    assert (record.user, record.by, record.mutations) == ("a-operator", "token", ["launchRun"])
    assert KEY in record.content
    delete = f'mutation {{ deleteRun(runId: "{run}") {{ __typename }} }}'
    assert closed.graphql(delete, operator).status == 403
    assert closed.graphql("mutation { someLaterMutation }", operator).status == 403
    assert closed.graphql(delete, bearers[Role.ADMIN]).status == 200
    assert launched(clean) == before


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer x", "Bearer contimg_", "Digest x"])
def test_nobody_gets_anything_without_a_token(closed: Site, authorization: str | None) -> None:
    for path in ("/", "/products/x.png", "/dagster/", "/api/openapi.json", IN_URL):
        answer = closed.get(path, {"Authorization": authorization})
        assert answer.status == 401
        assert "Bearer" in answer.headers["WWW-Authenticate"]
    with pytest.raises(InvalidStatus) as refused:
        socket_of(closed)
    assert refused.value.response.status_code == 401


def test_names_of_the_settings_are_hosts_too(closed: Site, bearers: dict[Role, dict[str, str]]) -> None:
    viewer = bearers[Role.VIEWER]
    assert closed.get("/", {**viewer, "Host": "STATION:3000"}).status == 200
    assert closed.get("/", {**viewer, "Host": "station.evil.example"}).status == 421
    assert closed.get("/", {**viewer, "Host": None}).status in (400, 421)


def test_a_browser_gives_the_token_as_a_password(closed: Site, clean: Installation) -> None:
    secret, _ = Tokens(clean.settings.home).add("browser", Role.OPERATOR, None)
    encoded = base64.b64encode(f"anything:{secret}".encode()).decode()
    assert b"browser (operator)" in closed.get("/", {"Authorization": f"Basic {encoded}"}).body
    wrong = base64.b64encode(b"anything:wrong").decode()
    assert closed.get("/", {"Authorization": f"Basic {wrong}"}).status == 401
    assert closed.get("/", {"Authorization": "Basic \xff"}).status == 401
