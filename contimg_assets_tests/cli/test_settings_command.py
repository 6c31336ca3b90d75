"""``contimg settings``, and the README's table, which is its output."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from contimg_assets.cli.settings import markdown_table, settings
from contimg_assets.settings import all_settings

README = Path(__file__).parent.parent.parent / "README.md"


def test_the_readmes_table_is_the_settings() -> None:
    """Every setting, default and bound; to renew it, paste what `contimg settings --markdown` prints."""
    found = re.search(r"<!-- settings -->\n(.*?)\n<!-- /settings -->", README.read_text(), re.DOTALL)
    assert found is not None
    assert found[1].strip() == markdown_table()


def test_every_setting_says_what_it_means() -> None:
    assert [setting.variable for setting in all_settings() if not setting.field.description] == []


def test_each_setting_is_shown_with_its_value_and_where_that_comes_from(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "contimg.toml").write_text("[imaging]\ngain = 0.2\n")
    monkeypatch.setenv("CONTIMG_DATABASE_URL", "postgresql://user:secret@host/name")
    told = json.loads(CliRunner().invoke(settings, ["--json"]).stdout)
    assert told["file"] == str(home / "contimg.toml")
    rows = {row["key"]: (row["value"], row["origin"]) for row in told["settings"]}
    assert len(rows) == len(all_settings())
    assert rows["home"] == (str(home), "environment")
    assert rows["imaging.gain"] == (0.2, "file")
    assert rows["imaging.scales_arcsec"] == ([0.0], "default")
    assert rows["database_url"] == ("postgresql://user:***@host/name", "environment")
    text = CliRunner().invoke(settings, []).stdout
    assert "secret" not in text
    assert re.search(r"CONTIMG_IMAGING__GAIN\s+│\s+0.2\s+│\s+file", text)
