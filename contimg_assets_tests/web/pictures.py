"""Pictures of the pages: ``python -m contimg_assets_tests.web.pictures docs/pages [--only NAME …]``.

Of the homes that the browser's tests go through, or with ``--port PORT`` of an installation that is served
there, such as one that has processed some nights of ``contimg simulate`` (but for the survey's pages).

Names are those of ``panel.PAGES``.
"""

import argparse
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page

from contimg_assets.radio.group_key import slug
from contimg_assets_tests.web.panel import EMPTY, NIGHTS, PAGES, Gallery, Shown, browser, panel_in
from contimg_assets_tests.web.site import Site
from contimg_assets_tests.web.test_browser import dry_run

#: A picture is at most so large, bytes: it is cut at the bottom, has fewer colours, or is smaller, as needed.
LARGEST = 250_000
HEIGHTS, COLOURS, SCALES = (1600, 1200, 900), (256, 128, 64), (1.0, 0.6, 0.4)
#: A page that says less is shown so high, px.
LOWEST = 620
WIDTH, PHONE = 1400, 390
#: Pages that are also shown on a phone, in the dark.
ON_PHONES = ("tonight", "group", "report")
#: What the documentation does not show.
LEFT_OUT = ("failed group", "problem", "wrong value", "keys", "limits")
LEFT_OUT += ("group-image", "group-history", "group-files", "group-jobs")
#: Waits for the images within the window: others are loaded when they are scrolled to.
SEEN = """Promise.all(Array.from(document.images)
    .filter(image => !image.complete && image.getBoundingClientRect().top < innerHeight)
    .map(image => new Promise(done => { image.onload = image.onerror = done })))"""
_FINE = Image.Resampling.LANCZOS
PLAN = "batch-plan"


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--port", type=int)
    asked = parser.parse_args()
    wanted = asked.only or [shown.name for shown in PAGES if shown.name not in LEFT_OUT] + [PLAN]
    with tempfile.TemporaryDirectory() as folder, _gallery(Path(folder), asked.port) as (panel, keys):
        for shown in PAGES:
            if shown.name in wanted and shown.home in panel.sites and shown.home != EMPTY:
                _take(panel, shown, asked.folder / f"{shown.name}.png", WIDTH, "light")
                if shown.name in ON_PHONES:
                    _take(panel, shown, asked.folder / f"{shown.name}-phone.png", PHONE, "dark")
        if PLAN in wanted:
            with panel.opened(WIDTH, height=HEIGHTS[0]) as page:
                dry_run(page, keys)
                _keep(page, asked.folder / f"{PLAN}.png")


@contextmanager
def _gallery(folder: Path, port: int | None) -> Iterator[tuple[Gallery, list[str]]]:
    """What the pictures are of, and groups for a dry run."""
    if port is None:
        with panel_in(folder) as made:
            yield made, made.nights.imaged[1:3]
        return
    site = Site(port)
    names, keys = _names(site)
    with browser() as window:
        yield Gallery({NIGHTS: site}, window, folder, names), keys


def _names(site: Site) -> tuple[dict[str, str], list[str]]:
    """What stands in addresses of an installation's pages; its groups with images, newest first."""

    def items(path: str) -> list[dict[str, Any]]:
        return site.get(path).json()["items"]

    imaged = [row for row in items("/api/groups?limit=500&is_imaged=true") if row["state"] == "completed"]
    worst = max(imaged, key=lambda row: ("PASS", "WARN", "ERROR").index(row["verdict"]))
    names = {
        "group": worst["group"],
        "folder": slug(worst["group"]),
        "set": items("/api/calibration/sets")[0]["id"],
        "run": items("/api/jobs?status=done")[0]["id"],
        "batch": items("/api/batch")[0]["id"],
        "night": items("/api/nights")[0]["date"],
    }
    return names, [row["group"] for row in imaged]


def _take(panel: Gallery, shown: Shown, path: Path, width: int, scheme: str) -> None:
    # Not as high as the page: what is loaded when it is seen would not be there.
    with panel.opened(width, scheme, height=HEIGHTS[0]) as page:
        panel.show(page, shown)
        _keep(page, path)


def _keep(page: Page, path: Path) -> None:
    """Write as much of what a page shows as there is room for."""
    page.evaluate(SEEN)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    shown = int(page.evaluate("Math.ceil(document.body.getBoundingClientRect().bottom)"))
    picture = picture.crop((0, 0, picture.width, min(picture.height, max(shown, LOWEST))))
    for scale in SCALES:
        for height in HEIGHTS:
            cut = picture.crop((0, 0, picture.width, min(height, picture.height)))
            if _fits(cut.resize((round(scale * cut.width), round(scale * cut.height)), _FINE), path):
                return
    raise SystemExit(f"{path}: found {path.stat().st_size} bytes; expected at most {LARGEST}")


def _fits(picture: Image.Image, path: Path) -> bool:
    """Write a picture with as many colours as there is room for; whether there is."""
    for number in COLOURS:
        picture.quantize(number, dither=Image.Dither.NONE).save(path, optimize=True)
        size = path.stat().st_size
        if size <= LARGEST:
            print(f"{path}: {picture.width} × {picture.height}, {number} colours, {size} bytes")
            return True
    return False


if __name__ == "__main__":
    main()
