"""Pictures of the pages: ``python -m contimg_assets_tests.web.pictures docs/pages [--only NAME …]``.

Of the homes that the browser's tests go through; names are those of ``panel.PAGES``.  With ``--report FILE``
a group's report is that file, such as one of ``make demo``, which has visibilities too.
"""

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from contimg_assets_tests.web.panel import EMPTY, PAGES, Panel, Shown, panel_in
from contimg_assets_tests.web.test_browser import dry_run

#: A picture is at most so large, bytes: it is cut at the bottom, has fewer colours, or is smaller, as needed.
LARGEST = 150_000
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
PLAN, REPORT = "batch-plan", "report"


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--report", type=Path)
    asked = parser.parse_args()
    wanted = asked.only or [shown.name for shown in PAGES if shown.name not in LEFT_OUT] + [PLAN]
    with tempfile.TemporaryDirectory() as home, panel_in(Path(home)) as panel:
        for shown in PAGES:
            if shown.name in wanted and shown.home != EMPTY:
                file = asked.report if shown.name == REPORT else None
                _take(panel, shown, asked.folder / f"{shown.name}.png", WIDTH, "light", file)
                if shown.name in ON_PHONES:
                    _take(panel, shown, asked.folder / f"{shown.name}-phone.png", PHONE, "dark", file)
        if PLAN in wanted:
            with panel.opened(WIDTH, height=HEIGHTS[0]) as page:
                dry_run(page, panel)
                _keep(page, asked.folder / f"{PLAN}.png")


def _take(panel: Panel, shown: Shown, path: Path, width: int, scheme: str, file: Path | None) -> None:
    # Not as high as the page: what is loaded when it is seen would not be there.
    with panel.opened(width, scheme, height=HEIGHTS[0]) as page:
        if file is None:
            panel.show(page, shown)
        else:
            page.goto(file.absolute().as_uri())
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
