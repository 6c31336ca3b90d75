"""Of published products the files for people are served, whole or in part, and nothing else."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse

from contimg_assets.settings import Settings, WebOptions
from contimg_assets.station.installation import Installation
from contimg_assets.station.operator_actions import OperatorActions
from contimg_assets.station.store import Store
from contimg_assets.web.app import guarded_app, own_app
from contimg_assets.web.principals import Access, Mode
from contimg_assets.web.tokens import Tokens
from contimg_assets_tests.fake_stages import TARGET
from contimg_assets_tests.web.site import Site, running

GROUP = "/products/20260115T030000"
IMAGE = bytes(range(256)) * 12


def show(store: Store, built: Path, product: str) -> None:
    """Publish a product as far as the disk goes."""
    placed = store.place(built, TARGET, product)
    store.point(placed.link, placed.path)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two published products and one that is being built, with files that must stay inside."""
    home = tmp_path_factory.mktemp("home")
    store = Store(home)
    with store.staging(TARGET, "image") as folder:
        built = folder / "built"
        built.mkdir()
        (built / "a.fits").write_bytes(IMAGE)
        for name in ("thumbnail.png", "report.html", "summary.json", "sources.reg", "sources.csv"):
            (built / name).write_text(f"content of {name}")
        for name in ("a.fits.gz", "a.svg", "a.py", "a.PNG", "png", ".png"):
            (built / name).write_text("not served")
        show(store, built, "image")
    with store.staging(TARGET, "measurement_set") as folder:
        table = folder / "built" / "20260115T030000.ms"
        (table / "ANTENNA").mkdir(parents=True)
        for name in ("table.dat", "table.f0", "table.f0_TSM0", "table.info", "ANTENNA/table.f0"):
            (table / name).write_text("visibilities")
        show(store, folder / "built", "measurement_set")
    group = store.path(TARGET, "image").parent
    (group / ".staging" / "image-x").mkdir(parents=True)
    (group / ".staging" / "image-x" / "half.png").write_text("half")
    (home / "secret.json").write_text("secret")
    (home / "products-of-others").mkdir()
    (home / "products-of-others" / "a.json").write_text("secret")
    image = store.path(TARGET, "image").resolve()
    (image / "out.json").symlink_to(home / "secret.json")
    (image / "beside.json").symlink_to(home / "products-of-others" / "a.json")
    (image / "renamed.json").symlink_to(image / "a.py")
    (image / "half.png").symlink_to(group / ".staging" / "image-x" / "half.png")
    (image / "loop.png").symlink_to(image / "loop.png")
    (image / "gone.png").symlink_to(image / "none.png")
    (image / "folder.png").mkdir()
    (store.products / "out").symlink_to(home)
    return store


@pytest.fixture(scope="module")
def site(store: Store) -> Iterator[Site]:
    installation = Installation(Settings(home=store.home))
    own = own_app(installation)
    access = Access(Mode.LOOPBACK, WebOptions(), Tokens(store.home))
    actions = OperatorActions(installation.engine)
    with running(guarded_app(own, PlainTextResponse("", 404), access, actions, [])) as site:
        yield site


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("thumbnail.png", "image/png"),
        ("report.html", "text/html; charset=utf-8"),
        ("summary.json", "application/json"),
        ("sources.reg", "text/plain; charset=utf-8"),
        ("sources.csv", "text/csv; charset=utf-8"),
    ],
)
def test_files_for_people_are_served_through_their_products_link(
    site: Site, name: str, media_type: str
) -> None:
    answer = site.get(f"{GROUP}/image/{name}")
    assert (answer.status, answer.body) == (200, f"content of {name}".encode())
    assert answer.headers["Content-Type"] == media_type
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    # Whatever a file holds, it cannot run anything nor act as who looks at it.
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "allow-scripts" not in policy
    assert "allow-same-origin" not in policy


@pytest.mark.parametrize(
    "path",
    [
        f"{GROUP}/image/{name}"
        for name in (
            "",
            "a.fits.gz",
            "a.svg",
            "a.py",
            "a.PNG",
            "png",
            ".png",
            "none.png",
            "out.json",
            "beside.json",
            "renamed.json",
            "half.png",
            "loop.png",
            "gone.png",
            "folder.png",
            "folder.png/",
            "thumbnail.png/",
            "thumbnail.png/x.png",
            "%00.png",
            "x" * 300 + ".png",
            "../../../secret.json",
            "..%2f..%2f..%2fsecret.json",
            "%2e%2e/%2e%2e/%2e%2e/secret.json",
            "....//....//secret.json",
            "..\\..\\secret.json",
        )
    ]
    + [
        f"{GROUP}/measurement_set/20260115T030000.ms/{name}"
        for name in ("table.dat", "table.f0", "table.f0_TSM0", "table.info", "ANTENNA/table.f0", "")
    ]
    + [
        f"{GROUP}/.staging/image-x/half.png",
        f"{GROUP}/.versions/",
        GROUP,
        f"{GROUP}/",
        "/products",
        "/products/",
        "/products/out/secret.json",
        "/products/../secret.json",
        "/products//etc/hostname",
        "/products/%2fetc/ssl/cert.json",
        "/products/~root/a.json",
    ],
)
def test_nothing_else_is_and_why_not_is_not_told(site: Site, path: str) -> None:
    answer = site.get(path)
    assert answer.status == 404
    assert b"secret" not in answer.body
    assert answer.json()["detail"].startswith(("no such file", "Not Found"))


def test_a_version_is_not_reached_but_through_its_product(site: Site, store: Store) -> None:
    [version] = store.versions(TARGET, "image").values()
    assert site.get(f"{GROUP}/.versions/{version.name}/thumbnail.png").status == 404


def test_a_part_of_an_image_is_served(site: Site) -> None:
    path = f"{GROUP}/image/a.fits"
    head = site.ask("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["Content-Length"]) == len(IMAGE)
    assert head.headers["Accept-Ranges"] == "bytes"
    part = site.get(path, {"Range": "bytes=100-299"})
    assert (part.status, part.body) == (206, IMAGE[100:300])
    assert part.headers["Content-Range"] == f"bytes 100-299/{len(IMAGE)}"
    assert site.get(path, {"Range": "bytes=-10"}).body == IMAGE[-10:]
    assert site.get(path, {"Range": "bytes=99999-"}).status == 416
    # Of a version that is no more, the whole of the new one.
    stale = site.get(path, {"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (stale.status, stale.body) == (200, IMAGE)


def test_what_a_browser_has_is_not_sent_again_until_it_is_another(site: Site, store: Store) -> None:
    with store.staging(TARGET, "image_qa") as folder:
        (folder / "built").mkdir()
        (folder / "built" / "thumbnail.png").write_text("a picture")
        show(store, folder / "built", "image_qa")
    path = f"{GROUP}/image_qa/thumbnail.png"
    first = site.get(path)
    assert first.headers["Cache-Control"] == "no-cache"
    known = {"If-None-Match": first.headers["ETag"]}
    assert (site.get(path, known).status, site.get(path, known).body) == (304, b"")
    with store.staging(TARGET, "image_qa") as folder:
        (folder / "built").mkdir()
        (folder / "built" / "thumbnail.png").write_text("a newer picture")
        show(store, folder / "built", "image_qa")
    assert site.get(path, known).body == b"a newer picture"


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
def test_it_is_read_only(site: Site, method: str) -> None:
    assert site.ask(method, f"{GROUP}/image/thumbnail.png").status == 405
