"""The code location loads without CASA, and every node of the graph is described."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from dagster import (
    AllPartitionMapping,
    AssetKey,
    AssetSpec,
    DefaultScheduleStatus,
    IdentityPartitionMapping,
    ScheduleDefinition,
)
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from contimg_assets.definitions import build_defs
from contimg_assets.radio.limits import load_limits

REPOSITORY = Path(__file__).parent.parent.parent
FORBIDDEN = ("casatools", "casatasks", "casacore", "pyuvdata", "casampi", "matplotlib")


@pytest.fixture(scope="module")
def graph() -> AssetGraph:
    return build_defs().resolve_asset_graph()


@pytest.fixture(scope="module")
def specs() -> list[AssetSpec]:
    return list(build_defs().resolve_all_asset_specs())


def test_loading_imports_no_casa_and_leaves_nothing_in_the_folder(tmp_path: Path) -> None:
    program = (
        "import sys, contimg_assets.definitions, contimg_assets.cli.operations\n"
        f"print(sorted(set({FORBIDDEN!r}) & {{name.split('.')[0] for name in sys.modules}}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_ours_warns_while_the_graph_is_built() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        build_defs().resolve_all_job_defs()
    # Dagster's own use of pydantic is not ours to mend.
    assert [str(w.message) for w in caught if "pydantic" not in w.category.__module__] == []


def test_the_graph_is_small_and_every_node_is_described(specs: list[AssetSpec]) -> None:
    assert len(specs) <= 15
    for spec in specs:
        assert spec.description, spec.key
        assert spec.kinds, spec.key
        assert list(spec.owners) == ["team:imaging"], spec.key
        groups = ("ingest", "calibration", "imaging", "quality", "photometry", "survey")
        assert spec.group_name in groups, spec.key


def test_the_graph_is_the_one_that_was_drawn(specs: list[AssetSpec]) -> None:
    edges = {
        (dep.asset_key.to_user_string(), spec.key.to_user_string()) for spec in specs for dep in spec.deps
    }
    assert edges == {
        ("uvh5_subbands", "measurement_set"),
        ("measurement_set", "measurement_set_qa"),
        ("measurement_set", "flags"),
        ("measurement_set", "calibration_tables"),
        ("flags", "calibration_tables"),
        ("calibration_tables", "calibration_qa"),
        ("measurement_set", "calibrated_ms"),
        ("flags", "calibrated_ms"),
        ("calibration_tables", "calibrated_ms"),
        ("measurement_set_qa", "calibrated_ms"),
        ("calibrated_ms", "image"),
        ("measurement_set", "image"),
        ("flags", "image"),
        ("image", "image_qa"),
        ("image", "photometry"),
        ("image_qa", "photometry"),
        ("image_qa", "night_report"),
        ("photometry", "flux_scale"),
        ("photometry", "light_curves"),
        ("flux_scale", "variability"),
        ("light_curves", "variability"),
        ("variability", "ese_candidates"),
        ("flux_scale", "ese_candidates"),
    }


def test_partitions_of_scans_and_groups_are_mapped_by_identity_and_lineage_to_all(graph: AssetGraph) -> None:
    def mapping(node: str, parent: str) -> object:
        return graph.get_partition_mapping(AssetKey(node), AssetKey(parent))

    assert isinstance(mapping("calibration_tables", "measurement_set"), IdentityPartitionMapping)
    assert isinstance(mapping("calibration_tables", "flags"), IdentityPartitionMapping)
    assert isinstance(mapping("calibrated_ms", "calibration_tables"), AllPartitionMapping)


def test_every_limit_has_its_check_partitioned_like_its_asset_and_blocking(graph: AssetGraph) -> None:
    found = {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys}
    assert found == {
        (product, metric) for product, metrics in load_limits().limits.items() for metric in metrics
    }
    for key in graph.asset_check_keys:
        node = graph.get(key)
        assert node.partitions_def == graph.get(key.asset_key).partitions_def
        assert node.blocking


def test_what_was_superseded_goes_every_hour_by_itself() -> None:
    schedule = next(iter(build_defs().schedules or ()))
    assert isinstance(schedule, ScheduleDefinition)
    assert schedule.job_name == "retention_job"
    assert schedule.default_status == DefaultScheduleStatus.RUNNING


def test_every_stage_that_loads_casa_waits_for_a_slot_of_its_memory_class(graph: AssetGraph) -> None:
    pools = {
        name: graph.get(AssetKey(name)).pools
        for name in ("measurement_set", "calibration_tables", "calibrated_ms", "image")
    }
    assert pools == {
        "measurement_set": {"conversion"},
        "calibration_tables": {"calibration"},
        "calibrated_ms": {"calibration"},
        "image": {"imaging"},
    }
