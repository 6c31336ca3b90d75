"""The one server: where it listens, who may reach it, and how it ends.

Belongs here: sockets, the check before the first connection, the daemon beside the server, signals.  Does
not belong here: what is served (``app.py``).
"""

import logging
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from dagster import DagsterInstance
from starlette.types import ASGIApp

from contimg_assets.radio.errors import AccessError
from contimg_assets.radio.processes import bound
from contimg_assets.resources.daemon import GRACE_S, end, told_to_end
from contimg_assets.resources.dagster_metrics import InstallationCollector
from contimg_assets.settings import Settings
from contimg_assets.station.installation import Installation
from contimg_assets.station.operator_actions import OperatorActions
from contimg_assets.web.app import guarded_app, own_app
from contimg_assets.web.dagster_app import (
    dagster_app,
    dagster_workspace,
    orchestrator_of,
    shared_code_server,
)
from contimg_assets.web.metrics import metrics_router
from contimg_assets.web.principals import Access, mode_of
from contimg_assets.web.tokens import Tokens

#: Time that the daemon has to end by itself, s: longer than what it gives Dagster's.
DAEMON_GRACE_S = GRACE_S + 10.0
#: Time that open connections have, s: a page keeps its WebSocket open for ever.
CONNECTIONS_GRACE_S = 3
#: Bytes of one message on a WebSocket.
MAX_MESSAGE = 1024 * 1024
#: Owner and group may connect: whoever may is taken for the proxy.
SOCKET_MODE = 0o660


@dataclass(frozen=True)
class Listener:
    """A socket that is bound and does not listen yet."""

    socket: socket.socket
    path: Path | None
    """Of a Unix socket."""

    @property
    def address(self) -> str | None:
        """Address that it is bound to; None: a Unix socket."""
        return None if self.path is not None else self.socket.getsockname()[0]

    @property
    def url(self) -> str:
        """Where browsers, or the proxy, find the server."""
        if self.path is not None:
            return f"unix:{self.path}"
        host, port = self.socket.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _remove_left(path: Path) -> None:
    """Remove a socket that a server left which is no more."""
    if not path.exists():
        return
    if not stat.S_ISSOCK(path.stat().st_mode):
        raise AccessError(f"{path} is there and is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise AccessError(f"{path}: another server listens there")


@contextmanager
def listener(host: str, port: int, path: Path | None) -> Iterator[Listener]:
    """A socket for the server.

    Parameters
    ----------
    host : str
    port : int
        0: one that is free.
    path : Path or None
        Of a Unix socket, in place of host and port.

    Yields
    ------
    Listener
        Bound, so that its address is known; nobody can connect yet.

    Raises
    ------
    AccessError
        If that is not possible.
    """
    if path is None:
        with _bound(host, port) as bound:
            yield Listener(bound, None)
        return
    _remove_left(path)
    with socket.socket(socket.AF_UNIX) as bound:
        try:
            bound.bind(str(path))
        except OSError as error:
            raise AccessError(f"cannot listen on {path}: {error.strerror or error}") from error
        try:
            # Before anybody can connect: that needs listen().
            path.chmod(SOCKET_MODE)
            yield Listener(bound, path)
        finally:
            path.unlink(missing_ok=True)


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise AccessError(f"cannot listen on {host}: {error.strerror or error}") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise AccessError(
            f"cannot listen on port {port} of {host}: {error.strerror or error} (--port takes another)"
        ) from error
    return bound


def access_for(settings: Settings, listening: Listener) -> Access:
    """Who may reach a server on this socket.

    Raises
    ------
    AccessError
        If others than this machine could and nothing would tell who they are.
    """
    tokens = Tokens(settings.home)
    tokens.known()  # a file that is not in order is told at the start
    return Access(mode_of(listening.address, settings.web, tokens), settings.web, tokens)


def http_server(app: ASGIApp) -> uvicorn.Server:
    """The HTTP server for an app, not running yet."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        # Proxies are believed by rules of our own, which need the true peer.
        proxy_headers=False,
        server_header=False,
        ws_max_size=MAX_MESSAGE,
        timeout_graceful_shutdown=CONNECTIONS_GRACE_S,
    )
    return uvicorn.Server(config)


def serve(
    settings: Settings,
    instance: DagsterInstance,
    listening: Listener,
    access: Access,
    *,
    daemon: bool,
    workspace: Path | None = None,
) -> int:
    """Serve until told to end.

    Parameters
    ----------
    settings : Settings
    instance : DagsterInstance
    listening : Listener
    access : Access
        Of :func:`access_for`.
    daemon : bool
        Run Dagster's daemon beside the server, and so the sensors.
    workspace : Path, optional
        Workspace file that names a code server; default: one is started for this server.

    Returns
    -------
    int
        Exit code: 1 if the daemon ended by itself.
    """
    logging.basicConfig(format="%(asctime)s %(name)s %(levelname)s %(message)s", level=logging.WARNING)
    with ExitStack() as stack:
        ending = stack.enter_context(told_to_end())
        # Python looks for modules where a process starts: a file in the user's folder would pass for one.
        stack.enter_context(chdir(settings.home))
        if daemon:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="contimg-")))
            workspace = stack.enter_context(shared_code_server(instance, folder))
        context = stack.enter_context(dagster_workspace(instance, workspace))
        installation = Installation(settings)
        own = own_app(installation, orchestrator_of(instance, context))
        own.include_router(metrics_router(InstallationCollector(settings, instance)))
        actions = OperatorActions(installation.engine)
        app = guarded_app(own, dagster_app(context), access, actions, _names(settings, listening))
        server = http_server(app)
        child = stack.enter_context(_daemon(workspace, settings.home)) if daemon and workspace else None
        if not ending.is_set():
            with _ended_with(server, child):
                server.run(sockets=[listening.socket])
    return 0 if ending.is_set() else 1


def _names(settings: Settings, listening: Listener) -> list[str]:
    """Names of the server that browsers may use: the settings', and the address if it is a certain one."""
    address = listening.address
    bound = [] if address in (None, "0.0.0.0", "::") else [f"[{address}]" if ":" in address else address]
    return [*settings.web.allowed_hosts, *bound]


@contextmanager
def _daemon(workspace: Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``contimg daemon`` for the length of the block: it works, or waits while another one does."""
    command = [sys.executable, "-m", "contimg_assets.cli", "daemon", "--workspace", str(workspace), "--json"]
    # What it tells is not the server's, whose first line programs read.
    with subprocess.Popen(bound(command), cwd=folder, stdout=subprocess.DEVNULL) as child:
        try:
            yield child
        finally:
            end(child, DAEMON_GRACE_S)


@contextmanager
def _ended_with(server: uvicorn.Server, child: subprocess.Popen[bytes] | None) -> Iterator[None]:
    """End the server when the daemon ends."""

    def wait(process: subprocess.Popen[bytes]) -> None:
        process.wait()
        server.should_exit = True

    if child is not None:
        threading.Thread(target=wait, args=(child,), daemon=True).start()
    yield
