"""The report of a group: one file that needs nothing else, and says what each of its numbers means."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from contimg_assets.radio.catalogues.options import CatalogueOptions
from contimg_assets.radio.images.options import ArchiveOptions
from contimg_assets.radio.limits import load_limits
from contimg_assets.radio.plots.svg import Axis, Chart
from contimg_assets.radio.quality.image import image_numbers
from contimg_assets.radio.quality.products import complete_products
from contimg_assets.radio.quality.report import data_part
from contimg_assets.radio.quality.report.meanings import meaning_of
from contimg_assets.radio.quality.visibility_sample import VisibilitySample
from contimg_assets_tests.radio.image_folder import spread_sources, write_image_folder
from contimg_assets_tests.radio.report_around import surroundings

LARGEST_BYTES = 3 * 2**20


class Page(HTMLParser):
    """What of the page the tests look at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.unnamed: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.addresses += [given[name] or "" for name in ("href", "src") if name in given]
        if (tag == "img" and not given.get("alt")) or (tag == "svg" and not given.get("aria-label")):
            self.unnamed.append(f"{tag} {given}")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, float]]:
    """The page of a small image with all that surrounds it but visibilities."""
    folder = write_image_folder(tmp_path_factory.mktemp("report") / "image", spread_sources())
    complete_products(folder, "g", ArchiveOptions())
    out = folder.parent / "qa"
    out.mkdir()
    around = surroundings(folder.parent)
    numbers = image_numbers(folder, out, folder.parent / "none", CatalogueOptions(), around)
    return (out / "report.html").read_text(), numbers


def test_the_page_needs_nothing_but_itself_and_leads_to_its_neighbours(
    report: tuple[str, dict[str, float]],
) -> None:
    text, _ = report
    page = Page(text)
    assert len(text.encode()) < LARGEST_BYTES
    assert "script" not in page.tags
    assert page.unnamed == []
    # Pictures are in it; all else is a place to go to, from where the page lies.
    outside = [address for address in page.addresses if not address.startswith(("data:", "#", "../"))]
    assert outside == []
    assert "../../20250531T135512/image_qa/report.html" in page.addresses
    assert "../image/g.image.fits" in page.addresses


def test_sources_and_antennas_are_named(report: tuple[str, dict[str, float]]) -> None:
    text, _ = report
    cuts = re.findall(r"aria-label='Cut-out around (J\d{6}\.\d[+-]\d{6})'", text)
    assert len(cuts) == 8
    for name in cuts:
        assert f">{name}</text>" in text
    assert "antenna 24: 100.0 %" in text
    for title in ("Bandpass amplitude XX", "Bandpass phase YY", "Dirty beam", "Flagged by antenna"):
        assert title in text
    # What files say is text.
    assert "24 &lt;b&gt;" in text


def test_every_number_opens_to_what_it_means(report: tuple[str, dict[str, float]]) -> None:
    text, numbers = report
    for name in numbers:
        assert meaning_of(name), name
        assert f"<summary>{name}</summary>" in text
    for name in load_limits().limits["image_qa"]:
        assert meaning_of(name), name


def test_a_page_without_surroundings_is_whole_too(tmp_path: Path) -> None:
    """As of `contimg qa image` by hand: links lead to the image's folder, wherever that is."""
    folder = write_image_folder(tmp_path / "image", [])
    complete_products(folder, "g", ArchiveOptions())
    (tmp_path / "deep" / "qa").mkdir(parents=True)
    image_numbers(folder, tmp_path / "deep" / "qa", tmp_path / "none", CatalogueOptions())
    text = (tmp_path / "deep" / "qa" / "report.html").read_text()
    assert "../../image/g.image.fits" in text
    assert "Flagged by antenna" not in text


def test_visibilities_are_drawn_though_some_are_flagged_whole() -> None:
    rng = np.random.default_rng(1)
    values = (rng.normal(size=(4, 30, 16, 2)) + 1j * rng.normal(size=(4, 30, 16, 2))).astype(np.complex64)
    values[1], values[:, :, 3] = np.nan, np.nan
    sample = VisibilitySample(
        values,
        "CORRECTED_DATA",
        rng.uniform(20, 2000, (4, 30)),
        np.arange(4, dtype=np.float64) * 12.9,
        np.linspace(1.3e9, 1.5e9, 16),
        1.0,
        300,
        rng.uniform(-2000, 2000, (4, 300, 2)),
    )
    drawn = data_part.visibilities(sample)
    assert drawn.count("<svg") == 6
    assert "30 of 300 baselines" in drawn
    assert "nan" not in drawn
    values[:] = np.nan
    assert "flagged" in data_part.visibilities(sample)


def test_a_chart_has_gaps_where_no_value_is_and_round_numbers_on_its_axes() -> None:
    chart = Chart("a & b", Axis(0, 10, "x"), Axis(1, 1000, "y", logarithmic=True))
    chart.line([0, 1, 2, 3], [1, np.nan, 10, 100])
    drawn = chart.svg()
    assert drawn.count("M") - drawn.count("class=tick d='M") == 2
    assert "aria-label='a &amp; b'" in drawn
    for tick in (">0<", ">10<", ">1000<"):
        assert tick in drawn
