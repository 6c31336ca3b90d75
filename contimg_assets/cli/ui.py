"""``contimg ui``: Dagster's web UI and the small static route for pictures, ended together.

Belongs here: serving files below ``home/products`` read-only, and starting
Dagster beside it.  Does not belong here: anything that Dagster shows.
"""

import signal
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from contimg_assets.settings import Settings

#: Time that Dagster's processes have to end by themselves, s.
GRACE_S = 60.0
DEFAULT_PORT = 3001


def products_app(products: Path) -> Starlette:
    """A read-only route to the files of published products.

    Parameters
    ----------
    products : Path
        ``home/products``; nothing outside of it is served, whatever a path or link says.
    """
    root = products.resolve()

    def serve(request: Request) -> FileResponse:
        # Products are links to their current version: follow them, then look where that led.
        path = (root / request.path_params["path"]).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            raise HTTPException(404)
        # A product that is made again has the same address.
        return FileResponse(path, headers={"Cache-Control": "no-cache"})

    return Starlette(routes=[Route("/{path:path}", serve, methods=["GET", "HEAD"])])


def products_server(settings: Settings) -> uvicorn.Server:
    """The server of the static route, at the address that metadata refer to."""
    port = urlsplit(settings.products_url).port or DEFAULT_PORT
    app = products_app(settings.home / "products")
    return uvicorn.Server(uvicorn.Config(app, host="0.0.0.0", port=port, log_level="warning"))


def dagster_command(port: int) -> list[str]:
    """How Dagster's web server and daemon are started for one machine."""
    command = ["-m", "dagster", "dev", "-m", "contimg_assets.definitions", "--port", str(port)]
    # `dagster dev` recommends another tool for developing a project, at every start; this is not that.
    return [sys.executable, "-W", "ignore:Function `dev_command` is superseded", *command]


def run_ui(settings: Settings, port: int) -> int:
    """Serve pictures and Dagster until either ends or the user ends both.

    Parameters
    ----------
    settings : Settings
        Of this process.
    port : int
        Of Dagster's web UI.

    Returns
    -------
    int
        Exit code.
    """
    server = products_server(settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    ending = threading.Event()

    def end(_number: int, _frame: object) -> None:
        ending.set()

    # Before Dagster starts, which gets the default of what is handled here. What is ignored here, as a
    # shell does for its background, it would ignore as well, and not end.
    previous = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    dagster = subprocess.Popen(dagster_command(port), cwd=settings.home)
    try:
        while dagster.poll() is None and thread.is_alive() and not ending.is_set():
            thread.join(0.5)
        ended_by_user = ending.is_set() or dagster.returncode in (0, -signal.SIGINT, 130)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        server.should_exit = True
        if dagster.poll() is None:
            dagster.send_signal(signal.SIGINT)
            try:
                dagster.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                dagster.kill()
                dagster.wait()
        thread.join(GRACE_S)
    return 0 if ended_by_user else 1
