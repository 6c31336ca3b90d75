"""Alarms: one for each cause, told not too often, acknowledged, over once; whatever happens is in the log."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from contimg_assets.radio.errors import MissingInputError, StateError
from contimg_assets.settings import NOTIFY_VARIABLE, AlarmOptions, Settings, WebOptions, get_settings
from contimg_assets.station import alarm_look, alarm_rules, alerts
from contimg_assets.station.alarm_look import look
from contimg_assets.station.alarm_models import Delivery
from contimg_assets.station.alarms import Alarms, Condition
from contimg_assets.station.alerts import LOG, PAGE
from contimg_assets.station.database import reading
from contimg_assets.station.installation import Installation

GROUPS = [f"2026-01-15T{n // 60:02d}:{n % 60:02d}:00" for n in range(1000)]


class Clock:
    """Time of the looks."""

    def __init__(self) -> None:
        self.at = datetime.now().astimezone()

    def __call__(self) -> datetime:
        return self.at

    def later(self, **time: float) -> None:
        """Let time pass."""
        self.at += timedelta(**time)


class HomeWithEngine(Installation):
    """An installation over a database of the test's."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        super().__init__(settings)
        object.__setattr__(self, "_engine", engine)

    @property
    def engine(self) -> Engine:
        """The test's."""
        return self._engine  # type: ignore[attr-defined]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(alarm_look, "now", made)
    return made


@pytest.fixture
def station(home: Path, emptied: Engine, monkeypatch: pytest.MonkeyPatch) -> Installation:
    monkeypatch.setenv(NOTIFY_VARIABLE, "json://one.example json://two.example")
    # What lasts has tests of its own; a test machine's disk may be full.
    monkeypatch.setattr(alarm_rules, "LOOKS", {})
    get_settings.cache_clear()
    settings = get_settings().model_copy(update={"web": WebOptions(base_url="https://contimg.example.org/")})
    assert settings.home == home
    return HomeWithEngine(settings, emptied)


def queued(station: Installation, address: str = "environment-1") -> list[Delivery]:
    with reading(station.engine) as session:
        return list(
            session.scalars(select(Delivery).where(Delivery.address == address).order_by(Delivery.id))
        )


def test_a_thousand_failures_of_one_cause_are_one_message_and_one_summary(
    station: Installation, clock: Clock
) -> None:
    for place, key in enumerate(GROUPS):
        station.notifier.send("run_failed", key, f"image: ImagingError: {place}", cause="image: ImagingError")
        if place in (1, 500):
            look(station)
    for _ in range(3):
        clock.later(minutes=6)
        look(station)
    first, summary = queued(station)
    assert first.title == "contimg: a run failed: image: ImagingError"
    assert "Look: https://contimg.example.org/groups/2026-01-15T00:01:00" in first.body
    assert "contimg notify acknowledge" in first.body
    assert summary.title == "contimg: held back: a run failed: image: ImagingError, 998 times"
    assert len(station.notifier.after(0)) == 1000
    (alarm,) = Alarms(station.engine).list()
    assert (alarm.n_times, alarm.n_told, alarm.subjects) == (1000, 1000, GROUPS[:-6:-1])


def test_of_many_causes_ten_are_told_one_by_one_and_all_in_a_summary(
    station: Installation, clock: Clock
) -> None:
    for place, key in enumerate(GROUPS[:60]):
        station.notifier.send("run_failed", key, f"failed {place}", cause=f"cause {place}")
    for _ in range(4):
        look(station)
        clock.later(minutes=6)
    for address in ("environment-1", "environment-2"):
        kinds = [message.kind for message in queued(station, address)]
        assert kinds == ["alarm"] * 10 + ["summary"]
    summary = queued(station)[-1]
    assert summary.title == "contimg: held back: 50 alarms, 50 times"
    assert "… and 30 more." in summary.body
    assert len(station.notifier.after(0)) == 60


def test_what_goes_on_happening_is_told_again_more_and_more_rarely(
    station: Installation, clock: Clock
) -> None:
    began = clock.at
    while clock.at < began + timedelta(hours=9):
        station.notifier.send("check_failed", GROUPS[0], "rms", cause="image_qa.rms_ratio")
        look(station)
        clock.later(minutes=30)
    hours = [(each.queued_at - began) / timedelta(hours=1) for each in queued(station)]
    # After 10 min, 1 h and 6 h, at the first look from then on.
    assert hours == pytest.approx([0, 0.5, 1.5, 7.5])


def test_an_alarm_that_is_over_says_so_once(station: Installation, clock: Clock) -> None:
    full = Condition("disk", "/data", "/data", "1 % is free", PAGE)
    look(station, [full], ["disk"])
    clock.later(minutes=5)
    look(station, [full], ["disk"])
    look(station, [], [])  # nobody looked at disks
    assert [each.title for each in queued(station)] == ["contimg NOW: the disk fills up: /data"]
    for _ in range(3):
        clock.later(minutes=5)
        look(station, [], ["disk"])
    assert [each.title for each in queued(station)][1:] == ["contimg: over: the disk fills up: /data"]
    assert Alarms(station.engine).list() == []
    assert [line.message for line in station.notifier.after(0)] == [
        "the disk fills up: /data: 1 % is free",
        "over: the disk fills up: /data",
    ]
    look(station, [full], ["disk"])
    assert len(queued(station)) == 3


def test_what_happened_is_over_when_it_has_not_happened_again(station: Installation, clock: Clock) -> None:
    station.notifier.send("run_failed", GROUPS[0], "why", cause="flags")
    look(station)
    clock.later(minutes=59)
    assert look(station)[1] == []
    clock.later(minutes=2)
    (over,) = look(station)[1]
    assert (over.kind, over.cause) == ("run_failed", "flags")
    assert [each.kind for each in queued(station)] == ["alarm", "cleared"]


def test_nothing_more_is_told_of_what_somebody_has_seen_to_until_it_is_over(
    station: Installation, clock: Clock
) -> None:
    station.notifier.send("run_failed", GROUPS[0], "why", cause="flags")
    look(station)
    alarms = Alarms(station.engine)
    (alarm,) = alarms.list()
    alarms.acknowledge(alarm.id, "ann", "the flagger is being mended")
    for key in GROUPS[1:50]:
        station.notifier.send("run_failed", key, "why", cause="flags")
    clock.later(minutes=30)
    look(station)
    (stands,) = alarms.list()
    assert (stands.n_times, stands.acknowledged_by, stands.note) == (50, "ann", "the flagger is being mended")
    assert [each.kind for each in queued(station)] == ["alarm"]
    with pytest.raises(StateError, match="acknowledged by ann already"):
        alarms.acknowledge(alarm.id, "bob")
    with pytest.raises(MissingInputError, match="no alarm 999"):
        alarms.acknowledge(999, "bob")
    clock.later(hours=2)
    look(station)
    assert [each.kind for each in queued(station)] == ["alarm", "cleared"]


def test_what_becomes_worse_is_told_to_who_has_acknowledged_it(station: Installation, clock: Clock) -> None:
    look(station, [Condition("disk", "/data", "/data", "4 days", "tell")], ["disk"])
    (alarm,) = Alarms(station.engine).list()
    Alarms(station.engine).acknowledge(alarm.id, "ann")
    clock.later(hours=1)
    look(station, [Condition("disk", "/data", "/data", "1 day", PAGE)], ["disk"])
    assert [each.title for each in queued(station)] == [
        "contimg: the disk fills up: /data",
        "contimg NOW: the disk fills up: /data",
    ]


def test_what_is_only_for_the_log_is_no_alarm_and_lines_are_taken_in_once(
    station: Installation, clock: Clock
) -> None:
    station.notifier.send("pointing", GROUPS[0], "declination", severity=LOG)
    station.notifier.send("bad_file", "x.hdf5", "no header\x1b[31m\nFrom: nobody")
    for _ in range(2):
        look(station)
    # The file may be lost; its numbers go on.
    station.notifier.path.unlink()
    station.notifier.send("bad_file", "y.hdf5", "no header")
    clock.later(minutes=11)
    look(station)
    (alarm,) = Alarms(station.engine).list()
    assert (alarm.n_times, alarm.subjects) == (2, ["y.hdf5", "x.hdf5"])
    assert "\x1b" not in queued(station)[0].body


def test_a_line_that_was_cut_short_is_passed_over_and_the_next_is_whole(tmp_path: Path) -> None:
    kept = alerts.Notifier(tmp_path)
    kept.send("run_failed", "a", "why")
    with kept.path.open("a") as handle:
        handle.write('{"id": 17, "at"')
    kept.send("run_failed", "b", "why")
    assert [alert.subject for alert in kept.after(0)] == ["a", "b"]
    assert [alert["subject"] for alert in kept.recent(2)] == ["a", "b"]


def test_who_adds_an_address_hears_of_what_is_new(
    station: Installation, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(NOTIFY_VARIABLE)
    for place, key in enumerate(GROUPS[:30]):
        station.notifier.send("run_failed", key, "why", cause=f"cause {place}")
    look(station)
    monkeypatch.setenv(NOTIFY_VARIABLE, "json://one.example")
    clock.later(minutes=20)
    look(station)
    assert queued(station) == []
    station.notifier.send("run_failed", GROUPS[0], "why", cause="another")
    look(station)
    assert [each.title for each in queued(station)] == ["contimg: a run failed: another"]


def test_a_file_of_addresses_that_others_can_read_is_an_alarm_and_stops_nothing(
    station: Installation, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(NOTIFY_VARIABLE)
    path = station.settings.home / "notify.toml"
    path.write_text('[duty]\nurl = "json://secret.example"\n')
    path.chmod(0o640)
    look(station)
    (alarm,) = Alarms(station.engine).list()
    assert (alarm.kind, alarm.message) == (
        "addresses",
        f"{path}: found mode 0640, expected 0600: it holds passwords, and others can read it; "
        f"chmod 600 {path}",
    )
    path.chmod(0o600)
    clock.later(minutes=1)
    assert [each.kind for each in look(station)[1]] == ["addresses"]


def test_an_hours_number_of_messages_is_a_setting(station: Installation, clock: Clock) -> None:  # noqa: ARG001
    few = station.settings.model_copy(update={"alarms": AlarmOptions(messages_an_hour=2)})
    for place, key in enumerate(GROUPS[:5]):
        station.notifier.send("run_failed", key, "why", cause=f"cause {place}")
    look(HomeWithEngine(few, station.engine))
    assert len(queued(station)) == 2
