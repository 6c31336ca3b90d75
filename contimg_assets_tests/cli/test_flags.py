"""Versions of a group's flags: kept beside its Measurement Set, listed, shown, and restored."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from contimg_assets.cli import flags as command
from contimg_assets.cli.common import Opened
from contimg_assets.radio import casa
from contimg_assets.radio.conversion.convert import convert
from contimg_assets.radio.files import tree_sha256
from contimg_assets.radio.flagging.flag import flag
from contimg_assets.radio.flagging.options import FlaggingOptions
from contimg_assets.simulation.observation import simulate
from contimg_assets.simulation.presets import Corruption
from contimg_assets.station.publication import publish
from contimg_assets.station.version_views import versions_of
from contimg_assets_tests.fake_stages import registration
from contimg_assets_tests.radio.skies import START, around, observe

pytestmark = pytest.mark.filterwarnings("ignore:Recalculating uvw_array:UserWarning")
KEY = START.strftime("%Y-%m-%dT%H:%M:%S")
SLUG = START.strftime("%Y%m%dT%H%M%S")


def run(*arguments: str, code: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(command.flags, [*arguments, "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def published(opened: Opened, product: str, build: Callable[[Path], object]) -> Path:
    """Make a product of the group as its asset does."""
    with opened.store.staging(KEY, product) as folder:
        build(folder / "built")
        made = publish(opened.records, opened.store, folder / "built", KEY, product, {})
        return opened.store.absolute(made.path)


def test_an_older_version_comes_back_and_what_follows_is_due_again(home: Path, tmp_path: Path) -> None:
    """Flagged, flagged more strictly, and back: by content, whole, and only for its own Measurement Set.

    The version's name begins the hash that images carry; the same flags again are no new version.
    """
    casa.configure(home / "casa")
    opened = Opened()
    opened.records.register(registration(KEY, tmp_path), ready=True)

    def build_ms(missing: tuple[int, ...], name: str) -> None:
        sky = around(START, 16.27, [(0.1, 0.1, 3.0)])
        simulate(observe(sky, 16.27, Corruption(missing_subbands=missing)), tmp_path / name)

        def build(folder: Path) -> None:
            folder.mkdir()
            convert(sorted((tmp_path / name).glob("*.hdf5")), folder / f"{SLUG}.ms")

        published(opened, "measurement_set", build)

    def build_flags(**changes: float) -> str:
        ms = opened.store.path(KEY, "measurement_set") / f"{SLUG}.ms"
        options = FlaggingOptions(**changes)
        return tree_sha256(published(opened, "flags", lambda folder: flag(ms, folder, options)))

    build_ms((), "whole")
    first = build_flags()
    build_flags(sigma=4.0)
    assert build_flags(sigma=4.0) != first
    old, new = run("list", KEY)["versions"]
    assert (old["version"], old["current"], new["current"]) == (first[:12], False, True)
    assert new["flag_fraction"] > old["flag_fraction"]
    published(opened, "calibrated_ms", lambda folder: folder.mkdir())
    assert run("restore", KEY, first)["version"] == first[:12]
    assert tree_sha256(opened.store.path(KEY, "flags").resolve()) == first
    assert [version["current"] for version in run("list", KEY)["versions"]] == [True, False]
    # Four publications of two contents: flagged, twice more strictly, and the first one restored.
    past = versions_of(opened.records.engine, KEY, "flags")
    assert [view.version == first[:12] for view in past] == [True, False, False, True]
    assert past[-1].inputs == past[0].inputs
    # Numbers for the station database and the web UI have nine digits.
    known = opened.records.product(KEY, "flags").numbers["flag_fraction"]
    assert known == pytest.approx(old["flag_fraction"], rel=1e-8)
    made = opened.records.products(KEY)
    assert made["flags"].made_at > made["calibrated_ms"].made_at
    shown = run("show", KEY)
    assert len(shown["by_subband"]) == 16
    assert shown["alarm_line"] > 0
    assert "found 0 versions" in run("restore", KEY, "of another group", code=3)["message"]
    # Made again without subband 3: the old flags would let its zeros in.
    build_ms((3,), "lacking")
    assert "not for another conversion" in run("restore", KEY, new["version"], code=3)["message"]
