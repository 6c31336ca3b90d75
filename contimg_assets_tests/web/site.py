"""A server of a test's own on the loopback interface, and how it is asked: over TCP, with nothing added."""

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp

from contimg_assets.web.server import Listener, http_server, listener

JSON = {"Content-Type": "application/json"}
#: Time that an answer may take on a machine that does other things as well, s.
PATIENCE_S = 300


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        """The body, which is JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Site:
    """A server that runs."""

    port: int

    @property
    def host(self) -> str:
        """As a browser on this machine names it."""
        return f"localhost:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str | None] | None = None,
        body: bytes | str | None = None,
    ) -> Answer:
        """Ask with these headers and no others; the path goes out as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        sent = {"Host": self.host, **(headers or {})}
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in sent.items():
            if value is not None:
                connection.putheader(name, value)
        content = body.encode() if isinstance(body, str) else body
        if content is not None and "Transfer-Encoding" not in sent:
            connection.putheader("Content-Length", str(len(content)))
        connection.endheaders(content)
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        connection.close()
        return answer

    def get(self, path: str, headers: Mapping[str, str | None] | None = None) -> Answer:
        """Ask by GET."""
        return self.ask("GET", path, headers)

    def graphql(
        self, query: str, headers: Mapping[str, str | None] | None = None, **variables: Any
    ) -> Answer:
        """Ask Dagster, as its pages do."""
        body = json.dumps({"query": query, "variables": variables})
        return self.ask("POST", "/dagster/graphql", {**JSON, **(headers or {})}, body)


@contextmanager
def serving(app: ASGIApp, listening: Listener) -> Iterator[None]:
    """Run an app on a socket for the length of the block, in a thread."""
    server = http_server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening.socket]}, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def running(app: ASGIApp) -> Iterator[Site]:
    """Run an app on a free port of the loopback interface for the length of the block."""
    with listener("127.0.0.1", 0, None) as listening, serving(app, listening):
        yield Site(listening.socket.getsockname()[1])
