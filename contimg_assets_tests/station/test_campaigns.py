"""Campaigns take what is out of date, once, a few at a time, and say what became of each group."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert, select
from sqlalchemy.exc import IntegrityError

from contimg_assets.radio.errors import CampaignError, SelectionError
from contimg_assets.settings import Settings
from contimg_assets.station.campaign_models import Campaign, CampaignGroup
from contimg_assets.station.campaign_selection import Selection
from contimg_assets.station.campaign_views import (
    CampaignView,
    campaign_details,
    campaign_view,
    campaigns_of,
)
from contimg_assets.station.campaigns import ATTEMPTS, Campaigns
from contimg_assets.station.database import reading, transaction
from contimg_assets.station.group_states import kind_of
from contimg_assets.station.leases import Leases
from contimg_assets.station.made_with import difference, present, settings_of
from contimg_assets.station.models import GroupSummary, ObservationGroup, now
from contimg_assets.station.products import StationRecords
from contimg_assets.station.store import Store
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET, record_verdict, registration

LATER = "2026-01-15T04:00:00"
OWNER = "run 1"


@pytest.fixture
def engine(emptied: Engine) -> Engine:
    """One of each kind for all tests of this module, which are quicker than its migrations."""
    return emptied


class Station:
    """Groups whose products are rows only."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine, self.settings = engine, settings
        self.records = StationRecords(engine)
        self.campaigns = Campaigns(engine, Store(settings.home), settings)

    def register(self, key: str, **changes: Any) -> None:
        self.records.register(registration(key, self.settings.home, **changes), ready=True)

    def make(self, key: str, *, fails: str = "", settings: Settings | None = None, **seconds: float) -> None:
        """A run of the group from its files to its verdict, or to where it fails."""
        self.records.begin(key, OWNER, explicit=True)
        for product in ("measurement_set", "flags", "calibrated_ms", "image"):
            if fails.startswith(product):
                self.records.fail(key, fails, owner=OWNER)
                break
            numbers = {"stage_seconds": seconds.get(product, 10.0)}
            made_with = settings_of(product, settings or self.settings)
            count = len(self.records.performance(key))
            path = PurePosixPath(f"products/{key}/.versions/{product}-{count}")
            folder = self.settings.home / path
            folder.mkdir(parents=True)
            (folder / "data").write_bytes(b"0" * 1000)
            self.records.record_product(
                key, product, path, numbers, owner=OWNER, run=f"run of {key}", settings=made_with
            )
        else:
            self.records.complete(key)
        Leases(self.engine, self.settings.ingest).release(OWNER)

    def campaign(self, name: str | None = None, slots: int = 1, **asked: Any) -> str:
        return self.campaigns.create(self.campaigns.plan(Selection(**asked), slots=slots), name)

    def view(self, name: str) -> CampaignView:
        return campaign_view(self.engine, name)


@pytest.fixture
def station(engine: Engine, settings: Settings) -> Station:
    """Two targets and a calibrator scan, all made."""
    station = Station(engine, settings)
    station.register(TARGET)
    station.register(LATER, declination_deg=16.0)
    station.register(CALIBRATOR, calibrator_name="J0834+555", calibrator_apparent_jy=7.9)
    for key in (TARGET, LATER, CALIBRATOR):
        station.make(key)
    return station


@pytest.fixture
def other(settings: Settings) -> Settings:
    """Settings that image otherwise."""
    return settings.model_copy(update={"imaging": settings.imaging.model_copy(update={"robust": -2.0})})


def keys(engine: Engine, state: str | None = None) -> list[str]:
    statement = select(CampaignGroup.key).order_by(CampaignGroup.key)
    with reading(engine) as session:
        return list(
            session.scalars(statement if state is None else statement.where(CampaignGroup.state == state))
        )


# -- which groups ---------------------------------------------------------------------------


def test_what_is_up_to_date_is_left_out_unless_asked_for(station: Station) -> None:
    plan = station.campaigns.plan(Selection(since="2026"), slots=2)
    assert (plan.taken, plan.left_out) == ({}, {"is up to date (--all takes it too)": 3})
    with pytest.raises(CampaignError, match="no selected group needs"):
        station.campaigns.create(plan)
    assert campaigns_of(station.engine) == []
    plan = station.campaigns.plan(Selection(since="2026", everything=True), slots=2)
    assert (plan.n_groups, plan.estimate.n_calibrators) == (3, 1)


def test_other_settings_and_versions_are_told_in_words_and_the_first_product_counts(
    station: Station, other: Settings
) -> None:
    station.make(LATER, settings=other)
    plan = station.campaigns.plan(Selection(outdated=True), slots=1)
    assert plan.taken == {"image: imaging.robust was -2.0, is 0.0": 1}
    assert plan.left_out == {"is up to date (--all takes it too)": 2}
    products = present(station.settings)
    older = {**products["flags"], "software": {"contimg": "0.0.1"}}
    assert difference("flags", older, products["flags"]).startswith("flags: made by contimg 0.0.1, now ")
    assert difference("flags", {}, products["flags"]) == "flags: made before settings were kept"
    moved = {**products["image"], "software": {**products["image"]["software"], "numpy": "0.1"}}
    assert difference("image", moved, products["image"]) == ""


def test_time_declination_verdict_and_calibration_set_select_together(station: Station) -> None:
    said = {"value": 1.0, "soft": 0.5, "hard": 0.8, "limits_version": "1"}
    record_verdict(station.records, TARGET, "image_qa", "rms_ratio", status="ERROR", **said)

    def found(**asked: Any) -> int:
        return station.campaigns.plan(Selection(everything=True, **asked), slots=1).n_groups

    assert found(since=LATER) == 2
    assert found(until=LATER) == 1
    assert found(since=TARGET, until=LATER) == 1
    assert found(min_declination_deg=16.0, max_declination_deg=20.0) == 1
    assert found(min_declination_deg=16.0, max_declination_deg=20.0, until=LATER) == 0
    assert [found(verdict=verdict) for verdict in ("ERROR", "PASS")] == [1, 0]


def test_what_cannot_be_meant_is_refused(station: Station) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({}, "found nothing that groups are selected by"),
        ({"everything": True}, "found nothing that groups are selected by"),
        ({"outdated": True, "everything": True}, "contradict"),
        ({"verdict": "BAD"}, "found 'BAD'; expected one of PASS, WARN, ERROR"),
        ({"calibration_set": "none"}, "found 'none'"),
    ]
    for asked, told in refused:
        with pytest.raises(SelectionError, match=told):
            station.campaigns.plan(Selection(**asked), slots=1)


def test_groups_that_failed_have_no_image_or_are_being_made_are_told_apart(station: Station) -> None:
    station.make(TARGET, fails="image: ImagingError: nothing to image")
    station.register("2026-01-15T06:00:00", missing_subbands=list(range(5)), files={})
    station.records.begin(LATER, "run 2", explicit=True)
    plan = station.campaigns.plan(Selection(since="2026"), slots=1)
    assert plan.taken == {"failed before": 1}
    assert plan.left_out == {
        "is being made, or waits to be": 2,
        "is up to date (--all takes it too)": 1,
    }


def test_time_and_disk_come_from_what_groups_took(station: Station) -> None:
    for key in (TARGET, LATER):
        station.make(key, image=30.0)
    plan = station.campaigns.plan(Selection(since="2026", everything=True), slots=2)
    # Medians of each product: an image took 10 s thrice and 30 s twice.
    assert plan.estimate.group_s == 40.0
    assert plan.estimate.hours == pytest.approx(3 * 40.0 / 2 / 3600)
    limited = station.campaigns.plan(plan.selection, slots=10, pool_limit=1).estimate
    assert limited.hours == pytest.approx(3 * 10.0 / 3600)  # one stage of 10 s of each group at a time
    assert plan.estimate.group_bytes == 4000
    assert plan.estimate.written_bytes == plan.estimate.extra_bytes == 12000
    assert plan.estimate.free_bytes > 0


# -- feeding --------------------------------------------------------------------------------


def fed(station: Station, room: int = 10, busy: set[str] | None = None) -> list[str]:
    return [each.key for each in station.campaigns.feed(room, busy or set())]


def test_calibrators_go_first_then_the_newest_within_the_room(station: Station) -> None:
    name = station.campaign(since="2026", everything=True)
    assert name.startswith("campaign-")
    assert fed(station, room=0) == []
    assert fed(station) == [CALIBRATOR]
    assert fed(station) == []  # its solutions are not there yet
    assert station.campaigns.settle({CALIBRATOR}) == []
    station.make(CALIBRATOR)
    assert station.campaigns.settle({CALIBRATOR}) == []  # its solving may still run
    assert station.campaigns.settle(set()) == [CALIBRATOR]
    assert fed(station, room=1) == [LATER]
    assert fed(station, room=1, busy={LATER}) == [TARGET]
    assert station.campaigns.running() == {LATER, TARGET}


def test_a_group_changes_nothing_while_it_waits_and_ends_with_its_state_verdict_and_run(
    station: Station,
) -> None:
    name = station.campaign(until=LATER, everything=True)
    before = station.records.group(TARGET)
    assert fed(station) == [TARGET]
    assert station.records.group(TARGET).updated == before.updated
    station.make(TARGET)
    assert station.campaigns.settle(set()) == [TARGET]
    view = station.view(name)
    assert (view.state, view.left, view.groups["completed"]) == ("running", 0, 1)
    assert fed(station) == []
    view = station.view(name)
    assert (view.state, view.completed["not judged"]) == ("done", 1)
    assert view.ended_at is not None
    with reading(station.engine) as session:
        item = session.scalars(select(CampaignGroup)).one()
        assert (item.run, item.reason) == (f"run of {TARGET}", "up to date, asked for all the same")


def test_failures_are_recorded_and_counted_by_what_they_have_in_common(station: Station) -> None:
    name = station.campaign(since="2026", until=CALIBRATOR, everything=True)
    assert fed(station) == [LATER, TARGET]
    for key in (TARGET, LATER):
        station.make(key, fails=f"image: ImagingError: {key}: no data")
    assert sorted(station.campaigns.settle(set())) == [TARGET, LATER]
    details = campaign_details(station.engine, name, station.settings)
    (found,) = details.failures
    assert (found.kind, found.number, found.key) == ("image: ImagingError", 2, LATER)
    assert found.reason == f"image: ImagingError: {LATER}: no data"
    assert kind_of("run 7 gave no sign of life for 60 s") == "run 7 gave no sign of life for 60 s"


def test_a_run_that_ends_before_it_begins_is_asked_for_again_and_then_given_up(station: Station) -> None:
    name = station.campaign(until=LATER, everything=True)
    for attempt in range(1, ATTEMPTS + 1):
        assert [(each.key, each.attempt) for each in station.campaigns.feed(1, set())] == [(TARGET, attempt)]
        ended = station.campaigns.settle(set())
    assert ended == [TARGET]
    (found,) = campaign_details(station.engine, name, station.settings).failures
    assert found.reason == f"its run ended before it began, {ATTEMPTS} times"
    assert station.records.group(TARGET).state == "completed"


def test_what_was_made_again_meanwhile_or_is_being_made_is_skipped(station: Station) -> None:
    name = station.campaign(since="2026", until=CALIBRATOR, everything=True)
    station.make(TARGET)
    station.records.begin(LATER, "run 2", explicit=True)
    assert fed(station) == []
    assert station.view(name).groups["skipped"] == 2
    fed(station)
    assert station.view(name).state == "done"


def test_a_group_between_its_runs_is_waited_for(station: Station) -> None:
    station.campaign(until=LATER, everything=True)
    assert fed(station) == [TARGET]
    station.records.begin(TARGET, "run 2", explicit=True)
    assert station.campaigns.settle(set()) == []
    assert station.campaigns.running() == {TARGET}


# -- states ---------------------------------------------------------------------------------


def test_a_campaign_is_paused_resumed_and_cancelled_without_a_trace_in_groups_that_wait(
    station: Station,
) -> None:
    name = station.campaign("night", since="2026", until=CALIBRATOR, everything=True)
    assert fed(station, room=1) == [LATER]
    station.campaigns.pause(name)
    assert fed(station) == []
    with pytest.raises(CampaignError, match="is paused, expected running"):
        station.campaigns.pause(name)
    station.campaigns.resume(name)
    station.campaigns.cancel(name)
    assert fed(station) == []
    assert station.view(name).groups == {
        **dict.fromkeys(("waiting", "completed", "failed", "skipped"), 0),
        "running": 1,
        "cancelled": 1,
    }
    # Its run never began: it is not taken up again for a campaign that is over.
    assert station.campaigns.settle(set()) == [LATER]
    assert keys(station.engine, "cancelled") == [TARGET, LATER]
    with pytest.raises(CampaignError, match="found no campaign 'day'"):
        station.campaigns.resume("day")
    for act in (station.campaigns.pause, station.campaigns.resume, station.campaigns.cancel):
        with pytest.raises(CampaignError, match="is cancelled"):
            act(name)


def test_a_group_is_in_one_open_campaign_at_most(station: Station) -> None:
    everything = Selection(since="2026", everything=True)
    before = station.campaigns.plan(everything, slots=1)
    first = station.campaign("first", since=LATER, everything=True)
    plan = station.campaigns.plan(everything, slots=1)
    assert (plan.n_groups, plan.left_out) == (1, {"is in campaign first": 2})
    assert station.campaigns.create(before, "second") == "second"
    assert station.view("second").n_groups == 1
    station.campaigns.cancel("second")
    with pytest.raises(CampaignError, match="there is a campaign 'first'"):
        station.campaign("first", until=LATER, everything=True)
    station.campaigns.cancel(first)
    assert station.campaigns.plan(everything, slots=1).n_groups == 3

    def enter(name: str) -> None:
        with transaction(station.engine) as session:
            campaign = Campaign(
                name=name, made_by="", selection={}, settings={}, estimate={}, state="running"
            )
            session.add(campaign)
            session.flush()
            session.add(
                CampaignGroup(campaign_id=campaign.id, key=TARGET, reason="", place=1, state="waiting")
            )

    enter("third")
    with pytest.raises(IntegrityError):
        enter("fourth")


def test_rate_and_end_are_those_of_late_or_what_was_expected(station: Station) -> None:
    name = station.campaign(since="2026", everything=True, slots=2)
    view = station.view(name)
    assert view.per_hour is None
    assert view.estimated_end is not None
    expected = 3 * 40 / 2  # three groups of 40 s, two at once
    assert abs((datetime.fromisoformat(view.estimated_end) - now()).total_seconds() - expected) < 30
    with transaction(station.engine) as session:
        at = datetime.now(UTC) - timedelta(minutes=30)
        for number, item in enumerate(session.scalars(select(CampaignGroup).limit(2))):
            item.state, item.ended_at = "completed", at + timedelta(minutes=10 * number)
    view = station.view(name)
    assert view.per_hour == pytest.approx(6.0)
    station.campaigns.pause(name)
    assert station.view(name).estimated_end is None


def test_settings_that_have_changed_since_are_told(station: Station, other: Settings) -> None:
    name = station.campaign(since="2026", everything=True)
    assert campaign_details(station.engine, name, station.settings).changed_settings == []
    (told,) = campaign_details(station.engine, name, other).changed_settings
    assert told == "image: imaging.robust was 0.0, is -2.0"


def test_keys_of_groups_that_were_asked_for_are_not_retired(station: Station) -> None:
    cutoff = datetime.now(UTC) + timedelta(days=1)
    assert station.records.done([TARGET, LATER], cutoff) == [TARGET, LATER]
    station.campaign(until=LATER, everything=True)
    fed(station)
    assert station.records.done([TARGET, LATER], cutoff) == [LATER]


# -- many -----------------------------------------------------------------------------------


def many(engine: Engine, number: int) -> None:
    """Completed groups, as rows only, five minutes apart."""
    first = datetime(2020, 1, 1, tzinfo=UTC)
    names = [(first + timedelta(minutes=5 * n)).strftime("%Y-%m-%dT%H:%M:%S") for n in range(number)]
    common = {
        "state": "completed",
        "reason": "",
        "n_subbands": 16,
        "declination_deg": 16.0,
        "mid_mjd": 58849.0,
    }
    lists = {"missing_subbands": [], "files": {}, "antennas": [], "calibrator_name": None, "retries": 0}
    empty = dict.fromkeys(("verdict", "worst_check"), "") | dict.fromkeys(
        ("n_warn", "n_error", "n_products"), 0
    )
    with transaction(engine) as session:
        session.execute(insert(ObservationGroup), [{"key": key, **common, **lists} for key in names])
        session.execute(
            insert(GroupSummary), [{"key": key, **common, **empty, "updated": now()} for key in names]
        )


def timed(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


def test_statements_count_where_the_rows_are(station: Station) -> None:
    """Of a campaign of some thousand groups, looking at it and feeding it read a handful of rows."""
    many(station.engine, 3000)
    name = station.campaign(until="2026")
    fetched: list[int] = []

    def count(*_: object) -> None:
        fetched.append(1)

    event.listen(CampaignGroup, "load", count)
    view = station.view(name)
    campaign_details(station.engine, name, station.settings)
    station.campaigns.pause(name)
    station.campaigns.resume(name)
    assert (view.groups["waiting"], fetched) == (3000, [])
    assert len(fed(station, room=4)) == 4
    station.campaigns.settle(set(keys(station.engine, "running")))
    event.remove(CampaignGroup, "load", count)
    assert len(fetched) <= 12


@pytest.mark.long
def test_a_hundred_thousand_groups_are_shown_paused_and_resumed_in_two_seconds(station: Station) -> None:
    many(station.engine, 100_000)
    taken: dict[str, float] = {}
    asked = Selection(until="2026")
    plans = []
    taken["plan"] = timed(lambda: plans.append(station.campaigns.plan(asked, slots=4)))
    taken["create"] = timed(lambda: station.campaigns.create(plans[0], "all"))
    with transaction(station.engine) as session:
        some = select(CampaignGroup).order_by(CampaignGroup.key).limit(30_000)
        for number, item in enumerate(session.scalars(some)):
            item.state = "failed" if number % 10 == 0 else "completed"
            item.ended_at = now() - timedelta(seconds=30_000 - number)
            item.failure = item.failure_kind = f"image: Error{number % 70}" if item.state == "failed" else ""
    taken["show"] = timed(lambda: station.view("all"))
    taken["details"] = timed(lambda: campaign_details(station.engine, "all", station.settings))
    taken["list"] = timed(lambda: campaigns_of(station.engine))
    taken["pause"] = timed(lambda: station.campaigns.pause("all"))
    taken["resume"] = timed(lambda: station.campaigns.resume("all"))
    taken["feed"] = timed(lambda: station.campaigns.feed(12, set()))
    taken["settle"] = timed(lambda: station.campaigns.settle(set()))
    taken["cancel"] = timed(lambda: station.campaigns.cancel("all"))
    print(station.engine.dialect.name, {name: round(seconds, 3) for name, seconds in taken.items()})
    assert all(taken[name] < 2 for name in ("show", "details", "list", "pause", "resume", "feed", "settle"))
