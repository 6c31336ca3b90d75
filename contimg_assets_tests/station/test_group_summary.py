"""The summary of a group is at any time what the other tables say."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path, PurePosixPath

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.errors import ContimgError
from contimg_assets.radio.limits import load_limits
from contimg_assets.settings import IngestOptions
from contimg_assets.station.calibration_registry import CalibrationRegistry
from contimg_assets.station.database import reading
from contimg_assets.station.group_summary import summary_of
from contimg_assets.station.leases import Leases
from contimg_assets.station.models import FALLBACKS, VERDICTS, GroupSummary, ObservationGroup
from contimg_assets.station.products import StationRecords
from contimg_assets_tests.fake_stages import TARGET, record_verdict, registration, solutions, write_tables

CHECKS = (("measurement_set_qa", "n_dead_antennas"), ("image_qa", "rms_ratio"), ("image_qa", "flag_fraction"))
#: Groups get keys that no other example has had: all share one database.
_numbers = count()


def summary(engine: Engine, key: str) -> GroupSummary:
    with reading(engine) as session:
        return session.get_one(GroupSummary, key)


def judge(records: StationRecords, key: str, product: str, check: str, status: str) -> None:
    limits = {"value": 1.0, "soft": 1.0, "hard": 2.0, "limits_version": "1"}
    record_verdict(records, key, product, check, status=status, **limits)


def test_it_says_what_a_list_needs(engine: Engine, tmp_path: Path) -> None:
    records = StationRecords(engine)
    records.register(registration(TARGET, tmp_path), ready=True)
    assert summary(engine, TARGET).state == "pending"
    records.begin(TARGET, "run")
    image = records.record_product(
        TARGET, "image", PurePosixPath("image-1"), {"rms_mjy_beam": 0.3, "n_sources": 12}
    )
    quality = {"rms_ratio": 1.2, "flux_ratio": 0.99, "astrometric_offset_arcsec": float("nan")}
    records.record_product(TARGET, "image_qa", PurePosixPath("image_qa-1"), quality)
    for product, check, status in (
        ("image_qa", "rms_ratio", "WARN"),
        ("image_qa", "flag_fraction", "ERROR"),
        ("measurement_set_qa", "n_dead_antennas", "ERROR"),
        ("measurement_set_qa", "zero_fraction", "PASS"),
        ("measurement_set_qa", "of_a_former_version", "ERROR"),
    ):
        judge(records, TARGET, product, check, status)
    records.complete(TARGET)
    found = summary(engine, TARGET)
    assert (found.state, found.verdict, found.n_warn, found.n_error) == ("completed", "ERROR", 1, 2)
    assert found.worst_check == "image_qa.flag_fraction"
    assert (found.image_version_id, found.image_made_at) == (image.id, image.made_at)
    assert (found.rms_mjy_beam, found.n_sources, found.rms_ratio, found.flux_ratio) == (0.3, 12, 1.2, 0.99)
    assert (found.astrometric_offset_arcsec, found.set_id, found.n_products) == (None, None, 2)


def test_a_verdict_stands_until_the_version_that_follows_is_judged(engine: Engine, tmp_path: Path) -> None:
    """Made again, a bad product stays bad until its own check passes, whatever is said of the old one."""
    records = StationRecords(engine)
    records.register(registration(TARGET, tmp_path), ready=True)
    old = records.record_product(TARGET, "image_qa", PurePosixPath("image_qa-1"), {})
    judge(records, TARGET, "image_qa", "rms_ratio", "ERROR")
    records.record_product(TARGET, "image_qa", PurePosixPath("image_qa-2"), {})
    assert summary(engine, TARGET).verdict == "ERROR"
    judge(records, TARGET, "image_qa", "rms_ratio", "PASS")
    assert summary(engine, TARGET).verdict == "PASS"
    # Judged late: what it says of the old version is not said of the current one.
    late = {"status": "ERROR", "value": 9.0, "soft": 1.0, "hard": 2.0, "limits_version": "1"}
    record_verdict(records, TARGET, "image_qa", "rms_ratio", **late, version_id=old.id)
    assert summary(engine, TARGET).verdict == "PASS"


def test_of_writers_at_once_none_leaves_it_behind(engine: Engine, tmp_path: Path) -> None:
    """Each writer's change is in the row, whichever of them wrote it last."""
    records = StationRecords(engine)
    records.register(registration(TARGET, tmp_path), ready=True)
    checks = list(load_limits().limits["image_qa"])[:8]

    def write(check: str) -> None:
        judge(records, TARGET, "image_qa", check, "WARN")
        records.record_product(TARGET, check, PurePosixPath(f"{check}-1"), {})

    with ThreadPoolExecutor(len(checks)) as pool:
        list(pool.map(write, checks))
    found = summary(engine, TARGET)
    assert (found.n_warn, found.n_products) == (len(checks), len(checks))


def operations(engine: Engine, folder: Path) -> dict[str, Callable[[str, int], object]]:
    """All that changes a group or what is known of it; each is given a group and a number to vary by."""
    records, leases = StationRecords(engine), Leases(engine, IngestOptions(attempts=2))
    registry = CalibrationRegistry(engine, CalibrationOptions(), folder / "calibration")
    names = ("image", "image_qa", "flags")

    def product(key: str, n: int) -> None:
        numbers = {"rms_mjy_beam": n / 7, "n_sources": n, "flux_ratio": n / 3, "rms_ratio": float("inf")}
        records.record_product(key, names[n % 3], PurePosixPath(f"{names[n % 3]}-{n}"), numbers)

    def use(key: str, n: int) -> None:
        built = folder / f"tables{next(_numbers)}"
        found = solutions(key, tables=write_tables(built, built.name))
        registry.record_use(key, registry.register(found, built), float(n), FALLBACKS[n % 4], "")

    return {
        "register": lambda key, n: records.register(
            registration(key, folder, declination_deg=float(n), calibrator_name="B" if n % 2 else None),
            ready=n % 3 > 0,
        ),
        "reject": lambda key, _: records.reject(key, "too few"),
        "begin": lambda key, n: records.begin(key, f"run {n}", explicit=n % 2 == 0),
        "hold": lambda key, n: leases.hold(key, f"run {n}"),
        "died": lambda key, _: leases.died(key, held.owner if (held := leases.of(key)) else None, "killed"),
        "complete": lambda key, _: records.complete(key),
        "fail": lambda key, n: records.fail(key, f"reason {n}"),
        "reopen": lambda key, _: records.reopen(key, "asked"),
        "product": product,
        "verdict": lambda key, n: judge(records, key, *CHECKS[n % 3], VERDICTS[n // 3 % 3]),
        "use": use,
        "settle": lambda key, _: registry.settle(key),
    }


def test_whatever_happens_it_is_what_the_other_tables_say(engine: Engine, tmp_path: Path) -> None:
    """After every one of random operations on two groups, also after those that are refused."""
    start = datetime(2026, 1, 1)
    names = list(operations(engine, tmp_path))
    # Operations that most states refuse come as often as the others: sequences are long for that.
    steps = st.lists(st.tuples(st.sampled_from(names), st.booleans(), st.integers(0, 8)), max_size=14)

    @settings(
        max_examples=25 if engine.dialect.name == "sqlite" else 6,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(steps)
    def holds(steps: list[tuple[str, bool, int]]) -> None:
        first, second = ((start + timedelta(minutes=5 * next(_numbers))).isoformat() for _ in range(2))
        apply = operations(engine, tmp_path)
        for key in (first, second):
            apply["register"](key, 1)
        for name, which, number in steps:
            with suppress(ContimgError):
                apply[name](second if which else first, number)
            with reading(engine) as session:
                for key in (first, second):
                    wanted = summary_of(session, key)
                    found = session.get_one(GroupSummary, key)
                    assert {column: getattr(found, column) for column in wanted} == wanted, (name, number)

    holds()
    with reading(engine) as session:
        groups = set(session.scalars(select(ObservationGroup.key)))
        assert groups == set(session.scalars(select(GroupSummary.key)))
