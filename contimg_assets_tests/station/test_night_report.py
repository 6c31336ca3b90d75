"""The report of a night says what the night was, as a product with versions, on a page, and in a mail."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from dagster import DagsterInstance, RunRequest, SkipReason, build_schedule_context, materialize
from sqlalchemy import select

from contimg_assets.assets.nights import night_report, nightly_report
from contimg_assets.radio.errors import MissingInputError, SelectionError
from contimg_assets.resources.dagster_resources import DatabaseResource, StoreResource
from contimg_assets.settings import NOTIFY_VARIABLE, get_settings
from contimg_assets.station.alarm_models import Delivery
from contimg_assets.station.database import reading
from contimg_assets.station.models import ProductVersion
from contimg_assets.station.night_products import (
    DAY,
    NIGHT_REPORT,
    is_first,
    make_report,
    report_of,
    reports,
    send_report,
)
from contimg_assets.station.night_report import gather
from contimg_assets.station.night_report_page import _range, number, page, round_values
from contimg_assets.station.reconcile import examine
from contimg_assets.station.retention import plan
from contimg_assets.station.versions import history
from contimg_assets_tests.station.sinks import mail_sink
from contimg_assets_tests.web.nights import Nights, make_nights

FIRST, SECOND = "2025-06-01", "2025-06-02"


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    """Two nights of twelve groups."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("nights") / "home"
        home.mkdir()
        patch.setenv("CONTIMG_HOME", str(home))
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        patch.delenv(NOTIFY_VARIABLE, raising=False)
        get_settings.cache_clear()
        yield make_nights(get_settings())
    get_settings.cache_clear()


def test_a_report_says_what_the_night_was(nights: Nights) -> None:
    found = gather(nights.installation, SECOND)
    assert len(found.groups) == 12
    assert (found.states["failed"], found.states["pending"], found.states["completed"]) == (2, 1, 9)
    assert found.verdicts == {"PASS": 7, "ERROR": 1, "WARN": 1}
    assert [cause["kind"] for cause in found.causes][:1] == ["image: ImagingError"]
    # Antenna 103 died in the middle of the second night; a half of its groups is not most.
    assert found.dead == ["24"]
    assert found.antennas[0]["antenna"] == "24"
    assert [(each["calibrator"], each["refant"]) for each in found.calibrators] == [("3C454.3", "103")] * 2
    noise = next(each for each in found.compared if each["name"] == "rms_ratio")
    assert noise["n_nights"] == 1
    assert noise["low"] < noise["before"] < noise["high"]
    (strip,) = found.strips
    assert (strip["dec_deg"], strip["n_groups"]) == (16.3, 12)
    # The meridian at mid-group: 15 degrees an hour, and a little more.
    assert (found.groups[-1]["ra_deg"] - found.groups[0]["ra_deg"]) % 360 == pytest.approx(14.2, abs=0.1)
    assert found.before == FIRST
    assert json.loads(json.dumps(found.numbers)) == found.numbers
    judged = next(each for each in found.causes if each["state"] == "judged")
    # What its state says of a completed group is no cause.
    assert (judged["kind"], judged["reason"]) == ("image_qa.rms_ratio", "")
    current = ProductVersion.superseded_at.is_(None) & ProductVersion.key.startswith(SECOND)
    with reading(nights.installation.engine) as session:
        sizes = session.execute(select(ProductVersion.made_bytes, ProductVersion.kept_bytes).where(current))
        made, kept = (sum(size or 0 for size in each) for each in zip(*sizes, strict=True))
    assert (found.disk["written_bytes"], found.disk["kept_bytes"]) == (made, kept)
    assert made > 0


def test_the_page_needs_nothing_beside_it_and_shows_what_files_say_as_text(nights: Nights) -> None:
    found = gather(nights.installation, SECOND)
    found.causes[0]["reason"] = "<img src=x onerror=alert(1)>"
    text = page(found, "https://contimg.example.org")
    assert "<img" not in text
    assert "&lt;img src=x onerror" in text
    assert not re.findall(r'(?:src|href)="(?!https://contimg\.example\.org/|#)', text)
    assert "<script" not in text


def test_numbers_are_told_as_people_read_them() -> None:
    assert [number(value, 2) for value in (941.0, 12.4, 0.0012, None)] == ["940", "12", "0.0012", "–"]


def test_an_axis_holds_few_values_and_leaves_out_the_wildest_of_many() -> None:
    low, high = _range([1.17, 1.22], ())
    assert low < 1.17 < 1.22 < high
    assert _range([*map(float, range(100)), 1e6], ())[1] < 1e3


def test_a_night_without_groups_has_a_report_and_a_word_has_none(nights: Nights) -> None:
    assert "No group was observed on 2025-07-01." in page(gather(nights.installation, "2025-07-01"))
    with pytest.raises(SelectionError, match="expected a day, UTC, such as"):
        gather(nights.installation, "yesterday")


def test_a_report_is_a_product_with_versions_inputs_and_no_litter(nights: Nights) -> None:
    station = nights.installation
    with pytest.raises(MissingInputError, match="no report of the night 2025-06-01"):
        report_of(station, FIRST)
    _, first = make_report(station, FIRST)
    _, second = make_report(station, FIRST)
    with reading(station.engine) as session:
        rows = history(session, FIRST, NIGHT_REPORT, DAY)
    assert [row.id for row in rows] == [first.id, second.id]
    assert rows[0].superseded_at is not None
    assert report_of(station, FIRST).resolve().parent == station.store.path(FIRST, NIGHT_REPORT).resolve()
    assert [row.key for row in reports(station)] == [FIRST]
    assert not list((station.store.products / FIRST / ".staging").iterdir())
    assert not [each for each in examine(station) if NIGHT_REPORT in str(vars(each))]
    (removal,) = [each for each in plan(station.engine, station.store, 0.0) if NIGHT_REPORT in each.reason]
    assert removal.version_id == first.id


def test_a_report_that_cannot_be_entered_leaves_the_one_before(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = nights.installation
    _, before = make_report(station, SECOND)

    def broken(*_: object) -> None:
        raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr("contimg_assets.station.night_products.performance_of", broken)
        with pytest.raises(OSError, match="the disk is gone"):
            make_report(station, SECOND)
    assert report_of(station, SECOND).is_file()
    versions = station.store.path(SECOND, NIGHT_REPORT).parent / ".versions"
    assert [path.name for path in versions.iterdir()] == [f"{NIGHT_REPORT}-{before.version}"]


def test_the_asset_makes_it_and_queues_a_mail_the_first_time(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NOTIFY_VARIABLE, "mailto://127.0.0.1:1?to=a@example.org")
    day = "2025-06-03"
    for _ in range(2):
        with DagsterInstance.ephemeral() as instance:
            done = materialize(
                [night_report],
                partition_key=day,
                instance=instance,
                resources={"database": DatabaseResource(), "storage": StoreResource()},
            )
        assert done.success
    with reading(nights.installation.engine) as session:
        (delivery,) = session.scalars(select(Delivery).where(Delivery.kind == "report"))
    assert delivery.title == f"contimg: night of {day}: No group was observed on {day}."
    assert not is_first(nights.installation, day)


def test_the_mail_has_the_page_with_it(nights: Nights) -> None:
    station = nights.installation
    path = station.settings.home / "notify.toml"
    with mail_sink() as mails:
        path.touch(0o600)
        path.write_text(f'[duty]\nurl = "{mails.url}"\n[chat]\nurl = "json://x"\nreports = false\n')
        report, _ = make_report(station, SECOND)
        assert send_report(station, report) == ["duty"]
        done = subprocess.run(
            [sys.executable, "-m", "contimg_assets.cli", "notify", "send", "--waiting"],
            check=True,
            capture_output=True,
            env=dict(os.environ),
        )
        path.unlink()
    assert done.stdout
    mail = next(mail for mail in mails.mails if "12 groups observed" in str(mail["subject"]))
    (attachment,) = mail.iter_attachments()
    assert attachment.get_filename() == "report.html"
    assert b"Night of 2025-06-02" in attachment.get_payload(decode=True)  # type: ignore[operator]


@pytest.mark.usefixtures("nights")
def test_every_night_has_one_by_itself_where_there_are_nights() -> None:
    def asked(at: str) -> object:
        from datetime import datetime

        context = build_schedule_context(
            scheduled_execution_time=datetime.fromisoformat(at), resources={"database": DatabaseResource()}
        )
        return nightly_report(context)

    request = asked("2025-06-03T04:00:00+00:00")
    assert isinstance(request, RunRequest)
    assert request.partition_key == SECOND
    assert isinstance(asked("2025-06-20T04:00:00+00:00"), RunRequest)
    assert isinstance(asked("2025-08-20T04:00:00+00:00"), SkipReason)


@pytest.mark.parametrize("low", [-40.0, 0.0, 0.954, 1234.5])
@pytest.mark.parametrize("length", [3.1e-4, 0.087, 1.0, 7.7, 1.3e4])
def test_an_axis_hasround_values_that_differ_in_what_is_written(low: float, length: float) -> None:
    values = round_values(low, low + length)
    assert 2 <= len(values) <= 6
    assert len({words for _, words in values}) == len(values)
    for value, words in values:
        assert low - 1e-9 * length <= value <= low + length * (1 + 1e-9)
        assert float(words) == pytest.approx(value, abs=1e-6 * length)
