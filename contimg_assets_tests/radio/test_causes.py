"""Good numbers have no cause; each kind of trouble is called by its name, and nothing else is."""

from typing import Any

import pytest

from contimg_assets.radio.limits import judge, load_limits
from contimg_assets.radio.quality.causes import likely_causes


def test_bright_sources_that_are_no_points_are_phases_that_moved() -> None:
    """As measured with an ionosphere that moved by 3.6″ in five minutes; and nothing of good measurements."""
    assert likely_causes("photometry", {"chi_squared_median": 1.2}) == ()
    (found,) = likely_causes("photometry", {"chi_squared_median": 3.3})
    assert "ionosphere" in found
    assert likely_causes("photometry", {"chi_squared_median": 1.2, "flux_ratio_deviation": 0.2}) == ()


def good() -> dict[str, Any]:
    """Numbers of an image without a fault."""
    found = {
        name: limit.ideal
        if limit.ideal is not None
        else 0.0
        if limit.direction == "above"
        else 2 * limit.soft
        for name, limit in load_limits().limits["image_qa"].items()
    }
    return found | {"noise_excess_edge": 1.0, "strong_sun_jy": 150.0}


@pytest.mark.parametrize(
    ("numbers", "words", "not_there"),
    [
        (
            # Dishes 0.05° apart, as measured.
            {"noise_excess": 1.12, "noise_excess_centre": 1.26, "noise_excess_edge": 1.07}
            | {"strong_sun_jy": 0.0},
            ["dishes that point elsewhere", "follows the beam"],
            ["interference", "Sun"],
        ),
        (
            {"noise_excess": 1.5, "noise_excess_centre": 1.5, "noise_excess_edge": 1.5, "flag_fraction": 0.3}
            | {"short_spacing_excess": 2.0},
            ["interference or missing subbands (30% is flagged)", "the Sun (about 150 Jy"],
            ["point elsewhere"],
        ),
        (
            {"noise_excess": 1.5, "noise_excess_centre": 1.5, "noise_excess_edge": 1.5, "strong_sun_jy": 0.0}
            | {"bad_antenna_fraction": 0.05},
            ["bad antennas (5% of them, 10% of the data)"],
            ["Sun"],
        ),
        ({"flag_fraction": 0.43}, ["(43% is flagged)"], ["bad antennas", "Sun"]),
        # As measured with ten bad antennas of 24: what is flagged is theirs.
        (
            {"flag_fraction": 0.44, "bad_antenna_fraction": 0.243},
            ["bad antennas (24% of them, 43% of the data)"],
            ["interference", "Sun"],
        ),
        # As measured with two missing subbands, bursts, and four bad antennas of 24.
        (
            {"flag_fraction": 0.43, "bad_antenna_fraction": 0.09},
            ["interference or missing subbands (31% of what bad antennas leave is flagged); bad antennas"],
            ["Sun"],
        ),
        ({"flux_ratio": 0.95, "flux_ratio_excess": 0.04}, ["calibrator's own"], ["beam", "Sun", "vary"]),
        ({"flux_ratio_excess": 0.04, "calibrator_may_vary": 1.0}, ["it may vary"], ["beam"]),
        # As measured with interference that was not flagged whole; the Sun was up.
        ({"stripe_fraction": 0.07, "flag_fraction": 0.34}, ["interference"], ["Sun", "point elsewhere"]),
        # As measured with one subband shifted by an integration, and one clipped for a time.
        (
            {"stripe_fraction": 0.118, "flux_ratio_excess": 0.033, "short_spacing_excess": 0.03},
            ["a subband whose data are wrong", "data that are wrong"],
            ["Sun", "point elsewhere"],
        ),
        # What was late is left out: the image is good.
        ({"n_wrong_subbands": 1.0}, ["1 of the subbands late or of another sky"], ["Sun", "wrong"]),
        ({"noise_excess": 1.5, "strong_casa_jy": 30.0}, ["Cas A (about 30 Jy"], ["Sun"]),
        (
            {"flux_ratio_trend_excess": 0.06, "flux_ratio_excess": 0.04},
            ["beam of another width"],
            ["own flux"],
        ),
        ({"short_spacing_excess": 40.0}, ["the Sun"], ["beam"]),
        ({"short_spacing_excess": 40.0, "strong_sun_jy": 0.0}, ["extended emission"], ["Sun"]),
        ({"gain_common_change": 0.08}, ["all antennas' power"], ["Sun"]),
        ({"system_noise_ratio": 1.6}, ["receivers noisier"], ["Sun"]),
        ({"astrometric_offset_arcsec": 3.0}, ["ionosphere"], ["beam"]),
    ],
)
def test_trouble_has_a_name(numbers: dict[str, Any], words: list[str], not_there: list[str]) -> None:
    told = "; ".join(likely_causes("image_qa", good() | numbers))
    assert all(word in told for word in words)
    assert not any(word in told for word in not_there)


def test_a_good_image_has_no_cause_by_day_either() -> None:
    """The Sun stands in the sky every day: its place alone is no fault."""
    assert {found.status for found in judge("image_qa", good())} == {"PASS"}
    assert likely_causes("image_qa", good()) == ()
    assert likely_causes("measurement_set_qa", {}) == likely_causes("photometry", {}) == ()


def test_data_that_came_bad_have_a_cause() -> None:
    """As measured where the last two of six integrations are NaN."""
    numbers = {"flagged_fraction": 0.333, "zero_fraction": 0.0, "n_dead_antennas": 0}
    (told,) = likely_causes("measurement_set_qa", numbers)
    assert "33% of the data: NaN" in told
    told = "; ".join(
        likely_causes("measurement_set_qa", numbers | {"n_dead_antennas": 12, "zero_fraction": 0.1})
    )
    assert "12 antennas without power" in told
    assert "wrote nothing" in told
