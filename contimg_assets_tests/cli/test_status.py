"""``status`` and ``products``: a line a group, with its verdict, and readable at 80 columns."""

import json
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from sqlalchemy import event

from contimg_assets.cli import main, tables
from contimg_assets.radio.grouping import FoundFile
from contimg_assets.settings import Settings, get_settings
from contimg_assets.station.arrivals import Arrivals, Settled
from contimg_assets.station.database import engine_for, reading_engine_for
from contimg_assets.station.group_names import registered_key
from contimg_assets.station.products import StationRecords
from contimg_assets_tests.fake_stages import TARGET, registration
from contimg_assets_tests.finished_home import BAD, FAILED, GOOD, KEYS


@pytest.fixture
def night(finished: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished home, as the one that commands work on."""
    assert home.is_dir()
    monkeypatch.setenv("CONTIMG_HOME", str(finished))
    get_settings.cache_clear()
    return finished


def contimg(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result


def test_status_has_a_line_a_group(night: Path) -> None:
    lines = {line[:19]: line for line in contimg("status").stdout.splitlines() if line.startswith("2025")}
    report = night / "products" / "20250601T140549" / "image_qa" / "report.html"
    assert lines[GOOD].split()[1:] == ["completed", "PASS", "1.02", "11.0%", str(report)]
    assert report.is_file()
    assert lines[FAILED].strip().split(maxsplit=2)[1:] == ["failed", "too few antennas: found 3, expected 4"]
    told = json.loads(contimg("status", "--json").stdout)
    by_key = {group["group"]: group for group in told["groups"]}
    assert by_key[GOOD]["report"] == str(report)
    assert (by_key[BAD]["verdict"], by_key[BAD]["rms_ratio"], by_key[BAD]["flag_fraction"]) == (
        "ERROR",
        3.1,
        0.11,
    )
    assert told["completed"] == {"PASS": 1, "WARN": 0, "ERROR": 1, "not judged": 0}
    assert list(told["completed_with_error"]) == [BAD]


def test_status_asks_for_counts_and_a_page_whatever_there_is(night: Path) -> None:
    """No statement reads all groups: each has a limit, a count, or the keys that it is about."""
    statements: list[str] = []
    engine = reading_engine_for(f"sqlite:///{night / 'catalogue.sqlite'}")
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    contimg("status")
    of_groups = [one for one in statements if "FROM group_summary" in one or "FROM observation_group" in one]
    assert of_groups
    assert [
        one for one in of_groups if not any(word in one for word in ("LIMIT", "count(", " IN ", " = "))
    ] == []


@pytest.mark.usefixtures("night")
def test_products_are_a_line_a_group_or_all_of_one() -> None:
    lines = contimg("products").stdout.splitlines()
    assert [line[:19] for line in lines] == list(KEYS)
    assert "verdict PASS, noise 1.02 of expected, 11.0% flagged: /" in lines[0]
    for spelling in (GOOD, "20250601T140549", f"{GOOD}_sb07.hdf5"):
        assert contimg("products", spelling).stdout.startswith(f"{GOOD}  completed, verdict PASS")


def test_a_file_whose_name_has_another_time_names_its_group(settings: Settings, home: Path) -> None:
    """Names of files carry the clocks of their nodes: the database knows which group each went to."""
    records = StationRecords(engine_for(settings.sqlalchemy_url))
    records.register(registration(TARGET, home), ready=True)
    late = TARGET[:-2] + "59"
    found = FoundFile(home / "incoming" / f"{late}_sb00.hdf5", 10, 0.0)
    Arrivals(records.engine, home / "incoming").settle([Settled(found, TARGET, "used", "")])
    assert registered_key(records.engine, late) == TARGET
    assert registered_key(records.engine, "2020-01-01T00:00:00") == "2020-01-01T00:00:00"
    assert json.loads(contimg("history", f"{late}_sb00.hdf5", "--json").stdout)["group"] == TARGET


@pytest.mark.parametrize("width", [40, 76, 77, 200])
def test_a_table_is_whole_at_any_width(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    """No value is cut short: what has no room side by side is told line by line."""
    monkeypatch.setattr(tables, "console", lambda: Console(width=width))
    table = Table("group", "version", "made", "run", title="versions")
    cells = (GOOD, "0123456789ab", "2026-11-26T01:25:42+00:00", "c65bb70a")
    table.add_row(*cells)
    tables.show(table)
    printed = capsys.readouterr().out
    assert all(cell in printed for cell in cells)
    assert "…" not in printed
    assert ("┃" in printed) == (width >= 77)
    assert max(cell_len(line) for line in printed.splitlines()) <= width


def test_the_version_is_told() -> None:
    assert contimg("--version").stdout.startswith("contimg, version ")


def test_a_shell_completes_commands_and_options() -> None:
    """Also those of modules that are loaded only when they are named."""
    complete = ShellComplete(main, {}, "contimg", "_CONTIMG_COMPLETE")
    assert [item.value for item in complete.get_completions([], "st")] == ["status"]
    assert "--night" in [item.value for item in complete.get_completions(["export"], "--")]
