"""Pages of sources and candidates: what they say, what their form keeps, and how a browser shows them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from io import BytesIO
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from astropy.io import fits
from axe_playwright_python.sync_playwright import Axe
from dagster import DagsterInstance
from playwright.sync_api import expect, sync_playwright
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from contimg_assets.radio.catalogues.store import install
from contimg_assets.radio.group_key import slug
from contimg_assets.radio.sky import Source
from contimg_assets.resources.instance import initialise
from contimg_assets.settings import Settings, WebOptions, get_settings
from contimg_assets.simulation.catalogue import nvss_line
from contimg_assets.station.database import reading
from contimg_assets.station.installation import Installation
from contimg_assets.station.light_curves import light_curve
from contimg_assets.station.operator_actions import OperatorActions
from contimg_assets.station.scattering_events import candidates
from contimg_assets.station.versions import current_version
from contimg_assets.web.app import guarded_app, own_app
from contimg_assets.web.dagster_app import dagster_workspace, orchestrator_of
from contimg_assets.web.principals import Access, Mode
from contimg_assets.web.tokens import Tokens
from contimg_assets_tests.radio.image_folder import N, write_image_folder
from contimg_assets_tests.web.conftest import Made
from contimg_assets_tests.web.panel import CHROMIUM, FLAGS, PATIENCE_MS
from contimg_assets_tests.web.site import running
from contimg_assets_tests.web.surveys import make_survey
from contimg_assets_tests.web.test_pages import FORM


def test_a_verdict_on_a_candidate_is_kept(settings: Settings, app_of: Made) -> None:
    """From the page's form, and on the page; a wrong one is refused and keeps nothing."""
    client = TestClient(
        app_of(Mode.LOOPBACK), base_url="http://localhost", headers={"Accept": "text/html", **FORM}
    )
    assert "No day has been searched yet" in client.get("/candidates").text
    made, name = make_survey(settings, 1)
    text = client.get("/candidates").text
    assert f">{name}</a>" in text
    assert "+0.92 ± 0.11" in text
    assert "not measured" in text
    sent = {"source": name, "begin_mjd": 61057.0, "end_mjd": 61065.0, "note": "both feeds <b>"}

    def said(**changes: object) -> int:
        content = urlencode({**sent, **changes})
        return client.post("/candidates/review", content=content, follow_redirects=False).status_code

    assert said(verdict="perhaps") == 422
    assert said(verdict="event", begin_mjd="soon") == 422
    assert said(verdict="event", source="nobody") == 404
    assert candidates(made.engine, made.store)[1][0].verdict is None
    assert said(verdict="event") == 303
    first = candidates(made.engine, made.store)[1][0]
    assert (first.verdict, first.note) == ("event", "both feeds <b>")
    assert "both feeds &lt;b&gt;" in client.get("/candidates").text
    assert client.get("/candidates?day=2020-01-01").status_code == 404


def test_a_source_among_others(settings: Settings, app_of: Made) -> None:
    """Its pictures by epoch, neighbours and counterparts on its page; sky that is covered by the API."""
    made, _ = make_survey(settings, 1)
    client = TestClient(app_of(Mode.LOOPBACK), base_url="http://localhost")
    sources = client.get("/api/sources").json()["sources"]
    at = np.array([(one["ra_deg"], one["dec_deg"]) for one in sources])
    away = np.hypot(*(at[:, None] - at[None]).T) + 9 * np.eye(len(at))
    first, second = np.unravel_index(int(away.argmin()), away.shape)
    name, other = sources[first]["name"], sources[second]["name"]
    place = sources[first]["ra_deg"], sources[first]["dec_deg"]
    text = client.get(f"/sources/{name}").text
    assert f'<a href="/sources/{other}">{other}</a>' in text
    assert "none of the installed surveys has a source there" in text
    assert "By epoch" not in text
    # A survey is installed, and one group's image is on the disk.
    lines = settings.home / "nvss.dat"
    lines.write_text(nvss_line(Source("", *place, 0.25)) + "\n")
    install(settings.catalogues_folder, lines, "nvss")
    rows = light_curve(made.engine, made.store, name=name).table
    group = str(rows.loc[rows["beam"].idxmax(), "group"])
    with reading(made.engine) as session:
        version = current_version(session, group, "image")
    assert version is not None
    folder = made.store.absolute(version.path)
    write_image_folder(folder, [(N / 2, N / 2, 0.1)])
    header = fits.getheader(folder / "g.pbcor.fits")
    header["CRVAL1"], header["CRVAL2"] = place
    pixels = fits.getdata(folder / "g.pbcor.fits")
    fits.writeto(folder / f"{slug(group)}.pbcor.fits", pixels, header)
    text = client.get(f"/sources/{name}").text
    assert "NVSS" in text
    assert ">250.00<" in text
    picture = unescape(re.findall(r'src="(/api/groups/[^"]+)"', text)[0])
    assert group in picture
    answer = client.get(picture)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    # The coverage map is that of the sources, and finds them.
    covered = client.get("/api/coverage").json()
    assert 20 < covered["area_deg2"] < 80
    content = client.get("/api/coverage.fits")
    assert fits.open(BytesIO(content.content))[1].header["ORDERING"] in ("RANGE", "NUNIQ")
    moc = " ".join(f"{order}/{' '.join(map(str, cells))}" for order, cells in covered["moc"].items())
    inside = client.get("/api/sources", params={"moc": moc}).json()["sources"]
    assert 0.98 * len(sources) <= len(inside) <= len(sources)
    assert client.get("/api/sources", params={"moc": "0/11"}).json()["sources"] == []
    assert client.get("/api/sources", params={"moc": "5/x"}).status_code == 422


def test_the_list_of_watched_sources(settings: Settings, app_of: Made) -> None:
    """Changed by programs as by the command; refused where the settings name no list."""
    one = {"name": "star 1", "ra_deg": 12.5, "dec_deg": -3.25}
    client = TestClient(app_of(Mode.LOOPBACK), base_url="http://localhost")
    assert client.get("/api/watched").json() == {"items": []}
    answer = client.post("/api/watched", json=one)
    assert answer.status_code == 422
    assert "CONTIMG_PHOTOMETRY__WATCHED" in answer.json()["detail"]
    path = settings.home / "watched.csv"
    listing = settings.photometry.model_copy(update={"watched": path})
    station = Installation(settings.model_copy(update={"photometry": listing}))
    access = Access(Mode.LOOPBACK, WebOptions(), Tokens(settings.home))
    actions = OperatorActions(station.engine)
    app = guarded_app(own_app(station), PlainTextResponse("", 404), access, actions, [])
    client = TestClient(app, base_url="http://localhost")
    assert client.post("/api/watched", json=one).json() == {"items": [one]}
    assert client.post("/api/watched", json=one).status_code == 422
    assert client.post("/api/watched", json={**one, "name": "a\nb"}).status_code == 422
    assert client.post("/api/watched", json={**one, "name": "x", "dec_deg": 91}).status_code == 422
    assert client.get("/api/watched").json() == {"items": [one]}
    assert client.delete("/api/watched/star%201").json() == {"items": []}
    assert client.delete("/api/watched/star%201").status_code == 404


@contextmanager
def survey_site(home: Path) -> Iterator[tuple[str, str]]:
    """A home with a survey that is served: its address, and the name of the first candidate."""
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTIMG_HOME", str(home))
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        patch.setenv("CONTIMG_VARIABILITY__LEAST_EPOCHS", "2")
        get_settings.cache_clear()
        instance = DagsterInstance.from_config(str(initialise(get_settings())))
        _, name = make_survey(get_settings())
        station = Installation(get_settings())
        with dagster_workspace(instance, None) as workspace:
            access = Access(Mode.LOOPBACK, WebOptions(writes_per_minute=10_000), Tokens(home))
            own = own_app(station, orchestrator_of(instance, workspace))
            app = guarded_app(own, PlainTextResponse("", 404), access, OperatorActions(station.engine), [])
            with running(app) as site:
                yield f"http://{site.host}", name
        instance.dispose()
    get_settings.cache_clear()


@pytest.mark.long
def test_sources_and_candidates_in_a_browser(tmp_path: Path) -> None:
    """From the list to a verdict and a light curve; no page is wider than its window, axe finds nothing."""
    with survey_site(tmp_path / "home") as (address, name), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        found: list[str] = []
        for width in (1400, 390):
            for scheme in ("light", "dark"):
                context = browser.new_context(
                    viewport={"width": width, "height": 900}, color_scheme=scheme, base_url=address
                )
                context.set_default_timeout(PATIENCE_MS)
                window = context.new_page()
                for path in ("/sources", f"/sources/{name}", "/candidates"):
                    window.goto(path)
                    found += [
                        f"{path} {width} {scheme}: {one['id']}: {one['nodes'][0]['html'][:200]}"
                        for one in Axe().run(window).response["violations"]
                    ]
                    over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
                    if window.evaluate(over) > 0:
                        found.append(f"{path}: wider than {width}")
                context.close()
        assert found == []
        context = browser.new_context(base_url=address)
        context.set_default_timeout(PATIENCE_MS)
        window = context.new_page()
        window.goto("/sources")
        window.get_by_role("link", name="extreme scattering events").click()
        row = window.locator("tr", has_text=name)
        row.get_by_label(f"Note on {name}").fill("both feeds")
        row.get_by_role("button", name=f"{name}: event").click()
        expect(window.locator("tr", has_text=name)).to_contain_text("event, local: “both feeds”")
        window.locator("tr", has_text=name).locator("th a").click()
        expect(window.locator("h1")).to_have_text(name)
        expect(window.locator("svg circle").first).to_be_visible()
        browser.close()
