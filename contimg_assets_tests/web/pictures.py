"""Pictures of the pages: ``python -m contimg_assets_tests.web.pictures docs/pages [NAME …]``.

Of the homes that the browser's tests go through; names are those of ``panel.PAGES``, all if none is given.
"""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from contimg_assets_tests.web.panel import EMPTY, PAGES, Panel, Shown, panel_in
from contimg_assets_tests.web.test_browser import dry_run

#: A picture of a page is at most so high, px, and so large, bytes.
HIGHEST, LARGEST = 1600, 150_000
WIDTH, PHONE = 1400, 390
#: Pages that are also shown on a phone, in the dark.
ON_PHONES = ("tonight", "group", "report")
#: What pages of other names show, or what no page of the documentation shows.
LEFT_OUT = ("failed group", "problem", "wrong value")
LEFT_OUT += ("group-image", "group-history", "group-files", "group-jobs")
#: Colours: as many as there is room for.
_COLOURS = (256, 128, 64, 32, 16)


def main() -> None:
    """Take them."""
    folder, *names = sys.argv[1:]
    with tempfile.TemporaryDirectory() as home, panel_in(Path(home)) as panel:
        for shown in PAGES:
            if shown.home == EMPTY or shown.name in LEFT_OUT:
                continue
            if not names or shown.name in names:
                _take(panel, shown, Path(folder) / f"{shown.name}.png", WIDTH, "light")
            if shown.name in ON_PHONES and (not names or f"{shown.name}-phone" in names):
                _take(panel, shown, Path(folder) / f"{shown.name}-phone.png", PHONE, "dark")
        if not names or "batch-plan" in names:
            with panel.opened(WIDTH) as page:
                dry_run(page, panel)
                _keep(page, Path(folder) / "batch-plan.png")


def _take(panel: Panel, shown: Shown, path: Path, width: int, scheme: str) -> None:
    with panel.opened(width, scheme) as page:
        panel.show(page, shown)
        _keep(page, path)


def _keep(page: Page, path: Path) -> None:
    """Write what a page shows with as many colours as there is room for."""
    width = page.viewport_size["width"] if page.viewport_size else WIDTH
    high = min(HIGHEST, int(page.evaluate("document.documentElement.scrollHeight")))
    taken = page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": width, "height": high})
    picture = Image.open(io.BytesIO(taken)).convert("RGB")
    for number in _COLOURS:
        picture.quantize(number, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= LARGEST:
            break
    print(f"{path}: {picture.width} × {picture.height}, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
