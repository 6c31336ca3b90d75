"""Pages of sources and candidates: what they say, what their form keeps, and how a browser shows them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe
from dagster import DagsterInstance
from playwright.sync_api import expect, sync_playwright
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from contimg_assets.resources.instance import initialise
from contimg_assets.settings import Settings, WebOptions, get_settings
from contimg_assets.station.installation import Installation
from contimg_assets.station.operator_actions import OperatorActions
from contimg_assets.station.scattering_events import candidates
from contimg_assets.web.app import guarded_app, own_app
from contimg_assets.web.dagster_app import dagster_workspace, orchestrator_of
from contimg_assets.web.principals import Access, Mode
from contimg_assets.web.tokens import Tokens
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
