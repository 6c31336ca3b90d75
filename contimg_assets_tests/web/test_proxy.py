"""The proxy of ``deploy/nginx.conf``, as it is but for addresses, files and ports, before ``contimg serve``.

nginx of Debian, with TLS and passwords: who gets in, who may do what, and what the network sees of it all.
"""

import base64
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contimg_assets.resources.dagster_doctor import processes_of
from contimg_assets.resources.instance import initialise
from contimg_assets.settings import Settings, get_settings
from contimg_assets.station.installation import Installation
from contimg_assets.web.roles import Role
from contimg_assets.web.tokens import Tokens
from contimg_assets_tests.fake_stages import TARGET, registration
from contimg_assets_tests.web.test_metrics import free_port, until
from contimg_assets_tests.web.test_server import listening_sockets, started

pytestmark = pytest.mark.long
CONFIG = Path(__file__).parents[2] / "deploy" / "nginx.conf"
NAME = "station.example"
PASSWORD = "correct horse"
JSON = {"Content-Type": "application/json"}
REVIEW = f"/api/groups/{TARGET}/reviews"
LAUNCH = json.dumps({"query": "mutation { reloadWorkspace { __typename } }"})
QUERY = json.dumps({"query": "{ version }"})
MAIN = """{user}
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/contimg.conf;
}}
"""


@dataclass(frozen=True)
class Proxy:
    """What stands before the server."""

    port: int
    display_port: int
    pids: list[int]

    def ask(
        self,
        method: str,
        path: str,
        user: str | None = None,
        body: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Ask with TLS, as a user with the password."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=300)
        sent = {"Host": NAME, **(headers or {})}
        if user is not None:
            secret = base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
            sent["Authorization"] = f"Basic {secret}"
        return _answer(connection, method, path, body, sent)

    def on_the_wall(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        """Ask at the display's port."""
        connection = http.client.HTTPConnection("127.0.0.1", self.display_port, timeout=300)
        return _answer(connection, method, path, body, {"Host": NAME})


def _answer(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | None, sent: dict[str, str]
) -> tuple[int, bytes]:
    connection.request(method, path, body=body, headers=sent | (JSON if body is not None else {}))
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def configure(folder: Path, uds: Path) -> tuple[int, int]:
    """The file of ``deploy/`` with addresses of this test; ports of users and of the display."""
    port, display = free_port(), free_port()
    text = CONFIG.read_text()
    for old, new in (
        ("/run/contimg/contimg.sock", str(uds)),
        ("listen 443 ssl http2", f"listen 127.0.0.1:{port} ssl http2"),
        ("listen 8080", f"listen 127.0.0.1:{display}"),
        ("allow 192.168.0.0/16", "allow 127.0.0.0/8"),
        ("/etc/ssl/certs/station.pem", str(folder / "station.pem")),
        ("/etc/ssl/private/station.key", str(folder / "station.key")),
        ("/etc/nginx/contimg.htpasswd", str(folder / "htpasswd")),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "contimg.conf").write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder, user=user))
    made = ["-keyout", folder / "station.key", "-out", folder / "station.pem", "-subj", f"/CN={NAME}"]
    _run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *made)
    hashed = _run("openssl", "passwd", "-apr1", PASSWORD).strip()
    (folder / "htpasswd").write_text("".join(f"{name}:{hashed}\n" for name in ("ada", "ben", "cy")))
    return port, display


def _run(*command: Any) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def proxy(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Server on a Unix socket, nginx before it."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if nginx is None:
        pytest.fail("no nginx: install Debian's package nginx-light")
    monkeypatch.setenv("CONTIMG_WEB__ALLOWED_HOSTS", json.dumps([NAME]))
    get_settings.cache_clear()
    initialise(settings)
    Installation(settings).records.register(registration(TARGET, settings.home), ready=True)
    folder, uds = tmp_path / "nginx", tmp_path / "contimg.sock"
    folder.mkdir()
    port, display = configure(folder, uds)
    _run(nginx, "-t", "-c", folder / "nginx.conf")
    with started("serve", "--uds", str(uds)) as (process, told):
        assert told["access"] == "proxy"
        with subprocess.Popen([nginx, "-c", str(folder / "nginx.conf")]) as master:
            try:
                made = Proxy(port, display, [master.pid])
                until(lambda: answers(made))
                yield made
            finally:
                master.terminate()
        process.terminate()
        process.wait(300)


def answers(proxy: Proxy) -> bool:
    """Whether both stand, and Dagster has loaded what it serves."""
    try:
        return proxy.ask("POST", "/dagster/graphql", "ada", QUERY)[0] == 200
    except OSError:
        return False


def test_who_gets_in_and_who_may_do_what(proxy: Proxy, settings: Settings) -> None:
    said = json.dumps({"verdict": "ERROR", "note": "stripes"})
    for path in ("/", "/api/status", "/products/x", "/dagster/graphql", "/metrics", "/nights"):
        assert proxy.ask("GET", path)[0] == 401, path
    wrong = {"Authorization": "Basic " + base64.b64encode(b"ada:wrong").decode()}
    assert proxy.ask("GET", "/", headers=wrong)[0] == 401
    # Whoever they say they are without a password.
    claimed = {"X-Contimg-User": "ada", "X-Contimg-Role": "admin"}
    assert proxy.ask("POST", REVIEW, body=said, headers=claimed)[0] == 401

    # A viewer reads, and writes nothing, whatever headers come along.
    for path in ("/", "/api/status", "/metrics", "/nights"):
        assert proxy.ask("GET", path, "cy")[0] == 200, path
    assert proxy.ask("POST", "/dagster/graphql", "cy", QUERY)[0] == 200
    for headers in (None, claimed):
        assert proxy.ask("POST", REVIEW, "cy", said, headers)[0] == 403
        assert proxy.ask("POST", "/dagster/graphql", "cy", LAUNCH, headers)[0] == 403

    # An operator reviews; what reloads code is an admin's.
    assert proxy.ask("POST", REVIEW, "ben", said)[0] == 201
    assert proxy.ask("POST", "/dagster/graphql", "ben", LAUNCH)[0] == 403
    assert proxy.ask("POST", "/dagster/graphql", "ada", LAUNCH)[0] == 200
    foreign = {"Origin": "https://evil.example"}
    assert proxy.ask("POST", REVIEW, "ada", said, foreign)[0] == 403

    # A script brings its token, which no password is asked for.
    token, _ = Tokens(settings.home).add("script", Role.OPERATOR, 1)
    for secret, status in ((token, 201), ("contimg_wrong", 401)):
        bearer = {"Authorization": f"Bearer {secret}"}
        assert proxy.ask("POST", REVIEW, body=said, headers=bearer)[0] == status


def test_the_face_for_all_shows_everything_and_changes_nothing(proxy: Proxy) -> None:
    for path in ("/", "/api/status", f"/groups/{TARGET}"):
        assert proxy.on_the_wall("GET", path)[0] == 200, path
    assert proxy.on_the_wall("POST", "/dagster/graphql", QUERY)[0] == 200
    assert proxy.on_the_wall("POST", "/dagster/graphql", LAUNCH)[0] == 403
    assert proxy.on_the_wall("POST", REVIEW, json.dumps({"verdict": "ERROR"}))[0] == 403
    assert proxy.on_the_wall("POST", "/api/jobs/image", json.dumps({"group": TARGET}))[0] == 403


def test_the_network_sees_the_proxy_and_nothing_else(proxy: Proxy, settings: Settings) -> None:
    # nginx writes its title over its environment, so it is none of these: server, and code server.
    behind = processes_of(settings.home)
    assert len(behind) > 1
    assert listening_sockets(behind) == set()
    expected = {f"0100007F:{port:04X}" for port in (proxy.port, proxy.display_port)}
    assert listening_sockets(proxy.pids) == expected
    with socket.create_connection(("127.0.0.1", proxy.port)) as plain:
        # Without TLS it says so, and no more.
        plain.sendall(f"GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        assert re.match(rb"HTTP/1.1 400", plain.recv(100))
