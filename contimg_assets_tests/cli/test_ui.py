"""The static route serves what products hold, follows their links, and nothing else."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn

from contimg_assets.cli.ui import products_app
from contimg_assets.station.store import Store
from contimg_assets_tests.fake_stages import TARGET

Get = Callable[..., tuple[int, bytes]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    with store.staging(TARGET, "image") as folder:
        (folder / "built").mkdir()
        (folder / "built" / "thumbnail.png").write_bytes(b"picture")
        placed = store.place(folder / "built", TARGET, "image")
        store.point(placed.link, placed.path)
    (tmp_path / "secret").write_text("secret")
    return store


@pytest.fixture
def get(store: Store) -> Iterator[Get]:
    """Ask a real server; paths go out as they are, dots included."""
    server = uvicorn.Server(uvicorn.Config(products_app(store.products), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]

    def ask(path: str, method: str = "GET") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request(method, path)
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer

    yield ask
    server.should_exit = True
    thread.join()


def test_a_picture_is_served_through_its_products_link(get: Get) -> None:
    assert get("/20260115T030000/image/thumbnail.png") == (200, b"picture")


@pytest.mark.parametrize(
    "path", ["/../secret", "/20260115T030000/../../secret", "/20260115T030000", "/none", "/"]
)
def test_nothing_else_is(get: Get, path: str) -> None:
    assert get(path)[0] == 404


def test_a_link_that_leads_out_is_not_followed(get: Get, store: Store) -> None:
    (store.products / "out").symlink_to(store.home / "secret")
    assert get("/out")[0] == 404


def test_it_is_read_only(get: Get) -> None:
    assert get("/20260115T030000/image/thumbnail.png", "PUT")[0] == 405
