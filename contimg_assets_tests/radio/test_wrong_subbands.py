"""A subband that sees another sky than its neighbours is found, whatever the sky; nothing else is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from casacore.tables import table
from scipy.constants import c as SPEED_OF_LIGHT

from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.caltables.jones import Jones
from contimg_assets.radio.conversion.convert import convert
from contimg_assets.radio.corrections.wrong_subbands import WrongSubband, wrong_subbands
from contimg_assets.radio.flagging.flag import flag
from contimg_assets.radio.flagging.flag_file import read_flags
from contimg_assets.radio.flagging.options import FlaggingOptions
from contimg_assets.radio.flagging.subband_means import SubbandMeans, read_means
from contimg_assets.radio.measurement_set import GroupShape, read_shape
from contimg_assets.simulation.independent import group, instrument
from contimg_assets.simulation.independent.options import Glitch, GlitchOptions, Options
from contimg_assets.simulation.independent.scene import Observation
from contimg_assets.simulation.independent.sky import Source
from contimg_assets_tests.simulation.skies import DECLINATION_RAD, START, centre

pytestmark = pytest.mark.usefixtures("casa_data")

#: Of the arm from east to west, 6 to 150 m apart.
SIZE = instrument.Size(tuple(range(1, 27)), 6, 2)


def _sky(jy: float) -> list[Source]:
    """Thirty sources within 1.2° of the pointing, the brightest of so many Jy."""
    rng = np.random.default_rng(5)
    ra, dec = centre(SIZE)
    east, north = rng.uniform(-0.85, 0.85, (2, 30))
    flux = jy / np.arange(1, 31)
    return [Source(f"S{k}", ra + east[k], dec + north[k], float(flux[k]), -0.7) for k in range(30)]


@pytest.fixture(scope="module")
def glitched(tmp_path_factory: pytest.TempPathFactory) -> tuple[GroupShape, Path]:
    """Files of the independent simulator, one subband late; converted and flagged."""
    folder = tmp_path_factory.mktemp("glitched")
    late = GlitchOptions(explicit=(Glitch(kind="shifted", subband=4),), missing_subbands=(9,))
    options = Options(glitches=late)
    group.simulate(Observation(SIZE, START, DECLINATION_RAD, _sky(3.0), options), folder / "in")
    convert(sorted((folder / "in").glob("*.hdf5")), folder / "group.ms")
    flag(folder / "group.ms", folder / "flags", FlaggingOptions())
    return read_shape(folder / "group.ms"), folder / "flags"


def _unity(shape: GroupShape) -> Jones:
    """Solutions of a perfect instrument."""
    ones = np.ones((1, len(shape.antenna_names), shape.n_channels, 2), np.complex64)
    which = np.zeros(shape.n_times, np.int64)
    return Jones(ones, which, shape.antenna_1, shape.antenna_2, np.array([(0, 0), (1, 1)]))


def _means(flags: Path) -> SubbandMeans:
    found = read_means(flags)
    assert found is not None
    return found


def test_a_subband_that_is_an_integration_late_is_found(glitched: tuple[GroupShape, Path]) -> None:
    """By name and lag, in files that share no code with the pipeline; a missing subband is not wrong."""
    shape, flags = glitched
    found = wrong_subbands(shape, _means(flags), _unity(shape))
    assert [(one.subband, one.late_by) for one in found] == [(4, 1)]
    assert found[0].sigma > 20
    assert found[0].reason.startswith("sb04 is 1 integration late (")


def test_means_are_those_of_the_data_that_are_left(glitched: tuple[GroupShape, Path]) -> None:
    """Held against the Measurement Set and its flags, sample by sample; of what is missing there is none."""
    shape, folder = glitched
    means, flags = _means(folder), read_flags(folder, shape.data_shape)
    with table(str(shape.path), ack=False) as main:
        data = main.getcol("DATA").reshape(shape.data_shape)
    shown = (slice(None), means.baselines)
    parts = (shape.n_times, len(means.baselines), telescope.N_SUBBANDS, -1, 2)
    good = (~flags[shown]).reshape(parts)
    sums = np.where(good, data[shown].reshape(parts), 0).sum(axis=3)
    assert np.allclose(means.values, sums / np.maximum(good.sum(axis=3), 1), atol=1e-4)
    assert not means.values[:, :, 15 - 9].any()
    assert np.count_nonzero(means.values) > 0.9 * means.values.size


def test_means_come_together_by_slabs(glitched: tuple[GroupShape, Path]) -> None:
    """Of any number of baselines, of which none may be chosen."""
    shape, folder = glitched
    flags = read_flags(folder, shape.data_shape)
    with table(str(shape.path), ack=False) as main:
        data = main.getcol("DATA").reshape(shape.data_shape)
    again, step = SubbandMeans.of(shape), 7
    parts = [slice(k, min(k + step, shape.n_baselines)) for k in range(0, shape.n_baselines, step)]
    assert any(not np.isin(range(part.start, part.stop), again.baselines).any() for part in parts)
    for part in parts:
        again.add(part, data[:, part], flags[:, part])
    again.drop(flags)
    assert np.allclose(again.values, _means(folder).values, atol=1e-4)


def test_flags_of_before_have_no_means(tmp_path: Path) -> None:
    """Nothing is said of their subbands."""
    assert read_means(tmp_path) is None


@pytest.mark.parametrize(("seed", "part"), [(1, 1.0), (2, 0.3), (3, 0.1)])
def test_good_subbands_are_left_alone(glitched: tuple[GroupShape, Path], seed: int, part: float) -> None:
    """With the whole sky, or less of it beside the noise; another subband stands for the late one."""
    shape, flags = glitched
    means = _means(flags)
    values = means.values.copy()
    values[:, :, 15 - 4] = values[:, :, 15 - 5]
    there = values != 0
    noise = np.random.default_rng(seed).standard_normal((*values.shape, 2)).astype(np.float32)
    values = part * values + (1 - part) * noise.view(np.complex64)[..., 0]
    assert wrong_subbands(shape, replace(means, values=np.where(there, values, 0)), _unity(shape)) == []


def test_a_subband_of_another_sky_is_found_and_noise_alone_tells_nothing(
    glitched: tuple[GroupShape, Path],
) -> None:
    """Baselines in disorder: it fits at no lag.  Without a sky none is called wrong."""
    shape, flags = glitched
    means = _means(flags)
    values = means.values.copy()
    values[:, :, 2] = values[:, ::-1, 2]
    found = wrong_subbands(shape, replace(means, values=values), _unity(shape))
    assert sorted((one.subband, one.late_by) for one in found if one.subband != 4) == [(13, None)]
    noise = np.random.default_rng(1).standard_normal((*values.shape, 2)).astype(np.float32)
    empty = replace(means, values=noise.view(np.complex64)[..., 0])
    assert wrong_subbands(shape, empty, _unity(shape)) == []


def _late(shape: GroupShape, means: SubbandMeans, place: int, lag: int) -> SubbandMeans:
    """The same with a subband that is late: data of another time, phased for what the files tell."""
    positions = phasing.to_meridian_frame(shape.antenna_positions)
    one, two = shape.antenna_1[means.baselines], shape.antenna_2[means.baselines]
    w = np.einsum("ti,bi->tb", shape.axes()[:, 2], positions[two] - positions[one])
    waves = shape.frequencies_hz.reshape(16, -1).mean(axis=1)[place] / SPEED_OF_LIGHT
    raw = means.values[:, :, place] * np.exp(2j * np.pi * waves * w)[..., None]
    shifted = np.roll(raw, lag, axis=0) * np.exp(-2j * np.pi * waves * w)[..., None]
    shifted[slice(0, lag) if lag > 0 else slice(lag, None)] = 0
    values = means.values.copy()
    values[:, :, place] = shifted
    return replace(means, values=values)


@pytest.mark.parametrize(
    ("places", "lag"), [((0, 1), 1), ((7, 8, 9), 1), ((14, 15), -1), ((2, 9), -1), ((3,), 2), ((10,), 1)]
)
def test_late_subbands_are_found_side_by_side(
    glitched: tuple[GroupShape, Path], places: tuple[int, ...], lag: int
) -> None:
    """At the band's ends, three in a row, beside the one that the files have; and none beside them."""
    shape, flags = glitched
    means = _means(flags)
    for place in places:
        means = _late(shape, means, place, lag)
    found = {15 - one.subband: one.late_by for one in wrong_subbands(shape, means, _unity(shape))}
    assert found == {11: 1} | dict.fromkeys(places, lag)


def test_what_is_told() -> None:
    """Words, and channels: subband 0 is the highest in frequency."""
    late, early = WrongSubband(2, 1, 0.1, 40.0), WrongSubband(15, -2, 0.1, 12.4)
    assert early.reason == "sb15 is 2 integrations early (12 sigma)"
    assert WrongSubband(2, None, 0.1, 40.0).reason.startswith("sb02 sees another sky")
    assert (late.channels(768), early.channels(768)) == (slice(624, 672), slice(0, 48))
    assert late.told()["reason"] == late.reason
