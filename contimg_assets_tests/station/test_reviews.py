"""People's reviews stand beside the checks, the newest counts, and a night says what is left to look at."""

import pytest
from sqlalchemy import Engine

from contimg_assets.radio.errors import MissingInputError, SettingsError
from contimg_assets.settings import Settings
from contimg_assets.station.database import transaction
from contimg_assets.station.group_listing import GroupFilter, matching_keys
from contimg_assets.station.limit_views import what_if
from contimg_assets.station.models import GroupSummary, ObservationGroup, ProductVersion, now
from contimg_assets.station.night_views import night
from contimg_assets.station.products import StationRecords
from contimg_assets.station.reviews import enter_review, newest_reviews, progress_of, reviews_of
from contimg_assets.station.status_views import forecast
from contimg_assets.station.trend_views import points_of
from contimg_assets_tests.fake_stages import record_verdict, registration

FIRST, SECOND, THIRD = "2026-01-15T03:00:00", "2026-01-15T04:00:00", "2026-01-16T03:00:00"


@pytest.fixture
def engine(emptied: Engine) -> Engine:
    """One of each kind for all tests of this module, which are quicker than its migrations."""
    return emptied


@pytest.fixture
def records(engine: Engine, settings: Settings) -> StationRecords:
    """Three groups of two nights, all with images; the second is bad, the third failed."""
    records = StationRecords(engine)
    for key in (FIRST, SECOND, THIRD):
        records.register(registration(key, settings.home), ready=True)
    with transaction(engine) as session:
        for key, verdict, ratio in ((FIRST, "PASS", 1.1), (SECOND, "ERROR", 2.5), (THIRD, "", 1.2)):
            version = ProductVersion(
                key=key, product="image", version=key, path=key, numbers={}, settings={}, made_at=now()
            )
            session.add(version)
            session.flush()
            summary = session.get_one(GroupSummary, key)
            summary.image_version_id, summary.image_made_at = version.id, now()
            summary.verdict, summary.rms_ratio = verdict, ratio
            summary.state = "failed" if key == THIRD else "completed"
            summary.reason = "image: ImagingError: of this group" if key == THIRD else ""
            summary.worst_check = "image_qa.rms_ratio" if verdict == "ERROR" else ""
            session.get_one(ObservationGroup, key).state = summary.state
    return records


def test_the_newest_review_counts_and_changes_nothing_of_what_checks_say(records: StationRecords) -> None:
    engine = records.engine
    enter_review(engine, FIRST, "WARN", "  ripples \0", "ann")
    enter_review(engine, FIRST, "PASS", "", "bob")
    enter_review(engine, SECOND, "PASS", "fine", "ann")
    newest = newest_reviews(engine, [FIRST, SECOND, THIRD])
    assert {key: (review.verdict, review.user) for key, review in newest.items()} == {
        FIRST: ("PASS", "bob"),
        SECOND: ("PASS", "ann"),
    }
    first, second = reviews_of(engine, FIRST)[::-1]
    assert (first.note, first.agrees, second.agrees) == ("ripples \N{REPLACEMENT CHARACTER}", False, True)
    assert first.of_this_image
    assert matching_keys(engine, GroupFilter(review="any")) == [FIRST, SECOND]
    assert matching_keys(engine, GroupFilter(review="none")) == [THIRD]
    assert matching_keys(engine, GroupFilter(review="differs")) == [SECOND]
    assert matching_keys(engine, GroupFilter(verdicts=("ERROR",))) == [SECOND]


def test_a_review_of_an_image_that_was_replaced_says_so(records: StationRecords) -> None:
    enter_review(records.engine, FIRST, "PASS", "", "ann")
    with transaction(records.engine) as session:
        session.get_one(GroupSummary, FIRST).image_version_id = None
    assert not reviews_of(records.engine, FIRST)[0].of_this_image


@pytest.mark.parametrize(("verdict", "note"), [("good", ""), ("", ""), ("PASS", "x" * 1001)])
def test_what_is_no_review_is_refused(records: StationRecords, verdict: str, note: str) -> None:
    with pytest.raises(SettingsError, match="found"):
        enter_review(records.engine, FIRST, verdict, note, "ann")
    with pytest.raises(MissingInputError):
        enter_review(records.engine, "2020-01-01T00:00:00", "PASS", "", "ann")
    assert reviews_of(records.engine, FIRST) == []


def test_the_next_group_is_the_first_later_one_without_a_review(records: StationRecords) -> None:
    engine = records.engine
    found = progress_of(engine, "2026-01-15", FIRST)
    assert (found.imaged, found.reviewed, found.next) == (2, 0, SECOND)
    assert progress_of(engine, "2026-01-15", SECOND).next == FIRST
    enter_review(engine, FIRST, "PASS", "", "ann")
    assert progress_of(engine, "2026-01-15", SECOND).next is None


def test_a_night_has_its_groups_its_causes_and_the_nights_before(records: StationRecords) -> None:
    newest = night(records.engine)
    assert newest is not None
    assert (newest.date, newest.before, newest.after) == ("2026-01-16", "2026-01-15", None)
    assert newest.compared["rms_ratio"].tonight == pytest.approx(1.2)
    assert newest.compared["rms_ratio"].before == pytest.approx(1.8)
    (cause,) = newest.causes
    assert (cause.state, cause.kind, cause.keys) == ("failed", "image: ImagingError", (THIRD,))
    earlier = night(records.engine, "2026-01-15")
    assert earlier is not None
    assert [(c.state, c.kind) for c in earlier.causes] == [("judged", "image_qa.rms_ratio")]
    assert earlier.verdicts == {"PASS": 1, "ERROR": 1}
    nothing = night(records.engine, "2020-01-01")
    assert nothing is not None
    assert (nothing.groups, nothing.before, nothing.after) == ([], None, "2026-01-15")


def test_no_night_where_nothing_was_observed(engine: Engine) -> None:
    assert night(engine) is None


def test_a_forecast_is_only_made_where_more_is_made_than_comes(records: StationRecords) -> None:
    # All three came and were made within this hour, and nothing waits.
    found = forecast(records.engine)
    assert (found.backlog, found.images_per_hour, found.arrived_per_hour) == (0, 3, 3)
    assert found.level_at is None


def test_numbers_over_time_come_with_their_limit(records: StationRecords) -> None:
    found = points_of(records.engine, GroupFilter(), "rms_ratio")
    assert [(point.key, point.value) for point in found.points] == [(FIRST, 1.1), (SECOND, 2.5), (THIRD, 1.2)]
    assert found.limit is not None
    assert points_of(records.engine, GroupFilter(), "n_sources").points == []


def test_another_limit_judges_the_last_groups_anew_and_changes_nothing(records: StationRecords) -> None:
    for key, value in ((FIRST, 1.1), (SECOND, 2.5)):
        status = "PASS" if key == FIRST else "ERROR"
        record_verdict(
            records,
            key,
            "image_qa",
            "rms_ratio",
            status=status,
            value=value,
            soft=1.5,
            hard=2,
            limits_version="7",
        )
    found = what_if(records.engine, "image_qa", "rms_ratio", soft=1.0, hard=3.0)
    assert [(each.group, each.now, each.then) for each in found.judged] == [
        (SECOND, "ERROR", "WARN"),
        (FIRST, "PASS", "WARN"),
    ]
    assert [each.group for each in found.flipped] == [SECOND, FIRST]
    assert (found.count("PASS", then=False), found.count("WARN", then=True)) == (1, 2)
    assert what_if(records.engine, "image_qa", "rms_ratio").flipped == []
    with pytest.raises(SettingsError, match="expected hard at least soft"):
        what_if(records.engine, "image_qa", "rms_ratio", soft=3.0)
    with pytest.raises(MissingInputError):
        what_if(records.engine, "image_qa", "nothing")
