"""The commands as they are typed: one port, nothing else open, and nothing left when they end."""

import http.client
import json
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from contimg_assets.cli import main
from contimg_assets.radio.errors import AccessError
from contimg_assets.resources.dagster_doctor import processes_of
from contimg_assets.resources.instance import initialise
from contimg_assets.settings import Settings
from contimg_assets.web.principals import Mode
from contimg_assets.web.roles import Role
from contimg_assets.web.server import access_for, listener
from contimg_assets.web.tokens import Tokens
from contimg_assets_tests.web.conftest import Made
from contimg_assets_tests.web.site import Site, serving

#: Time that starting and ending may take on a machine that does other things as well, s.
PATIENCE_S = 600


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "contimg_assets.cli", *arguments, "--json"]


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A command that serves, with what it said of itself; killed after the block if it has not ended."""
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def answers(site: Site) -> bool:
    try:
        return site.get("/").status == 200
    except OSError:
        return False


def wait_for(site: Site, process: subprocess.Popen[str]) -> None:
    began = time.monotonic()
    while not answers(site):
        assert process.poll() is None
        assert time.monotonic() < began + PATIENCE_S
        time.sleep(0.1)


def listening_sockets(processes: list[int]) -> set[str]:
    """Local addresses, in hexadecimal, of the TCP sockets on which processes listen."""
    inodes = set()
    for process in processes:
        # What has been closed in the meantime, and a process that has ended, shows nothing.
        with suppress(FileNotFoundError, ProcessLookupError):
            for link in list(Path(f"/proc/{process}/fd").iterdir()):
                with suppress(FileNotFoundError, ProcessLookupError):
                    inodes |= set(re.findall(r"socket:\[(\d+)\]", str(link.readlink())))
    tables = [Path(f"/proc/net/{name}").read_text().splitlines() for name in ("tcp", "tcp6")]
    lines = [line.split() for table in tables for line in table]
    return {fields[1] for fields in lines if fields[3] == "0A" and fields[9] in inodes}


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="looks for sockets in Linux's /proc")
def test_the_ui_opens_one_port_on_the_loopback_interface_and_leaves_nothing(settings: Settings) -> None:
    initialise(settings)
    with started("ui", "--port", "0") as (process, told):
        assert told["access"] == "loopback"
        site = Site(int(told["address"].removeprefix("http://127.0.0.1:")))
        wait_for(site, process)
        assert listening_sockets(processes_of(settings.home)) == {f"0100007F:{site.port:04X}"}
        assert site.graphql("{ version }").json()["data"]["version"]
        query = '{ repositoryOrError(repositorySelector: {repositoryName: "__repository__", '
        query += 'repositoryLocationName: "contimg"}) { __typename } }'
        assert site.graphql(query).json()["data"]["repositoryOrError"]["__typename"] == "Repository"
        assert site.graphql("{ version }", {"Origin": "http://evil.example"}).status == 403
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    assert processes_of(settings.home) == []


class OverSocket(http.client.HTTPConnection):
    """HTTP through a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


def test_a_unix_socket_is_the_proxys_alone(settings: Settings, app_of: Made, tmp_path: Path) -> None:
    path = tmp_path / "contimg.sock"
    # As a server left it that was killed.
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))

    def ask(headers: dict[str, str], method: str = "GET") -> tuple[int, bytes]:
        connection = OverSocket(path)
        connection.request(method, "/", headers=headers, body="a=b" if method == "POST" else None)
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer

    with listener("", 0, path) as listening:
        access = access_for(settings, listening)
        assert access.mode is Mode.PROXY
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with serving(app_of(access.mode), listening):
            assert ask({})[0] == 401
            status, page = ask({"X-Contimg-User": "ada", "X-Contimg-Role": "operator"})
            assert (status, b"ada (operator)" in page) == (200, True)
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            assert ask({"X-Contimg-User": "ada"} | form, "POST")[0] == 403
    assert not path.exists()


@pytest.mark.parametrize("mode", [None, 0o600, 0o644])
def test_it_does_not_start_for_others_without_telling_who_asks(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, mode: int | None
) -> None:
    if mode is not None:
        tokens = Tokens(settings.home)
        tokens.add("one", Role.ADMIN, None if mode == 0o644 else -1)
        tokens.path.chmod(mode)
    # The check comes before anything listens; nothing of the sort may be reached.
    monkeypatch.setattr(socket.socket, "listen", lambda *_: pytest.fail("listens"))
    done = CliRunner().invoke(main, ["serve", "--host", "0.0.0.0", "--port", "0"])
    assert done.exit_code == 3
    expected = (
        "expected 600" if mode == 0o644 else "refused to listen on 0.0.0.0: other machines could reach it"
    )
    assert done.stderr.startswith("AccessError: ")
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_port_or_a_socket_that_is_taken_is_told(tmp_path: Path) -> None:
    with listener("127.0.0.1", 0, None) as taken:
        taken.socket.listen()
        port = taken.socket.getsockname()[1]
        with (
            pytest.raises(AccessError, match=f"cannot listen on port {port} of 127.0.0.1: Address"),
            listener("127.0.0.1", port, None),
        ):
            pass
    path = tmp_path / "s"
    with listener("", 0, path) as taken:
        taken.socket.listen()
        with pytest.raises(AccessError, match="another server listens there"), listener("", 0, path):
            pass
    path.write_text("a file")
    with pytest.raises(AccessError, match="is no socket"), listener("", 0, path):
        pass
    assert path.read_text() == "a file"
    with pytest.raises(AccessError, match="cannot listen on"), listener("", 0, tmp_path / "none" / "s"):
        pass
    with (
        pytest.raises(AccessError, match=r"cannot listen on no\.such\.host\.invalid"),
        listener("no.such.host.invalid", 0, None),
    ):
        pass
