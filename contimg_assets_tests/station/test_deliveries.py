"""Messages reach a real mail server and a real web server; what is not taken is tried again."""

import json
import os
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from contimg_assets.radio.errors import SettingsError
from contimg_assets.settings import NOTIFY_VARIABLE, get_settings
from contimg_assets.station import alarm_look, alarm_rules, deliveries
from contimg_assets.station.addresses import Address, read_addresses
from contimg_assets.station.alarm_look import Unusable, look, tell_without_database
from contimg_assets.station.alarm_models import Delivery
from contimg_assets.station.alerts import Notifier
from contimg_assets.station.columns import now
from contimg_assets.station.database import reading, transaction
from contimg_assets.station.deliveries import deliver, send_each
from contimg_assets.station.installation import Installation
from contimg_assets.station.settings_views import settings_in_force
from contimg_assets_tests.station.sinks import mail_sink, web_sink

GROUPS = [f"2026-01-15T{n // 60:02d}:{n % 60:02d}:00" for n in range(1000)]


def addresses_file(home: Path, mode: int = 0o600, **urls: str) -> Path:
    path = home / "notify.toml"
    path.touch(mode)
    path.write_text("".join(f'[{name}]\nurl = "{url}"\n' for name, url in urls.items()))
    path.chmod(mode)
    return path


def enter(engine: Engine, *addresses: str) -> None:
    with transaction(engine) as session:
        session.add_all(Delivery(address=name, kind="alarm", title="t", body="b") for name in addresses)


def rows(engine: Engine) -> list[Delivery]:
    with reading(engine) as session:
        return list(session.scalars(select(Delivery).order_by(Delivery.id)))


@pytest.mark.long
def test_a_thousand_failures_within_a_minute_are_few_messages_to_mail_and_web(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 500 causes: ten messages and one summary at each address, and all of it in the log."""
    at = now()
    clock = [at]
    monkeypatch.setattr(alarm_rules, "LOOKS", {})
    for module in (alarm_look, deliveries):
        monkeypatch.setattr(module, "now", lambda: clock[0])
    with mail_sink() as mails, web_sink() as web:
        addresses_file(home, duty=mails.url, chat=web.url)
        station = Installation(get_settings())
        for place, key in enumerate(GROUPS):
            station.notifier.send("run_failed", key, f"failed {place}", cause=f"cause {place % 500}")
        for minute in (0, 5, 11, 30):
            clock[0] = at + timedelta(minutes=minute)
            look(station)
            deliver(station.engine, home, read_addresses(home))
        for titles in (mails.titles, web.titles):
            assert len(titles) == 11
            assert titles[-1] == "contimg: held back: 490 alarms, 980 times"
        assert sum(line.kind == "run_failed" for line in station.notifier.after(0)) == 1000
        body = mails.mails[-1].get_body(("plain",)) or mails.mails[-1].get_body()
        assert body is not None
        assert "Not told one by one" in body.get_content()
        assert mails.mails[0]["to"] == "duty@example.org"


def test_an_address_that_is_not_there_holds_up_no_other_and_is_tried_again(
    emptied: Engine, home: Path
) -> None:
    with web_sink() as web, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        away = Address("away", f"json://127.0.0.1:{taken.getsockname()[1]}/another-secret")
        enter(emptied, "away", "there")
        for _ in range(2):
            deliver(emptied, home, [away, Address("there", web.url)])
    first, second = rows(emptied)
    assert (second.sent_at is not None, second.due_at, second.attempts) == (True, None, 1)
    assert (first.sent_at, first.attempts) == (None, 1)
    assert first.error
    assert "another-secret" not in first.error
    assert first.due_at is not None
    assert timedelta(seconds=30) < first.due_at - first.queued_at


def test_one_that_does_not_answer_is_left_when_the_time_is_over() -> None:
    with web_sink(delay_s=600) as slow, web_sink() as web:
        message = {"id": 1, "title": "t", "body": "b", "attachment": None}
        began = time.monotonic()
        work = {Address("slow", slow.url): [message], Address("web", web.url): [message]}
        found = send_each(work, seconds=8)
        assert time.monotonic() - began < 60
    assert [bool(outcome.error) for outcome in found] == [True, False] or not web.messages


def test_waiting_is_longer_each_time_and_after_a_day_it_is_given_up(
    emptied: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(work: dict[Address, list[dict[str, Any]]]) -> list[deliveries.Outcome]:
        return [deliveries.Outcome(each["id"], "no") for its in work.values() for each in its]

    monkeypatch.setattr(deliveries, "send_each", refused)
    enter(emptied, "away")
    (row,) = rows(emptied)
    began = at = row.queued_at + timedelta(seconds=1)
    waits = []
    while at < began + timedelta(days=2):
        monkeypatch.setattr(deliveries, "now", lambda at=at: at)
        deliver(emptied, home, [Address("away", "json://x")])
        (row,) = rows(emptied)
        if row.due_at is None:
            break
        waits.append((row.due_at - at) / timedelta(minutes=1))
        at = row.due_at
    assert waits[:8] == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60])
    assert (row.due_at, row.sent_at, row.error) == (None, None, "no")
    assert at - began < timedelta(days=1, hours=2)


def test_two_processes_send_nothing_twice(emptied: Engine, home: Path) -> None:
    with web_sink() as web:
        enter(emptied, *["there"] * 5)
        claimed = deliveries._claim(emptied, {"there"})
        assert deliver(emptied, home, [Address("there", web.url)]) == []
        assert len(claimed) == 5
        assert web.messages == []


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o666])
def test_a_file_that_others_can_read_is_refused(home: Path, mode: int) -> None:
    path = addresses_file(home, mode, duty="json://host/secret-token")
    with pytest.raises(SettingsError, match=f"found mode 0{mode:o}, expected 0600") as refused:
        read_addresses(home)
    assert str(path) in str(refused.value)
    assert "secret-token" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("secret-token", "found no TOML"),
        ('[duty]\nurl = "json://secret-token"\nseverity = "secret-token"', "severity: Input should be"),
        ('duty = "json://secret-token"', "table: Input should be a valid"),
        ('[duty]\nurl = "json://secret-token"\npassword = "secret-token"', "password: Extra inputs"),
    ],
)
def test_what_is_wrong_with_the_file_is_told_without_what_it_holds(
    home: Path, content: str, told: str
) -> None:
    path = addresses_file(home)
    path.write_text(content)
    with pytest.raises(SettingsError, match=told) as wrong:
        read_addresses(home)
    assert "secret-token" not in str(wrong.value)


def test_addresses_are_in_no_output(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"json://user:hunter22@127.0.0.1:{taken.getsockname()[1]}/secret-token?x=other-secret"
        monkeypatch.setenv(NOTIFY_VARIABLE, url)
        get_settings.cache_clear()
        secrets = ("hunter22", "secret-token", "other-secret")
        (address,) = read_addresses(home)
        told = [repr(address), json.dumps(settings_in_force(), default=str), address.without_secrets(url)]
        for command in (["notify", "test"], ["notify", "list"], ["settings", "--json"]):
            done = subprocess.run(
                [sys.executable, "-m", "contimg_assets.cli", *command],
                capture_output=True,
                text=True,
                check=False,
                env=dict(os.environ),
            )
            told.append(done.stdout + done.stderr)
        assert "environment-1: " in told[3]
        told += [path.read_text(errors="replace") for path in home.rglob("*") if path.is_file()]
    assert not [text for text in told for secret in secrets if secret in text]


def test_a_lost_database_is_told_without_it_once_and_over_when_it_is_back(home: Path) -> None:
    with web_sink() as web:
        addresses_file(home, duty=web.url)
        settings = get_settings()
        found = Unusable("database_lost", str(home), "no station database")
        Notifier(home).send_once(found.kind, found.subject, found.message)
        for _ in range(2):
            tell_without_database(settings, found)
        assert web.titles == [f"contimg NOW: the station database is lost: {home}"]
        station = Installation(settings)
        look(station)
        with reading(station.engine) as session:
            titles = [each.title for each in session.scalars(select(Delivery))]
    assert f"contimg: over: the station database is lost: {home}" in titles
    assert not [title for title in titles if "NOW: the station database" in title]


def test_test_messages_go_out_at_once_and_say_who_did_not_take_them(home: Path) -> None:
    with mail_sink() as mails, web_sink(status=500) as broken:
        addresses_file(home, duty=mails.url, chat=broken.url)
        done = subprocess.run(
            [sys.executable, "-m", "contimg_assets.cli", "notify", "test"],
            capture_output=True,
            text=True,
            check=False,
            env=dict(os.environ),
        )
        assert mails.titles == ["contimg: test"]
    assert done.returncode == 1
    assert "duty: sent" in done.stdout
    assert "chat: " in done.stdout
    assert "sent" not in done.stdout.split("chat: ")[1]
