"""What the assets tell the stages, as the stages' own commands read it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from dagster import AssetKey, DagsterInstance, Failure

from contimg_assets.definitions import build_defs
from contimg_assets.partitions import add_keys
from contimg_assets.settings import Settings, get_settings
from contimg_assets.station.installation import Installation
from contimg_assets_tests.fake_stages import (
    MJD,
    TARGET,
    FakeStages,
    calls,
    parsed,
    registration,
    solutions,
    write_tables,
)


class Target:
    """A converted and flagged group, and the calibration sets that a test enters."""

    def __init__(self, settings: Settings, instance: DagsterInstance) -> None:
        self.station, self.instance = Installation(settings), instance
        self.station.records.register(registration(TARGET, settings.home), ready=True)
        add_keys(instance, TARGET, calibrator=False)
        self.run("convert_group")

    def run(self, job: str, *assets: str) -> None:
        """All assets of a job, or some."""
        done = (
            build_defs({"stages": FakeStages()})
            .resolve_job_def(job)
            .execute_in_process(
                instance=self.instance,
                partition_key=TARGET,
                asset_selection=[AssetKey(name) for name in assets] or None,
            )
        )
        assert done.success

    def enter_set(self, hours: float) -> Path:
        """Enter a set of the target's strip, so many hours after it; where its tables are."""
        folder = self.station.settings.home / f"solved{hours:+g}"
        sidecar = solutions(
            f"2026-01-15T{3 + hours:02.0f}:00:00",
            mid_mjd=MJD[TARGET] + hours / 24,
            tables=write_tables(folder, str(hours)),
        )
        registry = self.station.registry
        name = registry.register(sidecar, folder)
        registry.conclude(name, [])
        return self.station.store.absolute(registry.get(name).path)

    def told(self, stage: str) -> dict[str, Any]:
        """The parameters of the one call of a stage."""
        (call,) = [call for call in calls() if call["stage"] == stage]
        return call["parameters"]

    def built(self, product: str) -> Path:
        """Folder that products of a name are built in, one below a name of its own."""
        return self.station.store.path(TARGET, product).parent / ".staging"


@pytest.fixture
def target(settings: Settings) -> Iterator[Target]:
    with DagsterInstance.ephemeral() as instance:
        yield Target(settings, instance)


def test_between_two_sets_the_nearer_is_applied_towards_the_other(target: Target) -> None:
    """Three hours before and one after: a quarter of the way from the nearer to the other has passed."""
    before, after = target.enter_set(-3), target.enter_set(1)
    target.run("image_group")
    told = target.told("apply")
    assert (told["tables"], told["other"]) == (str(after), str(before))
    assert told["weight"] == pytest.approx(0.25, abs=1e-6)  # six digits are handed over
    published = target.station.store
    # The version that was current when the work began, not the link, which may lead elsewhere meanwhile.
    ms = published.path(TARGET, "measurement_set").resolve() / "20260115T030000.ms"
    assert told["ms"] == str(ms)
    assert told["flags"] == str(published.path(TARGET, "flags").resolve())
    # Nothing is written; the image's data are calibrated with the same on the way.
    assert told["out"] is None
    imaged = target.told("image")
    assert imaged["ms"] == str(ms)
    assert imaged["calibrate"] == [told["flags"], str(after)]
    assert (imaged["other"], imaged["weight"]) == (str(before), told["weight"])
    assert "selfcal" not in [call["stage"] for call in calls()]


def test_a_single_set_is_applied_as_it_is(target: Target) -> None:
    only = target.enter_set(1)
    target.run("image_group")
    told = target.told("apply")
    assert (told["tables"], told["other"], told["weight"]) == (str(only), None, 0.0)
    assert (target.told("image")["other"], target.told("image")["weight"]) == (None, 0.0)


def test_a_calibrated_measurement_set_that_is_wanted_is_written_and_imaged(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.enter_set(1)
    monkeypatch.setenv("CONTIMG_RETENTION__CALIBRATED_HOURS", "24")
    get_settings.cache_clear()
    target.run("image_group")
    assert Path(target.told("apply")["out"]).is_relative_to(target.built("calibrated_ms"))
    product = target.station.store.path(TARGET, "calibrated_ms").resolve()
    told = target.told("image")
    assert (told["ms"], told["calibrate"]) == (str(product / "20260115T030000.ms"), None)


def test_an_image_is_not_made_with_other_flags_than_its_calibration_was_chosen_with(target: Target) -> None:
    """Data and calibration would not belong together: it says what is to be made first."""
    target.enter_set(1)
    target.run("image_group")
    flags = target.station.store.path(TARGET, "flags").resolve()
    (flags / "flags.h5").write_text("other flags")
    with pytest.raises(Failure, match="expected calibrated_ms to be made again first"):
        target.run("image_group", "image")


def test_self_calibration_works_on_what_was_calibrated_and_makes_the_product(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.enter_set(1)
    monkeypatch.setenv("CONTIMG_CALIBRATION__SELF_CALIBRATE", "1")
    get_settings.cache_clear()
    target.run("image_group")
    applied, improved = target.told("apply"), target.told("selfcal")
    assert improved["ms"] == applied["out"]
    assert Path(improved["out"]).is_relative_to(target.built("calibrated_ms"))
    assert not Path(applied["out"]).is_relative_to(improved["out"])
    # What was published is the self-calibrated copy, and no other.
    product = target.station.store.path(TARGET, "calibrated_ms").resolve()
    assert sorted(path.name for path in product.iterdir()) == [
        "20260115T030000.ms",
        "provenance.json",
        "thumbnail.png",
    ]
    assert target.told("image")["ms"] == str(product / "20260115T030000.ms")
    assert target.told("image")["provenance"] == str(product / "provenance.json")


@pytest.mark.parametrize(
    ("stage", "arguments", "message"),
    [
        (["apply"], ["--wait", "0.2", "a", "b", "c", "d"], "No such option"),
        (["apply"], ["--weight", "0.7", "a", "b", "c", "d"], "not in the range"),
        (["flag"], ["a"], "Missing parameter: out"),
        (["qa", "flags"], ["a", "b"], "is not one of"),
    ],
)
def test_the_fake_stages_refuse_what_the_commands_do(
    stage: list[str], arguments: list[str], message: str
) -> None:
    """So a renamed or mistyped option fails the tests above, and the others that use them."""
    with pytest.raises(click.UsageError, match=message):
        parsed(stage, arguments)
