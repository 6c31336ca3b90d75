"""``contimg simulate --independent`` as a person types it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from contimg_assets.cli.simulate import simulate
from contimg_assets.radio.uvh5 import read_header


def test_a_pair_with_its_truths_and_its_survey(tmp_path: Path) -> None:
    """A calibrator with nothing wrong, a target with its bad spans, both readable, and the sky as NVSS."""
    arguments = [str(tmp_path), "--independent", "--preset", "antennas", "--size", "tiny", "--json"]
    result = CliRunner().invoke(simulate, arguments)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    scan, target = (json.loads(Path(path).read_text()) for path in answer["truth"])
    assert scan["sources"][0]["name"] == "3C454.3"
    assert scan["bad_spans"] == []
    kinds = [span["kind"] for span in target["bad_spans"]]
    assert sorted(kinds) == sorted(["dead"] * 4 + ["zero", "jump", "jump", "deaf", "noisy", "swapped"])
    for truth in (scan, target):
        for name in truth["files"].values():
            assert read_header(tmp_path / name).group_key == truth["group"]
        # Names in the correlator's order, by which everything of the truth's antennas goes.
        assert len(truth["antennas"]) == len(truth["gains"]["amplitude"]) == 24
        faintest = min(s["mean_apparent_jy"] for s in truth["sources"])
        assert faintest > 0.8 * truth["options"]["sky"]["faintest_apparent_jy"]
    # One night: the same receivers.
    assert scan["gains"]["phase_rad"] == target["gains"]["phase_rad"]
    bright = [s for t in (scan, target) for s in t["sources"] if s["flux_jy"] >= 2.5e-3]
    assert len(Path(answer["catalogue"]).read_text().splitlines()) == len(bright)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "two_died"], "go with --independent"),
        (["--size", "tiny"], "go with --independent"),
        (["--independent", "--preset", "full"], "see --size"),
        (["--independent", "--dead-antenna", "3"], "--dead-antenna does not go with --independent"),
        (["--independent", "--source", "1,2,3"], "--source does not go with --independent"),
    ],
)
def test_options_of_the_two_simulators_do_not_mix(tmp_path: Path, arguments: list[str], message: str) -> None:
    """An option that would be ignored is refused, before anything is written."""
    result = CliRunner().invoke(simulate, [str(tmp_path / "out"), *arguments])
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "out").exists()
