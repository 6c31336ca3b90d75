"""The panel as people see it: homes that are served, a browser, and every page that there is.

Debian's Chromium, driven by Playwright.  ``PAGES`` is what axe and a person look at; a test holds it against
the app's own routes.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

import pytest
from dagster import DagsterInstance
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from playwright.sync_api import Browser, Page, expect, sync_playwright
from starlette.responses import HTMLResponse, PlainTextResponse

from contimg_assets.radio.catalogues.options import CatalogueOptions
from contimg_assets.radio.group_key import slug
from contimg_assets.radio.images.options import ArchiveOptions
from contimg_assets.radio.quality.image import image_numbers
from contimg_assets.radio.quality.products import complete_products
from contimg_assets.resources.instance import initialise
from contimg_assets.settings import Settings, WebOptions, get_settings
from contimg_assets.station.campaign_selection import Selection
from contimg_assets.station.installation import Installation
from contimg_assets.station.night_products import make_report
from contimg_assets.station.operator_actions import OperatorActions
from contimg_assets.station.sources import SourceQuery, find_sources
from contimg_assets.station.survey_day import make_day
from contimg_assets.web.app import guarded_app, own_app
from contimg_assets.web.dagster_app import dagster_workspace, orchestrator_of
from contimg_assets.web.orchestrator import Orchestrator
from contimg_assets.web.principals import Access, Mode
from contimg_assets.web.tokens import Tokens
from contimg_assets_tests.radio.image_folder import spread_sources, write_image_folder
from contimg_assets_tests.radio.report_around import surroundings
from contimg_assets_tests.station.survey_home import small_home
from contimg_assets_tests.web.nights import Nights, make_nights
from contimg_assets_tests.web.site import Site, running
from contimg_assets_tests.web.test_api_logs import Run

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
#: Days of the survey: sources have statistics from three measurements on.
DAYS = ("2026-01-29", "2026-01-30", "2026-01-31")
NIGHTS, SURVEY, EMPTY = "nights", "survey", "empty"


@dataclass(frozen=True)
class Shown:
    """A page in one of its states."""

    name: str
    route: str
    """As the app has it."""
    address: str
    """With names of :attr:`Panel.names` in it."""
    home: str = NIGHTS
    alone: bool = False
    """A file that needs nothing else, in which the server lets no script run, axe's neither."""


_TABS = ("image", "flags", "calibration", "files", "history", "jobs")
_GROUP, _LIMIT = "/groups/{key}", "/limits/{product}/{check}"
#: What a form shows: there is no address of it.
FROM_FORMS = {"/batch/plan"}
PAGES = (
    Shown("tonight", "/", "/"),
    Shown("groups", "/groups", "/groups?trend=rms_ratio"),
    Shown("group", _GROUP, "/groups/{group}"),
    *(Shown(f"group-{tab}", _GROUP, f"/groups/{{group}}?tab={tab}") for tab in _TABS),
    Shown("failed group", _GROUP, "/groups/{failed}"),
    Shown("calibration", "/calibration", "/calibration"),
    Shown("calibration-set", "/calibration/{set_id}", "/calibration/{set}"),
    Shown("antennas", "/antennas", "/antennas"),
    Shown("antenna", "/antennas/{name}", "/antennas/103"),
    Shown("sources", "/sources", "/sources", SURVEY),
    Shown("source", "/sources/{name}", "/sources/{source}", SURVEY),
    Shown("candidates", "/candidates", "/candidates", SURVEY),
    Shown("limits", "/limits", "/limits"),
    Shown("limit", _LIMIT, "/limits/image_qa/rms_ratio?soft=1.2"),
    Shown("jobs", "/jobs", "/jobs"),
    Shown("job", "/jobs/{run_id}", "/jobs/{run}"),
    Shown("batch", "/batch/{name}", "/batch/{batch}"),
    Shown("nights", "/nights", "/nights"),
    Shown("night", "/nights/{day}", "/nights/{night}", alone=True),
    Shown("system", "/system", "/system"),
    Shown("keys", "/keys", "/keys"),
    Shown("report", "/products/{path:path}", "/products/{folder}/image_qa/report.html", alone=True),
    Shown("problem", _GROUP, "/groups/2020-01-01T00:00:00"),
    Shown("wrong value", "/groups", "/groups?sort=nothing"),
    *(
        Shown(f"empty {name}", route, route, EMPTY)
        for name, route in (
            *(("tonight", "/"), ("groups", "/groups"), ("calibration", "/calibration"), ("jobs", "/jobs")),
            *(("antennas", "/antennas"), ("sources", "/sources"), ("nights", "/nights")),
            *(("system", "/system"), ("limits", "/limits")),
        )
    ),
    Shown("empty limit", _LIMIT, "/limits/image_qa/rms_ratio", EMPTY),
)


def routes_of_pages(app: FastAPI) -> set[str]:
    """Routes of an app that answer with a page: not those of forms that lead on to one."""
    return {
        str(found.path)
        for found in iter_route_contexts(app.routes)
        if getattr(found, "response_class", None) is HTMLResponse
        and ("GET" in (found.methods or ()) or get_type_hints(found.endpoint)["return"] is HTMLResponse)
    }


@dataclass(frozen=True)
class Gallery:
    """Homes that are served, and a browser."""

    sites: dict[str, Site]
    browser: Browser
    folder: Path
    """For files of its own."""
    names: dict[str, str]
    """What stands in addresses of ``PAGES``."""

    @property
    def site(self) -> Site:
        """Of the home with two nights."""
        return self.sites[NIGHTS]

    def show(self, page: Page, shown: Shown) -> None:
        """Go to a page: one that needs nothing else is opened from the disk, where scripts may run."""
        path = shown.address
        for name, value in self.names.items():
            path = path.replace(f"{{{name}}}", value)
        if not shown.alone:
            page.goto(f"http://{self.sites[shown.home].host}{path}")
            return
        answer = self.sites[shown.home].get(path)
        assert answer.status == 200, path
        file = self.folder / f"{shown.name}.html"
        file.write_bytes(answer.body)
        page.goto(file.as_uri())

    @contextmanager
    def opened(
        self, width: int = 1400, scheme: str = "light", *, height: int = 900, scripts: bool = True
    ) -> Iterator[Page]:
        """A window of its own."""
        context = self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            java_script_enabled=scripts,
            base_url=f"http://{self.site.host}",
        )
        context.set_default_timeout(PATIENCE_MS)
        try:
            yield context.new_page()
        finally:
            context.close()

    @contextmanager
    def window(self, width: int = 1400, *, scripts: bool = True) -> Iterator[Page]:
        """A window in which no page may have an error."""
        wrong: list[str] = []
        with self.opened(width, scripts=scripts) as page:
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
            yield page
            assert wrong == []


@dataclass(frozen=True)
class Panel(Gallery):
    """Homes that the tests have made."""

    nights: Nights
    instance: DagsterInstance


@contextmanager
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@contextmanager
def panel_in(folder: Path) -> Iterator[Panel]:
    """Make and serve three homes in a folder: with two nights, with sources of the survey, and empty."""
    home = folder / "home"
    home.mkdir()
    expect.set_options(timeout=PATIENCE_MS)
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("CONTIMG_HOME", str(home))
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        get_settings.cache_clear()
        stack.callback(get_settings.cache_clear)
        nights = make_nights(get_settings(), groups=14)
        instance = DagsterInstance.from_config(str(initialise(get_settings())))
        stack.callback(instance.dispose)
        workspace = stack.enter_context(dagster_workspace(instance, None))
        run = Run(instance)
        run.write(b"a line\n")
        names = _complete(nights, folder) | {"run": run.id}
        (folder / SURVEY).mkdir()
        survey = Installation(Settings(home=folder / SURVEY))
        names["source"] = _observe(survey)
        (folder / EMPTY).mkdir()
        sites = {
            NIGHTS: _serve(stack, nights.installation, orchestrator_of(instance, workspace)),
            SURVEY: _serve(stack, survey),
            EMPTY: _serve(stack, Installation(Settings(home=folder / EMPTY))),
        }
        window = stack.enter_context(browser())
        yield Panel(sites, window, folder, names, nights, instance)


def _serve(stack: ExitStack, station: Installation, orchestrator: Orchestrator | None = None) -> Site:
    (station.settings.home / "products").mkdir(exist_ok=True)
    access = Access(Mode.LOOPBACK, WebOptions(writes_per_minute=10_000), Tokens(station.settings.home))
    app = guarded_app(
        own_app(station, orchestrator),
        PlainTextResponse("", 404),
        access,
        OperatorActions(station.engine),
        [],
    )
    return stack.enter_context(running(app))


def _complete(nights: Nights, folder: Path) -> dict[str, str]:
    """Add what needs more than rows: a true report of a group, a night's, a batch that is over."""
    station, shown = nights.installation, nights.keys[3]
    image = write_image_folder(folder / "image", spread_sources())
    complete_products(image, "g", ArchiveOptions())
    quality = folder / "quality"
    quality.mkdir()
    image_numbers(image, quality, folder / "none", CatalogueOptions(), surroundings(folder))
    report = station.store.path(shown, "image_qa") / "report.html"
    report.write_bytes((quality / "report.html").read_bytes())
    night = nights.keys[-1][:10]
    make_report(station, night)
    plan = station.campaigns.plan(Selection(keys=tuple(nights.keys[:4]), everything=True), slots=2)
    batch = station.campaigns.create(plan, "four-again", "ann")
    station.campaigns.cancel(batch)
    return {
        "group": shown,
        "folder": slug(shown),
        "failed": nights.keys[5],
        "set": nights.set_ids[1],
        "batch": batch,
        "night": night,
    }


def _observe(station: Installation) -> str:
    """Observe a strip of the sky for some days; the name of a source."""
    made = small_home(station.engine, station.settings.home)
    for day in DAYS:
        made.observe(day)
        make_day(station.engine, station.store, station.settings, day)
    table = find_sources(station.engine, SourceQuery(order="eta", limit=1))
    return str(table["name"].iloc[0])
