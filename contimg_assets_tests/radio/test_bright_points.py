"""Bright points measured in the visibilities: found where they are, and nothing else taken for one."""

import numpy as np
import pytest
from numpy.typing import NDArray

from contimg_assets.radio.images.components import Points, join
from contimg_assets.radio.images.fits import RestoringBeam
from contimg_assets.radio.images.grid import ImageGrid
from contimg_assets.radio.imaging.bright_points import (
    fit_bright_points,
    fit_points,
    gather,
    merge,
)
from contimg_assets.radio.imaging.drift import Drift
from contimg_assets.simulation.presets import PRESETS, UNCORRUPTED
from contimg_assets_tests.radio.skies import START, around, drifting_points, observe, unflagged_drift

pytestmark = [
    pytest.mark.usefixtures("casa_data"),
    pytest.mark.filterwarnings("ignore:Recalculating uvw_array:UserWarning"),
]

ARCSEC = np.pi / 180 / 3600
DEMO = PRESETS["demo"]
#: About its restoring beam.
BEAM = RestoringBeam(90.0, 50.0, -75.0)
#: Its edge is 1.5° off the centre.
GRID = ImageGrid(1086, 10.0)
#: l and m, deg, and signal-to-noise ratio.
SKY = np.array([[0.1, 0.2, 3000.0], [-0.8, 0.5, 1500.0], [0.6, -0.9, 400.0], [1.0, 0.9, 200.0]])


@pytest.fixture(scope="module")
def drift(tmp_path_factory: pytest.TempPathFactory) -> Drift:
    """Geometry, beam and weights of a group of the demo's array."""
    folder = tmp_path_factory.mktemp("points")
    sources = around(START, 54.57, [(0.0, 0.0, 1.0)], DEMO)
    return unflagged_drift(observe(sources, 54.57, UNCORRUPTED, preset=DEMO), folder, "briggs", 3.0)


def _points(drift: Drift, sky: NDArray[np.float64]) -> Points:
    l, m = np.sin(np.deg2rad(sky[:, :2].T))
    return l, m, (sky[:, 2] * drift.weights.expected_noise_jy).astype(np.float32)


def _some(points: Points, which: slice) -> Points:
    return points[0][which], points[1][which], points[2][which]


def _wrong(points: Points, by_arcsec: float, by_part: float) -> Points:
    """As a catalogue has them: beside their places in turn, too bright and too faint."""
    l, m, flux = points
    signs = np.where(np.arange(len(l)) % 2, 1.0, -1.0)
    return (
        l + signs * by_arcsec * ARCSEC,
        m - signs * by_arcsec * ARCSEC,
        (flux * (1 + signs * by_part)).astype(np.float32),
    )


def _errors(drift: Drift, found: Points, true: Points) -> tuple[float, float]:
    """Largest error of flux density in noise, and of place in beams over signal-to-noise ratio."""
    noise = drift.weights.expected_noise_jy
    offsets = np.hypot(*BEAM.in_beams(found[0] - true[0], found[1] - true[1]).T)
    return float(np.abs(found[2] - true[2]).max() / noise), float((offsets * true[2]).max() / noise)


def test_points_are_found_at_their_places(drift: Drift) -> None:
    """From 4″ and 8 % off to less than the noise (the fit settles at one σ), on the beam's slope too.

    What is left is a thousandth of the brightest, where the beam is steepest.
    """
    true = _points(drift, SKY)
    visibilities = drifting_points(drift, true)
    fitted = fit_points(visibilities, drift, _wrong(true, 4.0, 0.08), BEAM, GRID)
    assert fitted.is_point.all()
    flux, place = _errors(drift, fitted.points, true)
    assert flux < 1.0
    assert place < 1.0
    assert np.abs(fitted.residuals).max() < 1e-3 * true[2].max()
    assert np.array_equal(visibilities, drifting_points(drift, true))


@pytest.mark.parametrize("kind", ["double", "nothing", "beyond the edge", "much fainter"])
def test_what_is_not_a_point_stays(drift: Drift, kind: str) -> None:
    """Two sources half a beam apart, none at all, one over the edge, one a third as bright.

    It stays in the visibilities as it was, and brighter ones are found all the same.
    """
    true = _points(drift, SKY)
    others, odd = _some(true, slice(3)), _some(true, slice(3, None))
    l, m, flux = first = odd
    if kind == "double":
        part_l, part_m = BEAM.from_beams(np.array([[0.25, 0.25], [-0.25, -0.25]]))
        first = l + part_l, m + part_m, np.repeat(flux / np.float32(2), 2)
    elif kind == "nothing":
        first = _some(odd, slice(0))
    elif kind == "beyond the edge":
        first = l + GRID.edge_rad - l + 5 * ARCSEC, m, flux
        odd = l + GRID.edge_rad - l - 1 * ARCSEC, m, flux
    else:
        first = l, m, flux / np.float32(3)
    alone = drifting_points(drift, first)
    both = alone + drifting_points(drift, others)
    fitted = fit_points(both, drift, join(others, odd), BEAM, GRID)
    assert fitted.is_point.tolist() == [True, True, True, False]
    # It is fitted along, so the others do not have its sidelobes but those of what is wrong in it.
    flux_error, _ = _errors(drift, fitted.points, others)
    allowed = 1.0 + 0.03 * float(first[2].sum()) / drift.weights.expected_noise_jy
    assert flux_error < allowed
    assert np.abs(fitted.residuals - alone).max() < 3 * allowed * drift.weights.expected_noise_jy


def test_a_bright_source_that_is_no_point_spoils_no_other(drift: Drift) -> None:
    """A double of 3000 σ, half a beam wide, among points of 400 σ and 1500 σ: those are right to 1 % of it.

    It is put back whole.
    """
    true = _points(drift, SKY)
    odd, others = _some(true, slice(1)), _some(true, slice(1, None))
    part_l, part_m = BEAM.from_beams(np.array([[0.25, 0.25], [-0.25, -0.25]]))
    double = odd[0] + part_l, odd[1] + part_m, np.repeat(odd[2] / np.float32(2), 2)
    alone = drifting_points(drift, double)
    fitted = fit_points(alone + drifting_points(drift, others), drift, join(odd, others), BEAM, GRID)
    assert fitted.is_point[:3].tolist() == [False, True, True]
    found = _some(others, slice(len(fitted.points[0])))
    assert _errors(drift, fitted.points, found)[0] < 0.01 * SKY[0, 2]
    missing = drifting_points(drift, _some(others, slice(len(fitted.points[0]), None)))
    assert np.std(fitted.residuals - alone - missing) < 0.01 * np.std(alone)


def test_one_that_varies_is_a_point(drift: Drift) -> None:
    """The brightest three times as bright as the catalogue has it: found, and the others with it."""
    true = _points(drift, SKY)
    l, m, flux = _wrong(true, 2.0, 0.0)
    flux[0] /= 3
    fitted = fit_points(drifting_points(drift, true), drift, (l, m, flux), BEAM, GRID)
    assert fitted.is_point.all()
    assert max(_errors(drift, fitted.points, true)) < 1.5


def test_sources_that_share_a_beam_begin_as_one() -> None:
    """By flux density and mean place; those apart stay apart, the brightest first."""
    along = BEAM.from_beams(np.array([[0.0, 0.0], [0.3, 0.0], [5.0, 5.0]]))
    l, m, flux = merge((*along, np.array([1.0, 2.0, 9.0], np.float32)), BEAM)
    assert flux.tolist() == [9.0, 3.0]
    assert BEAM.in_beams(l, m) == pytest.approx(np.array([[5.0, 5.0], [0.2, 0.0]]))


def test_components_of_one_source_become_one_point(drift: Drift) -> None:
    """Components on pixels around two places: the new source is fitted, the one known in part is not.

    Components that belong to no point are told.
    """
    true = _points(drift, SKY[:2])
    visibilities = drifting_points(drift, true)
    cell = 12 * ARCSEC
    l = np.concatenate(
        [true[0][0] + cell * np.array([0.3, -0.7]), true[0][1] + cell * np.array([0.5, -0.5]), [0]]
    )
    m = np.concatenate([np.repeat(true[1], 2), [0]])
    flux = np.concatenate([true[2][0] * np.array([0.66, 0.28]), true[2][1] * np.array([0.5, 0.45]), [0.0]])
    flux[-1] = 0.01 * true[2][1]
    found: Points = l, m, flux.astype(np.float32)
    left_jy = 0.05 * float(true[2][1])
    given = BEAM, GRID, left_jy, left_jy
    fitted, rest = fit_bright_points(visibilities, drift, found, join(), *given, may_wait=False)
    assert rest.tolist() == [False, False, False, False, True]
    assert max(_errors(drift, fitted.points, true)) < 1.0
    known = _some(true, slice(1, None))
    _, rest = fit_bright_points(visibilities, drift, found, join(), *given, may_wait=True)
    assert not rest.any()
    # Of the one that is left, more than may wait has been found; what is elsewhere waits.
    fitted, rest = fit_bright_points(visibilities, drift, found, known, *given, may_wait=True)
    assert rest.tolist() == [False, False, True, True, False]
    assert len(fitted.points[0]) == 1


def test_sources_are_gathered_by_what_is_near() -> None:
    """The brightest takes what is within one unit; what nothing bright is near to is no source."""
    places = np.array([[0.0, 0.0], [0.8, 0.0], [1.7, 0.0], [9.0, 9.0]])
    flux = np.array([2.0, 1.0, 0.5, 0.1], np.float32)
    sources = list(gather(places, flux, 0.2))
    assert [own.tolist() for own, *_ in sources] == [[True, True, False, False], [False, False, True, False]]
    assert [total for _, total, _ in sources] == pytest.approx([3.0, 0.5])
    assert sources[0][2] == pytest.approx([0.8 / 3, 0.0])


def test_offsets_in_beams_turn_as_the_beam_does() -> None:
    """A beam's major axis at position angle 90° lies east and west, along l; there and back is the same."""
    beam, four = RestoringBeam(4.0, 2.0, 90.0), np.array([4.0 * ARCSEC])
    assert beam.in_beams(four, 0 * four)[0] == pytest.approx([1.0, 0.0], abs=1e-12)
    assert np.abs(beam.in_beams(0 * four, four)[0]) == pytest.approx([0.0, 2.0], abs=1e-12)
    places = np.array([[0.3, -1.2], [2.0, 0.7]])
    assert BEAM.in_beams(*BEAM.from_beams(places)) == pytest.approx(places)
