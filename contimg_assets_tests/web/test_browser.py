"""People's journeys in a real browser, with and without JavaScript, and what axe says of every page.

Debian's Chromium, driven by Playwright, over a home with two nights, Dagster's workspace and no daemon: what
is asked for waits.
"""

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from contimg_assets.station.campaign_views import campaigns_of
from contimg_assets.station.reviews import reviews_of
from contimg_assets_tests.web.panel import PAGES, Panel, panel_in
from contimg_assets_tests.web.test_api_logs import Run

pytestmark = pytest.mark.long
#: Widths at which axe looks; between a phone and the narrowest only what fits may differ.
AXE_WIDTHS = (1400, 390)


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panel]:
    with panel_in(tmp_path_factory.mktemp("browser")) as made:
        yield made


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


def dry_run(page: Page, keys: list[str]) -> None:
    """The page that only a form shows."""
    page.goto("/groups?limit=200")
    for key in keys:
        page.get_by_label(key, exact=True).check()
    page.get_by_role("button", name="Dry run of those selected").click()
    expect(page.locator("h1")).to_have_text("Dry run: image again")


def wrong_with(page: Page, name: str, width: int) -> list[str]:
    """What axe finds, and what does not fit into the window."""
    violations = Axe().run(page).response["violations"] if width in AXE_WIDTHS else []
    found = [f"{name}: {one['id']}: {one['nodes'][0]['html'][:200]}" for one in violations]
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [*found, f"{name}: {over} px wider than the window"] if over > 0 else found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390, 360])
def test_axe_finds_nothing_on_any_page_and_none_is_wider_than_the_window(
    panel: Panel, width: int, scheme: str
) -> None:
    found: list[str] = []
    for shown in PAGES:
        with panel.opened(width, scheme) as page:
            panel.show(page, shown)
            found += wrong_with(page, shown.name, width)
    with panel.opened(width, scheme) as page:
        dry_run(page, panel.nights.imaged[1:3])
        found += wrong_with(page, "dry run", width)
    assert found == []
