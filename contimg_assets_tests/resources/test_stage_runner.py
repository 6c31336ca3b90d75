"""Stages run in a process of their own, and however that ends the asset learns how."""

from pathlib import Path
from typing import Any

import pytest
from dagster import AssetExecutionContext, DagsterInstance, MaterializeResult, asset, materialize

from contimg_assets.resources import stage_runner as casa
from contimg_assets.resources.stage_runner import StageRunner

REPOSITORY = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def script(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the tests' own stages in place of ``contimg``'s."""
    monkeypatch.setattr(casa, "ENTRY_MODULE", "contimg_assets_tests.resources.stage_script")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    assert home.is_dir()


def run(*stage: str) -> tuple[dict[str, Any] | None, str]:
    """Run a stage from an asset; its result (None if it failed), and what the failure said."""
    results: list[dict[str, Any]] = []

    @asset
    def product(context: AssetExecutionContext, stages: StageRunner) -> MaterializeResult:
        results.append(stages.run(context, stage))
        return MaterializeResult()

    with DagsterInstance.ephemeral() as instance:
        result = materialize(
            [product],
            resources={"stages": StageRunner()},
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    told = "".join(f.user_failure_data.description or "" for f in failures if f.user_failure_data)
    return (results[0] if result.success else None), told


def test_the_result_comes_back_with_the_memory_that_it_took() -> None:
    result, _ = run("work")
    assert result is not None
    assert result["answer"] == 42
    assert 5 < result["peak_memory_mb"] < 2000


def test_a_stage_runs_in_a_scratch_folder_that_is_gone_after_it(home: Path) -> None:
    result, _ = run("work")
    assert result is not None
    folder = Path(result["folder"])
    assert folder.parent == home / "scratch"
    assert not folder.exists()
    assert (result["home"], result["threads"]) == (str(home), "2")


def test_our_own_errors_come_back_by_name_and_are_not_tried_again() -> None:
    result, told = run("refuse")
    assert result is None
    assert told == "ConversionError: it is no use"


@pytest.mark.parametrize(
    ("stage", "why"),
    [
        ("crash", "crashed with exit code 1"),
        ("segfault", "was killed by SIGSEGV"),
        ("silent", "ended without reporting a result"),
    ],
)
def test_any_other_end_is_told_as_what_it_was(stage: str, why: str) -> None:
    result, told = run(stage)
    assert result is None
    assert why in told
