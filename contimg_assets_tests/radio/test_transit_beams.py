"""Beams from a calibrator's transit, against dishes of the independent simulator."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contimg_assets.radio.beam import ASSUMED, Beam
from contimg_assets.radio.calibration.transit_beams import TransitBeams, transit_beams
from contimg_assets.radio.calibration.transit_gains import without_drift
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.simulation.independent.presets import PRESETS
from contimg_assets_tests.radio.transit_scans import calibrator, dishes, scan_shape, scan_sums

#: Antennas of the scans: errors go with the root of the number of others.
N = 30
GOOD = dishes(np.zeros(N), np.zeros(N), np.ones(N))


def offsets(seed: int, rms_deg: float) -> np.ndarray:
    """Of all dishes along one axis."""
    return rms_deg * np.random.default_rng(seed).standard_normal(N)


def measured(found: TransitBeams, name: str) -> np.ndarray:
    """A number of all dishes, in the order of antennas."""
    return np.array([getattr(dish, name) for dish in found.dishes.values()])


def test_a_wide_array_of_offset_dishes_is_recovered_from_one_transit() -> None:
    """Dishes 0.1° off on both axes, every beam 5 % wider: offsets to 0.01°, the width to 0.5 %.

    Errors that are told hold: with 30 dishes their normalised scatter is 1 ± 0.13.
    """
    shape, east = scan_shape(N), offsets(1, 0.1) + 0.03
    array = dishes(east, offsets(2, 0.1), np.full(N, 1.05))
    found = transit_beams(shape, scan_sums(shape, array, 3), calibrator())
    assert len(found.dishes) == N
    away = measured(found, "east_deg") - east
    assert np.std(away) < 0.005
    assert 0.6 < np.std(away / measured(found, "east_error_deg")) < 1.4
    assert found.array is not None
    assert found.array.width == pytest.approx(1.05, abs=0.005)
    assert found.array.east_deg == pytest.approx(east.mean(), abs=0.002)
    assert found.beam.width == found.array.width
    assert found.beam.east_deg == found.array.east_deg


def test_good_dishes_are_found_good_and_nothing_is_changed() -> None:
    """Offsets of zero within their errors; the beam that is used is exactly the assumed one."""
    shape = scan_shape(N)
    found = transit_beams(shape, scan_sums(shape, GOOD, 4), calibrator())
    pulls = measured(found, "east_deg") / measured(found, "east_error_deg")
    assert 0.6 < np.std(pulls) < 1.4
    assert np.abs(pulls).max() < 4.5
    assert found.beam == ASSUMED


def test_gains_that_walk_are_in_the_errors() -> None:
    """A walk of 3 % in half an hour looks like offsets of 0.015°, and the errors say so."""
    shape, east = scan_shape(N), offsets(5, 0.1)
    sums = scan_sums(shape, dishes(east, offsets(6, 0.1), np.ones(N)), 7, walk=0.03 / np.sqrt(140))
    found = transit_beams(shape, sums, calibrator())
    away = measured(found, "east_deg") - east
    errors = measured(found, "east_error_deg")
    assert np.median(errors) > 0.008
    assert 0.6 < np.std(away / errors) < 1.4
    assert found.beam.width == 1.0


def test_one_loud_dish_does_not_make_the_arrays_beam() -> None:
    """An antenna ten times as loud as the others counts as one; its offset is found like theirs."""
    shape, east = scan_shape(N), offsets(8, 0.02)
    east[3] = 0.5
    sums = scan_sums(
        shape, dishes(east, np.zeros(N), np.ones(N)), 9, loudness=np.where(np.arange(N) == 3, 10.0, 1.0)
    )
    found = transit_beams(shape, sums, calibrator())
    assert found.dishes["4"].east_deg == pytest.approx(0.5, abs=0.02)
    assert found.array is not None
    # A stray one is not in the mean.
    assert found.array.east_deg == pytest.approx(np.delete(east, 3).mean(), abs=0.003)


def test_feeds_that_look_apart_are_seen() -> None:
    """Feeds that squint by 0.04° east and west, on apertures with cabin, legs and taper."""
    shape = scan_shape(N)
    array = dishes(np.zeros(N), np.zeros(N), np.ones(N), PRESETS["real_beam"].beam)
    found = transit_beams(shape, scan_sums(shape, array, 10), calibrator())
    assert found.squint_deg == pytest.approx(0.04, abs=0.004)
    assert found.array is not None
    # Tapered: wider than a uniformly lit dish's.
    assert found.array.width > 1.03


def test_a_scan_that_is_too_short_tells_nothing() -> None:
    """With four integrations nothing is told, and the model's beam stays."""
    beam = Beam(width=1.02)
    shape = scan_shape(N, 4, beam)
    found = transit_beams(shape, scan_sums(shape, GOOD, 11), calibrator())
    assert not found.dishes
    assert found.array is None
    assert found.beam == beam


def gain_tables(folder: Path, shape: GroupShape, n_intervals: int) -> dict[str, Path]:
    """Tables of gains that are one everywhere."""
    from casacore.tables import makearrcoldesc, makescacoldesc, maketabdesc, table

    found = {}
    for kind, n_channels, n in (("BA", shape.n_channels, 1), ("GA", 1, n_intervals)):
        path = folder / f"{kind}.cal"
        columns = maketabdesc(
            [
                makearrcoldesc("CPARAM", 0j, ndim=2),
                makescacoldesc("ANTENNA1", 0),
                makescacoldesc("TIME", 0.0),
            ]
        )
        n_antennas = len(shape.antenna_names)
        with table(str(path), columns, nrow=n * n_antennas, ack=False) as rows:
            rows.putcol("CPARAM", np.ones((n * n_antennas, n_channels, 2), complex))
            rows.putcol("ANTENNA1", np.tile(np.arange(n_antennas), n))
            middles = [t.mean() for t in np.array_split(shape.times_jd, n)]
            rows.putcol("TIME", np.repeat((np.array(middles) - 2400000.5) * 86400, n_antennas))
        found[kind] = path
    return found


def amplitudes(path: Path) -> np.ndarray:
    """Of a table."""
    from casacore.tables import table

    with table(str(path), ack=False) as rows:
        return np.abs(rows.getcol("CPARAM"))


def test_gains_lose_what_the_models_beam_was_wrong_by(tmp_path: Path) -> None:
    """The bandpass falls by the mean of the wider voltage beam over the model's; else nothing changes."""
    shape, away = scan_shape(N), np.zeros(N)
    sums = scan_sums(shape, dishes(away, away, np.full(N, 1.05)), 12)
    tables = gain_tables(tmp_path, shape, 1)
    without_drift(shape, sums, calibrator(), TransitBeams({}, None, None, shape.beam), tables)
    assert (amplitudes(tables["BA"]) == 1).all()
    beams = TransitBeams({}, None, None, replace(shape.beam, width=1.05))
    without_drift(shape, sums, calibrator(), beams, tables)
    # What is seen over what the model says, of antennas that are all alike: the gain's square.
    truth = np.abs(sums.product[0, ..., 0]).mean(axis=0) / np.abs(sums.model[0, ..., 0]).mean(axis=0)
    gain = np.median(np.sqrt(truth / truth[0]) * amplitudes(tables["BA"])[0, :, 0], axis=0)
    assert gain == pytest.approx(1.0, abs=0.01)
    assert 0.995 < amplitudes(tables["BA"]).min() < amplitudes(tables["BA"]).max() < 0.9995


def test_gains_of_intervals_are_free_of_each_dishs_drift(tmp_path: Path) -> None:
    """A dish 0.3° to the east loses amplitude from one interval to the next; its gains do not."""
    shape, east = scan_shape(N), offsets(13, 0.1)
    east[0] = 0.3
    sums = scan_sums(shape, dishes(east, np.zeros(N), np.ones(N)), 14)
    beams = transit_beams(shape, sums, calibrator())
    halves = replace(sums, intervals=list(np.array_split(np.arange(shape.n_times), 2)))
    tables = gain_tables(tmp_path, shape, 2)
    without_drift(shape, halves, calibrator(), beams, tables)
    divided = amplitudes(tables["GA"])[:, 0, 0].reshape(2, N)
    # 2 ln 2 (θ/FWHM)² in the logarithm of the voltage: 0.3° off, the halves' means 0.62° apart.
    expected = 4 * np.log(2) * 0.3 * 0.62 / 2.71**2
    assert np.log(divided[1, 0] / divided[0, 0]) == pytest.approx(expected, rel=0.1)
    assert np.std(np.log(divided[1] / divided[0]) - expected * east / 0.3) < 0.003
