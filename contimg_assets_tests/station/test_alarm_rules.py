"""What lasts is an alarm while it lasts, and none where there is nothing to be told."""

from collections import namedtuple
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from sqlalchemy import Engine, delete, update

from contimg_assets.radio.group_key import KEY_FORMAT
from contimg_assets.settings import Settings
from contimg_assets.station import alarm_rules
from contimg_assets.station.alarm_rules import conditions
from contimg_assets.station.alarms import Condition, take_conditions
from contimg_assets.station.columns import now
from contimg_assets.station.database import transaction
from contimg_assets.station.models import CalibrationWait, GroupTransition, ObservationGroup
from contimg_assets.station.products import StationRecords
from contimg_assets.station.space_models import SpaceSample
from contimg_assets_tests.fake_stages import record_verdict, registration

Usage = namedtuple("Usage", "total used free")
STEP = timedelta(seconds=309)


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarm_rules.shutil, "disk_usage", lambda _: Usage(1000e9, 0, 900e9))


def keys_until(at: datetime, number: int) -> list[str]:
    """Groups that were observed until a time, oldest first."""
    return [(at - STEP * place).strftime(KEY_FORMAT) for place in range(number, 0, -1)]


def enter(engine: Engine, key: str, state: str = "completed", **times: Any) -> None:
    """A group that has come to a state, entered and moved at some time."""
    records = StationRecords(engine)
    records.register(registration(key, Path("/incoming"), declination_deg=16.3), ready=True)
    if state != "pending":
        records.begin(key, "a run")
    if state == "completed":
        records.complete(key)
    with transaction(engine) as session:
        session.execute(update(ObservationGroup).where(ObservationGroup.key == key).values(**times))
        if "updated" in times:
            moved = update(GroupTransition).where(GroupTransition.key == key)
            session.execute(moved.values(at=times["updated"]))


def product(engine: Engine, key: str, name: str, **numbers: Any) -> None:
    StationRecords(engine).record_product(key, name, PurePosixPath(f"{key}/{name}-1"), numbers)


def found(engine: Engine, settings: Settings, kind: str, at: datetime | None = None) -> list[Condition]:
    told, kinds = conditions(engine, settings, at or now())
    assert kind in kinds
    return [each for each in told if each.kind == kind]


def test_an_empty_installation_has_no_alarm(emptied: Engine, settings: Settings) -> None:
    assert conditions(emptied, settings, now())[0] == []


def test_data_that_came_live_and_come_no_more(emptied: Engine, settings: Settings) -> None:
    (key,) = keys_until(now(), 1)
    enter(emptied, key)
    assert found(emptied, settings, "no_data") == []
    (told,) = found(emptied, settings, "no_data", now() + timedelta(minutes=61))
    assert (told.severity, told.subject) == ("page", key)
    never = settings.model_copy(
        update={"alarms": settings.alarms.model_copy(update={"no_data_minutes": None})}
    )
    assert found(emptied, never, "no_data", now() + timedelta(minutes=61)) == []


def test_an_archives_data_may_end(emptied: Engine, settings: Settings) -> None:
    enter(emptied, "2025-06-01T14:05:49")
    later = now() + timedelta(days=2)
    assert [each.kind for each in conditions(emptied, settings, later)[0]] == ["backup_old"]


def test_data_that_come_without_an_image(emptied: Engine, settings: Settings) -> None:
    at = now()
    old, new = keys_until(at, 2)
    enter(emptied, old, "pending", created=at - timedelta(minutes=40))
    enter(emptied, new, "pending")
    (told,) = found(emptied, settings, "no_image", at)
    assert (told.severity, told.subject) == ("page", new)
    enter(emptied, "2025-06-01T14:05:49")
    product(emptied, "2025-06-01T14:05:49", "image", rms_mjy_beam=1.0)
    assert found(emptied, settings, "no_image", now()) == []


def test_groups_that_nobody_goes_on_with(emptied: Engine, settings: Settings) -> None:
    at = now()
    first, second, third = keys_until(at, 3)
    long_ago = at - timedelta(hours=3)
    enter(emptied, first, "in_progress", updated=long_ago)
    enter(emptied, second, "pending", updated=long_ago)
    enter(emptied, third, "pending", updated=long_ago)
    with transaction(emptied) as session:
        session.add(CalibrationWait(key=third, reason="none yet", deadline=at + timedelta(hours=1)))
    causes = {each.cause: each for each in found(emptied, settings, "stuck", at)}
    assert {cause: each.subject for cause, each in causes.items()} == {
        "in progress": first,
        "pending": second,
    }
    # Where groups begin, those that wait have their turn to come.
    enter(emptied, "2025-06-01T14:05:49", "in_progress")
    assert [each.cause for each in found(emptied, settings, "stuck", at)] == ["in progress"]


def test_a_dish_that_changed_until_it_works_again(emptied: Engine, settings: Settings) -> None:
    keys = keys_until(now(), 12)

    def dead(key: str, *names: str) -> None:
        enter(emptied, key)
        product(emptied, key, "flags", dead_antennas=["24", *names])
        told = found(emptied, settings, "dish_changed")
        with transaction(emptied) as session:
            take_conditions(session, told, ["dish_changed"], now())
        seen.append([each.cause for each in told])

    seen: list[list[str]] = []
    for key in keys[:4]:
        dead(key)
    for key in keys[4:9]:
        dead(key, "103")
    for key in keys[9:]:
        dead(key)
    # Dead in three; well again when it has been so in three. The one that never worked is no change.
    assert seen == [[]] * 6 + [["103"]] * 5 + [[]]


def test_a_streak_of_warnings_is_one_alarm_of_its_check(emptied: Engine, settings: Settings) -> None:
    keys = keys_until(now(), 11)
    limits = {"value": 1.7, "soft": 1.5, "hard": 3.0, "limits_version": "1"}
    for place, key in enumerate(keys):
        enter(emptied, key)
        product(emptied, key, "image", rms_mjy_beam=1.0)
        record_verdict(
            StationRecords(emptied),
            key,
            "image_qa",
            "rms_ratio",
            status="WARN" if place else "PASS",
            **limits,
        )
        record_verdict(StationRecords(emptied), key, "image_qa", "flux_ratio", status="PASS", **limits)
        if place == 9:
            assert found(emptied, settings, "warn_streak") == []
    (told,) = found(emptied, settings, "warn_streak")
    assert (told.cause, told.subject) == ("image_qa.rms_ratio", keys[-1])
    assert f"from {keys[1]} to {keys[-1]}; the newest has 1.7" in told.message


def test_a_declination_without_calibrators(
    emptied: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = keys_until(now(), 1)
    enter(emptied, key)
    transits = "contimg_assets.station.calibration_outlook._coming"
    monkeypatch.setattr(transits, lambda *_: ("one",))
    assert found(emptied, settings, "no_calibrator") == []
    monkeypatch.setattr(transits, lambda *_: ())
    (told,) = found(emptied, settings, "no_calibrator")
    assert (told.cause, told.subject) == ("+16.3°", key)
    assert told.message.endswith("no set holds")
    assert found(emptied, settings, "no_calibrator", now() + timedelta(days=2)) == []


def test_a_disk_that_fills_up_wants_somebody_by_daylight_or_now(
    emptied: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    for free in (900e9, 80e9, 35e9, 5e9):
        monkeypatch.setattr(alarm_rules.shutil, "disk_usage", lambda _, free=free: Usage(1000e9, 0, free))
        with transaction(emptied) as session:
            session.execute(delete(SpaceSample))
            for days in (2, 1, 0):  # 20 GB a day
                sample = {"free_bytes": int(free + 20e9 * days), "total_bytes": 10**12}
                session.add(SpaceSample(at=now() - timedelta(days=days), **sample))
        told.append([each.severity for each in found(emptied, settings, "disk")])
    assert told == [[], ["tell"], ["page"], ["page"]]


def test_a_backup_that_is_too_old(emptied: Engine, settings: Settings) -> None:
    (key,) = keys_until(now(), 1)
    enter(emptied, key)
    assert found(emptied, settings, "backup_old") == []
    (told,) = found(emptied, settings, "backup_old", now() + timedelta(hours=27))
    assert told.message == "none was ever made of this home"
    (settings.home / "last_backup.json").write_text("{")
    assert len(found(emptied, settings, "backup_old")) == 1
