"""People's journeys in a real browser, with and without JavaScript, and what axe says of every page.

Debian's Chromium, driven by Playwright, over a home with two nights, Dagster's workspace and no daemon: what
is asked for waits.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from dagster import DagsterInstance
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from starlette.responses import PlainTextResponse

from contimg_assets.resources.instance import initialise
from contimg_assets.settings import WebOptions, get_settings
from contimg_assets.station.campaign_views import campaigns_of
from contimg_assets.station.operator_actions import OperatorActions
from contimg_assets.station.reviews import reviews_of
from contimg_assets.web.app import guarded_app, own_app
from contimg_assets.web.dagster_app import dagster_workspace, orchestrator_of
from contimg_assets.web.principals import Access, Mode
from contimg_assets.web.tokens import Tokens
from contimg_assets_tests.web.nights import Nights, make_nights
from contimg_assets_tests.web.site import Site, running
from contimg_assets_tests.web.test_api_logs import Run

pytestmark = pytest.mark.long

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: The machine may do other things as well, ms.
PATIENCE_MS = 120_000


@dataclass(frozen=True)
class Panel:
    """A home that is served, and a browser."""

    nights: Nights
    instance: DagsterInstance
    site: Site
    browser: Browser

    @contextmanager
    def window(self, width: int = 1400, scheme: str = "light", *, scripts: bool = True) -> Iterator[Page]:
        """A window in which no page may have an error."""
        context: BrowserContext = self.browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            java_script_enabled=scripts,
            base_url=f"http://{self.site.host}",
        )
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        try:
            yield page
            assert wrong == []
        finally:
            context.close()


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panel]:
    home: Path = tmp_path_factory.mktemp("browser") / "home"
    home.mkdir()
    expect.set_options(timeout=PATIENCE_MS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTIMG_HOME", str(home))
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        get_settings.cache_clear()
        nights = make_nights(get_settings(), groups=14)
        instance = DagsterInstance.from_config(str(initialise(get_settings())))
        station = nights.installation
        with dagster_workspace(instance, None) as workspace:
            access = Access(Mode.LOOPBACK, WebOptions(writes_per_minute=10_000), Tokens(home))
            own = own_app(station, orchestrator_of(instance, workspace))
            app = guarded_app(own, PlainTextResponse("", 404), access, OperatorActions(station.engine), [])
            with running(app) as site, sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                yield Panel(nights, instance, site, browser)
                browser.close()
        instance.dispose()
    get_settings.cache_clear()


@pytest.fixture
def run(panel: Panel) -> Iterator[Run]:
    made = Run(panel.instance)
    yield made
    panel.instance.delete_run(made.id)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_last_nights_failures_are_found_from_the_first_page(panel: Panel, scripts: bool) -> None:
    with panel.window(scripts=scripts) as page:
        page.goto("/")
        expect(page.locator(".sentence")).to_contain_text("2 failed")
        row = page.locator("tr", has_text="image: ImagingError")
        row.get_by_text("what it said").click()
        expect(row).to_contain_text("CLEAN diverged in round 2")
        row.locator("a.key").click()
        expect(page.locator(".verdict")).to_contain_text("failed")
        expect(page.locator(".verdict")).to_contain_text("CLEAN diverged in round 2")
        page.goto("/")
        page.locator(".strip a.bad").click()
        expect(page.locator(".verdict")).to_contain_text("rms ratio 2.6 (limits 1.5, 2)")
        page.get_by_role("link", name="Flags").click()
        expect(page.locator(".barred").first).to_contain_text("100.0 % ⚠ dead")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_groups_are_searched_narrowed_and_paged(panel: Panel, scripts: bool) -> None:
    with panel.window(scripts=scripts) as page:
        page.goto("/groups?limit=10")
        expect(page.locator("h1")).to_contain_text("28 of 28")
        page.get_by_role("link", name="next 10 rows").click()
        expect(page.locator(".groups tbody tr")).to_have_count(10)
        page.locator(".facet", has_text="bad").first.click()
        expect(page.locator("h1")).to_contain_text("2 of 28")
        page.locator("#filter input[name=q]").fill("2025-06-02")
        page.locator("#filter").get_by_role("button", name="Show").click()
        expect(page.locator("h1")).to_contain_text("1 of 28")


def test_keys_lead_through_nights_groups_and_pages(panel: Panel) -> None:
    with panel.window() as page:
        page.goto("/")
        page.keyboard.press("ArrowLeft")
        expect(page.locator("h1")).to_have_text("Night of 2025-06-01")
        page.keyboard.press("ArrowRight")
        expect(page.locator("h1")).to_have_text("Night of 2025-06-02")
        page.keyboard.press("/")
        page.keyboard.type("15:01")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_contain_text("2 of 28")
        page.keyboard.press("j")
        page.keyboard.press("x")
        expect(page.locator("#selected")).to_contain_text("1 selected")
        page.keyboard.press("x")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("2025-06-02 15:01:10")
        page.keyboard.press("k")
        expect(page.locator("h1")).to_have_text("2025-06-02 14:56:01")
        page.keyboard.press("g")
        page.keyboard.press("s")
        expect(page.locator("h1")).to_have_text("System")


def test_ten_groups_are_reviewed_by_keyboard(panel: Panel) -> None:
    keys = panel.nights.imaged[:10]
    verdicts = ("p", "p", "w", "e", "p", "p", "w", "p", "p", "p")
    with panel.window() as page:
        page.goto("/")
        page.get_by_role("link", name="review the next").click()
        for place, (key, letter) in enumerate(zip(keys, verdicts, strict=True)):
            expect(page.locator("h1")).to_have_text(key.replace("T", " "))
            if letter == "e":
                page.keyboard.press("n")
                page.keyboard.type("pew: stripes")
                page.keyboard.press("Escape")
            page.keyboard.press(letter)
            if place + 1 < len(keys):
                page.wait_for_url(f"**/groups/{keys[place + 1]}")
        expect(page.locator(".review")).to_contain_text(re.compile(r"1\d of 1\d images"))
    said = [reviews_of(panel.nights.installation.engine, key)[0] for key in keys]
    words = {"p": "PASS", "w": "WARN", "e": "ERROR"}
    assert [review.verdict for review in said] == [words[letter] for letter in verdicts]
    assert said[3].note == "pew: stripes"


def test_a_log_is_read_while_it_is_written_and_goes_on_after_a_pause(panel: Panel, run: Run) -> None:
    run.write(b"first line\n")
    with panel.window() as page:
        page.goto(f"/jobs/{run.id}")
        log = page.locator(".log")
        expect(log).to_have_text("first line\n")
        for n in range(5):
            run.write(f"line {n} σ <b>\n".encode())
        expect(log).to_have_text("first line\n" + "".join(f"line {n} σ <b>\n" for n in range(5)))
        expect(page.locator("#log-state")).to_have_text("running")
        run.end()
        expect(page.locator("#log-state")).to_have_text("ended: failed")
        assert log.inner_text().count("first line") == 1
    with panel.window(scripts=False) as page:
        page.goto(f"/jobs/{run.id}")
        expect(page.locator(".log")).to_contain_text("line 4 σ <b>")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_batch_is_started_after_its_dry_run(panel: Panel, scripts: bool) -> None:
    engine = panel.nights.installation.engine
    imaged = panel.nights.imaged[1:3] if scripts else panel.nights.imaged[3:5]
    waiting = panel.nights.keys[11]
    before = len(campaigns_of(engine))
    with panel.window(scripts=scripts) as page:
        page.goto("/groups?limit=200")
        for key in (*imaged, waiting):
            page.get_by_label(key, exact=True).check()
        if scripts:
            # The selection survives a page on which none of it is shown.
            page.goto("/groups?state=failed")
            expect(page.locator("#selected")).to_contain_text("3 selected")
        page.get_by_role("button", name="Dry run of those selected").click()
        expect(page.locator("h1")).to_have_text("Dry run: image again")
        expect(page.locator(".tile", has_text="Accepted")).to_contain_text("2")
        expect(page.locator(".tile", has_text="Refused")).to_contain_text("1")
        expect(page.locator("main")).to_contain_text("convert it first")
        assert len(campaigns_of(engine)) == before
        page.get_by_role("button", name="Start 2 groups").click()
        expect(page.locator("h1")).to_contain_text("image, running")
        (made, *_) = campaigns_of(engine)
        assert (made.kind, made.groups["waiting"], made.made_by) == ("image", 2, "local")
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("h1")).to_contain_text("cancelled")
        if scripts:
            page.goto("/groups")
            expect(page.locator("#selected")).to_contain_text("None selected")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_job_is_asked_for_and_cancelled(panel: Panel, scripts: bool) -> None:
    key = panel.nights.imaged[0]
    with panel.window(scripts=scripts) as page:
        page.goto(f"/groups/{key}?tab=jobs")
        page.get_by_role("button", name="Image again").click()
        expect(page.locator("h1")).to_contain_text("queued")
        page.get_by_role("button", name="Cancel this job").click()
        expect(page.locator("h1")).to_contain_text("cancelled")
        page.goto("/jobs?status=cancelled")
        expect(page.locator(".jobs tbody tr").first).to_contain_text(key.replace("T", " "))


def test_a_set_is_retired_and_what_it_touched_is_made_again(panel: Panel) -> None:
    set_id = panel.nights.set_ids[0]
    with panel.window() as page:
        page.goto("/calibration")
        page.get_by_role("link", name=set_id).last.click()
        page.get_by_label("Why").fill("antenna 103 was moved")
        page.get_by_role("button", name="Retire").click()
        expect(page.locator("h1")).to_contain_text("retired")
        page.locator("#remake").click()
        expect(page.locator("h1")).to_have_text("Dry run: make everything again")
        page.locator("#start").click()
        expect(page.locator("h1")).to_contain_text("remake, running")
    station = panel.nights.installation
    assert station.registry.get(set_id).status == "retired"
    view = campaigns_of(station.engine)[0]
    assert (view.selection["calibration_set"], view.n_groups > 5) == (set_id, True)
    station.campaigns.cancel(view.name)


def pages_of(panel: Panel, run: Run) -> dict[str, str]:
    key = panel.nights.keys[3]
    tabs = ("image", "flags", "calibration", "files", "history", "jobs")
    return {
        "tonight": "/",
        "groups": "/groups?trend=rms_ratio",
        "group": f"/groups/{key}",
        **{f"group {tab}": f"/groups/{key}?tab={tab}" for tab in tabs},
        "failed group": f"/groups/{panel.nights.keys[5]}",
        "calibration": "/calibration",
        "set": f"/calibration/{panel.nights.set_ids[1]}",
        "antennas": "/antennas",
        "antenna": "/antennas/103",
        "limits": "/limits",
        "limit": "/limits/image_qa/rms_ratio?soft=1.2",
        "jobs": "/jobs",
        "job": f"/jobs/{run.id}",
        "system": "/system",
        "keys": "/keys",
        "problem": "/groups/2020-01-01T00:00:00",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390, 360])
def test_axe_finds_nothing_and_no_page_is_wider_than_the_window(
    panel: Panel, run: Run, width: int, scheme: str
) -> None:
    run.write(b"a line\n")
    found: list[str] = []
    axe = Axe()

    for name, address in pages_of(panel, run).items():
        context = panel.browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            base_url=f"http://{panel.site.host}",
        )
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.goto(address)
        results = axe.run(page)
        found += [
            f"{name}: {one['id']}: {one['nodes'][0]['html'][:200]}" for one in results.response["violations"]
        ]
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if over > 0:
            found.append(f"{name}: {over} px wider than the window")
        context.close()
    assert found == []
