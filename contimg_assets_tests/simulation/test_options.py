"""Each option of the independent simulator does what it says, and the truth says what was done."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import j1

from contimg_assets.simulation.independent import aperture, dishes, faults, gains, geometry, instrument, night
from contimg_assets.simulation.independent import sky as skies_of
from contimg_assets.simulation.independent.interference import cells
from contimg_assets.simulation.independent.options import (
    Aperture,
    AtmosphereOptions,
    BeamOptions,
    FaultOptions,
    GainOptions,
    Glitch,
    GlitchOptions,
    InterferenceOptions,
    Options,
    SkyOptions,
)
from contimg_assets.simulation.independent.presets import PRESETS
from contimg_assets_tests.simulation.skies import (
    DECLINATION_RAD,
    FEW,
    centre,
    perfect,
    scene,
    source_at,
    visibilities,
)

CENTRE = np.array([instrument.CENTRE_HZ])


# The beam


def test_an_open_uniform_aperture_is_airy() -> None:
    """Table and interpolation against 2 J₁(x)/x to 1e-7 of the axis, through the first sidelobes."""
    table = aperture.voltage_table(Aperture())
    for east, north in [(0.003, 0.0), (0.61, 0.2), (-1.219, 0.3), (1.5, -1.7), (0.0, 3.217)]:
        x = np.pi * np.hypot(east, north)
        assert abs(aperture.look_up(table, east, north) - 2 * j1(x) / x) < 1e-7
    assert np.isnan(aperture.look_up(table, 7.0, 0.0))


def test_shadows_and_taper_are_in_the_beam() -> None:
    """Cabin, legs and taper against the plain sum over a grid of the aperture.

    The grid has 600 points across, so its rims are wrong by 1e-3 of the area.
    """
    options = Aperture(blockage_m=0.8, leg_m=0.1, edge_taper_db=-10.0)
    table = aperture.voltage_table(options)
    axis = (np.arange(600) + 0.5) / 300 - 1
    x, y = np.meshgrid(axis, axis, indexing="ij")
    radius = np.hypot(x, y)
    field = np.where(radius < 1, 10**-0.5 + (1 - 10**-0.5) * (1 - radius**2), 0.0)
    across = np.minimum(np.abs(x - y), np.abs(x + y)) / np.sqrt(2)
    field[(radius < 0.8 / 4.65) | (across < 0.1 / 4.65)] = 0
    for east, north in [(0.5, 0.1), (0.9, 0.9), (1.6, 0.0), (0.3, -2.0)]:
        expected = (field * np.cos(np.pi * (east * x + north * y))).sum() / field.sum()
        assert abs(aperture.look_up(table, east, north) - expected) < 2e-3


def _looking(east_deg: float, north_deg: float) -> np.ndarray:
    """Direction at angles from the pointing, shape (1, 3)."""
    east, north, axis = geometry.pointing_axes(DECLINATION_RAD)
    found = axis + np.tan(np.deg2rad(east_deg)) * east + np.tan(np.deg2rad(north_deg)) * north
    return (found / np.linalg.norm(found))[None]


def test_dishes_point_where_the_truth_says() -> None:
    """Each dish's voltage is 1 at its own offset; the offsets have the rms of the option (200: to 5 %)."""
    drawn = dishes.draw_dishes(200, BeamOptions(pointing_rms_deg=0.5), 4)
    for index in (0, 7):
        towards = _looking(float(drawn.east_deg[index]), float(drawn.north_deg[index]))
        found = drawn.voltages(0, DECLINATION_RAD, towards, CENTRE)[:, 0, 0]
        assert found[index] == pytest.approx(1.0, abs=1e-8)
        assert np.argmax(found) == index
    assert np.hypot(drawn.east_deg.std(), drawn.north_deg.std()) == pytest.approx(0.5 * np.sqrt(2), rel=0.15)


def test_widths_and_feeds_stretch_the_beam() -> None:
    """A beam 5 % wider has at 1.05° what the plain one has at 1°; feeds stretch and squint oppositely."""
    plain = dishes.draw_dishes(3, BeamOptions(), 1).voltages(0, DECLINATION_RAD, _looking(1.0, 0.0), CENTRE)
    wide = dishes.draw_dishes(3, BeamOptions(width_factor=1.05), 1)
    sine = np.sin(np.deg2rad(1.0)) * 1.05
    found = wide.voltages(0, DECLINATION_RAD, _looking(np.rad2deg(np.arcsin(sine)), 0.0), CENTRE)
    assert found == pytest.approx(plain, abs=1e-9)
    stretched = dishes.draw_dishes(3, BeamOptions(feed_ellipticity=0.1), 1)
    x, y = (stretched.voltages(f, DECLINATION_RAD, _looking(1.0, 0.0), CENTRE)[0, 0, 0] for f in (0, 1))
    assert x > plain[0, 0, 0] > y
    squinting = dishes.draw_dishes(3, BeamOptions(feed_squint_deg=0.2), 1)
    x, y = (squinting.voltages(f, DECLINATION_RAD, _looking(0.1, 0.0), CENTRE)[0, 0, 0] for f in (0, 1))
    assert x == pytest.approx(1.0, abs=1e-8)
    assert y < 0.999


# The sky


def test_counts_are_the_surveys() -> None:
    """NVSS has 50 sources a square degree above 2.5 mJy and 17 above 10 mJy (Condon et al. 1998); a tenth."""
    for limit, density in ((2.5e-3, 50.0), (10e-3, 17.0)):
        assert skies_of.counts_per_deg2(limit, 1.0)[1][0] == pytest.approx(density, rel=0.15)


def test_a_field_has_the_counts_and_the_distances_that_were_asked_for() -> None:
    """Poisson numbers above a limit, a population below it, listed sources apart, indices scattered."""
    options = SkyOptions(
        faintest_apparent_jy=5e-3, separation_arcsec=60.0, spectral_scatter=0.25, extended_fraction=0.3
    )

    def power(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
        return np.ones_like(ra) * np.cos(dec * 0)

    field = skies_of.random_field((100.0, 16.0), options, 1e-3, power, 1)
    listed = [s for s in field if s.kind == "listed"]
    faint = [s for s in field if s.kind == "population"]
    area = np.pi * options.radius_deg**2
    flux, number = skies_of.counts_per_deg2(1e-3, 1.0)
    above = np.interp(5e-3, flux, number) * area
    # One in fifty is nearer than an arcminute to a brighter one and left out.
    assert abs(len(listed) - above) < 4 * np.sqrt(above) + 0.05 * above
    assert abs(len(faint) - (number[0] * area - above)) < 4 * np.sqrt(number[0] * area)
    assert min(s.flux_jy for s in listed) >= 5e-3 > max(s.flux_jy for s in faint)
    assert np.std([s.spectral_index for s in field]) == pytest.approx(0.25, rel=0.1)
    extended = [s for s in listed if s.shape != "point"]
    assert len(extended) / len(listed) == pytest.approx(0.3, abs=0.08)
    assert {s.shape for s in extended} == {"gaussian", "double"}
    assert all(s.shape == "point" for s in faint)


@pytest.mark.parametrize("shape", ["gaussian", "double"])
def test_extended_sources_have_their_visibility(shape: str) -> None:
    """On the axis: exp(−2π² (σ·b/λ)²) of a Gaussian, cos(π s·b/λ) of a double.

    The points follow a Gaussian to 1e-3; the north of date is turned by 0.1° from that of the ICRS, which
    turns the fringes of 25″ by 4e-3 rad on 2 km.
    """
    source = source_at(0.0, 0.0, shape=shape, major_arcsec=25.0, minor_arcsec=10.0, angle_deg=30.0)
    made = scene([source], perfect(smearing=False))
    found = visibilities([source], perfect(smearing=False))[1, :, 0, 0]
    point = visibilities([source_at(0.0, 0.0)], perfect(smearing=False))[1, :, 0, 0]
    baseline = made.array.nominal_m[made.two] - made.array.nominal_m[made.one]
    uv = geometry.uvw_at_meridian(baseline, DECLINATION_RAD)[:, :2]
    uv = uv * instrument.subband_hz(7, FEW.n_channels)[0] / instrument.LIGHT_M_S
    angle, arcsec = np.deg2rad(30.0), np.deg2rad(1 / 3600)
    along, across = (
        uv @ [np.sin(angle), np.cos(angle)] * arcsec,
        uv @ [np.cos(angle), -np.sin(angle)] * arcsec,
    )
    if shape == "double":
        expected = np.cos(np.pi * 25.0 * along)
    else:
        expected = np.exp(-((np.pi**2) * ((25.0 * along) ** 2 + (10.0 * across) ** 2)) / (4 * np.log(2)))
    assert expected.min() < 0.3
    assert np.abs(found / point - expected).max() < 5e-3


def test_a_polarised_calibrator_differs_between_feeds() -> None:
    """q = 0.07: X sees 1.07 of its flux density, Y 0.93; 3C286 has its Perley–Butler flux density."""
    source = skies_of.calibrator("3C286", 0.07)
    assert float(source.flux(1.4e9)) == pytest.approx(15.08, abs=0.01)
    data = visibilities([source_at(0.0, 0.0, polarisation=0.07)], perfect())
    assert data[..., 0].real == pytest.approx(1.07 / 0.93 * data[..., 1].real, rel=1e-5, abs=1e-6)


def test_a_transit_is_in_the_middle_of_its_group() -> None:
    """The calibrator is within a second of the meridian, after the time that was asked for."""
    from astropy.time import Time

    source = skies_of.calibrator("3C454.3")
    after = Time("2025-06-01T00:00:00", scale="utc")
    start = night.transit_start(source, after, 309.24)
    assert 0 < start.jd - after.jd < 1
    middle = start.jd + 309.24 / 2 / 86400
    angle = geometry.hour_angle(middle, *np.deg2rad([source.ra_deg, source.dec_deg]))
    assert abs(angle) / 7.29e-5 < 1.0


# Receivers and air


def test_gains_walk_on_from_group_to_group() -> None:
    """One path for all groups of a night; its rms after half an hour is the option's (800 values: 3 %)."""
    drawn = gains.draw_gains(400, GainOptions(walk_amplitude=0.03, walk_phase_deg=3.0), 5)
    later = drawn.walk(np.array([1800.0, 1812.9]))
    assert np.array_equal(later[:1], drawn.walk(np.array([1800.0])))
    assert np.abs(drawn.walk(np.zeros(1)) - 1).max() == 0
    assert np.log(np.abs(later[0])).std() == pytest.approx(0.03, rel=0.15)
    assert np.rad2deg(np.angle(later[0])).std() == pytest.approx(3.0, rel=0.15)


def test_gains_are_on_the_data() -> None:
    """A source's visibilities over a perfect instrument's are conj(g₁) g₂; autocorrelations |g|²."""
    options = perfect(gains=PRESETS["gains_walk"].gains)
    made = scene([source_at(0.2, 0.1)], options)
    found = visibilities([source_at(0.2, 0.1)], options) / visibilities([source_at(0.2, 0.1)], perfect())
    gain = made.receivers.bandpass(instrument.subband_hz(7, FEW.n_channels))[None] * made.walk[:, :, None]
    expected = np.conj(gain[:, made.one]) * gain[:, made.two]
    assert np.abs(found / expected - 1).max() < 1e-4


def test_changed_delays_turn_the_band() -> None:
    """After the change an antenna's phase is turned by −2πνΔ, and the file says so."""
    options = perfect(gains=GainOptions(n_delay_changes=2, delay_change_ns=5.0))
    made = scene([source_at(0.0, 0.0)], options, delays_changed=True)
    change = made.receivers.delay_change_ns
    assert np.count_nonzero(change[:, 0]) == 2
    after = visibilities([source_at(0.0, 0.0)], options, delays_changed=True)
    before = visibilities([source_at(0.0, 0.0)], options)
    frequency = instrument.subband_hz(7, FEW.n_channels)
    turned = -2e-9 * np.pi * frequency * (change[made.two, :1] - change[made.one, :1])
    assert np.abs(after[0, ..., 0] / before[0, ..., 0] - np.exp(1j * turned)).max() < 1e-5


def test_unequal_systems_have_unequal_noise() -> None:
    """Autocorrelations are the antenna's own SEFD, cross-correlations go with the root of the product."""
    options = Options(gains=GainOptions(sefd_scatter=0.7))
    size = instrument.Size(FEW.stations, 8, 48)
    made = scene([], options, size)
    data = visibilities([], options, size)[..., 0]
    factor = made.receivers.sefd_factor[:, 0]
    autos = made.one == made.two
    assert data[:, autos].real.mean(axis=(0, 2)) == pytest.approx(6500 * factor[made.one[autos]], rel=0.01)
    expected = instrument.noise_jy(48) * np.sqrt(factor[made.one] * factor[made.two])[~autos]
    # 384 samples a baseline: 3.6 %, and the largest of 21 of them.
    assert data[:, ~autos].real.std(axis=(0, 2)) == pytest.approx(expected, rel=0.15)


def test_the_ionosphere_shifts_the_sky_with_wavelength_squared() -> None:
    """A sky that is moved by the truth's shift times (1405 MHz / ν)² has the same phases."""
    options = perfect(atmosphere=AtmosphereOptions(ionosphere_arcsec=5.0), smearing=False)
    made = scene([source_at(0.0, 0.0)], options)
    for subband in (0, 15):
        found = visibilities([source_at(0.0, 0.0)], options, subband=subband)[1, :, 0, 0]
        nu = instrument.subband_hz(subband, FEW.n_channels)[0]
        east, north = made.shift_arcsec[1] * (1.405e9 / nu) ** 2 / 3600
        moved = visibilities([source_at(east, north)], perfect(smearing=False), subband=subband)[1, :, 0, 0]
        # The gradient lies in the horizontal plane, the sky at 21° from the zenith: north is foreshortened.
        baseline = made.array.nominal_m[made.two] - made.array.nominal_m[made.one]
        local = baseline @ geometry.LOCAL_AXES.T
        level = np.abs(local[:, 1]) < 0.2 * np.abs(local[:, 0])
        assert np.abs(np.angle(found / moved))[level].max() < 0.2
        assert (
            np.abs(
                np.angle(
                    found
                    / visibilities([source_at(0.0, 0.0)], perfect(smearing=False), subband=subband)[
                        1, :, 0, 0
                    ]
                )
            ).max()
            > 0.1
        )


def test_refraction_raises_the_sky_in_the_beam() -> None:
    """At elevation 69° by (n − 1) cot e = 22″, towards the zenith, which is north of the pointing."""
    up = geometry.LOCAL_AXES[2]
    axis = geometry.pointing_axes(DECLINATION_RAD)[2]
    raised = geometry.lifted(axis, 2.8e-4)
    expected = 2.8e-4 / np.tan(np.arcsin(axis @ up))
    assert np.arcsin(raised @ up) - np.arcsin(axis @ up) == pytest.approx(expected, rel=1e-3)
    assert raised @ geometry.pointing_axes(DECLINATION_RAD)[1] > 0
    source = [source_at(0.0, -1.2)]
    lower = visibilities(source, perfect())
    raised = visibilities(source, perfect(atmosphere=AtmosphereOptions(refractivity=2.8e-3 / 3)))
    assert np.abs(raised).mean() > np.abs(lower).mean()


def test_antennas_stand_elsewhere_than_the_files_say() -> None:
    """A source off the axis turns with the error, the file's positions and uvw stay nominal."""
    options = perfect(gains=GainOptions(position_error_m=0.02))
    made = scene([source_at(0.0, 0.0)], options)
    error = made.array.true_m - made.array.nominal_m
    assert np.abs(error).max() > 0.01
    found = visibilities([source_at(0.0, 0.0)], options)[1, :, 0, 0]
    right = visibilities([source_at(0.0, 0.0)], perfect())[1, :, 0, 0]
    ra, dec = np.deg2rad([[c] for c in centre()])
    where = geometry.directions(made.times_jd[1:2], np.zeros(1), ra, dec)[0, 0, 0]
    turn = (error[made.two] - error[made.one]) @ where
    turn = turn * 2 * np.pi * instrument.subband_hz(7, FEW.n_channels)[0] / instrument.LIGHT_M_S
    assert np.abs(found / right - np.exp(1j * turn)).max() < 1e-3


# Faults


def test_bad_spans_of_the_truth_are_in_the_data() -> None:
    """Each kind of fault, over its span and antenna and feed and nowhere else, without noise."""
    size = instrument.Size((1, 2, 4, 8, 13, 18, 24, 26, 69, 72, 76, 81, 102, 103), 12, 4)
    source = [source_at(0.3, 0.2)]
    options = perfect(faults=PRESETS["antennas"].faults)
    made = scene(source, options, size)
    assert len({f.antenna for f in made.faults}) == len(made.faults) == 10
    found, right = visibilities(source, options, size), visibilities(source, perfect(), size)
    good = [k for k, name in enumerate(made.names) if name not in {f.antenna for f in made.faults}]
    for fault in made.faults:
        antenna = made.names.index(fault.antenna)
        ratio = _with_good(made, found / right, antenna, good)
        inside = np.zeros((12, 2), bool)
        feeds = {"X": [0], "Y": [1], "both": [0, 1]}[fault.feed]
        inside[fault.first : fault.last + 1, feeds] = True
        assert np.abs(ratio[~inside] - 1).max(initial=0) < 1e-5, fault
        wanted = {"deaf": 0.2, "jump": 1.2, "noisy": 1.0}.get(fault.kind, 0.0)
        assert np.abs(np.abs(ratio[inside]) - wanted).max() < 1e-5, fault
        if fault.kind == "jump":
            assert np.abs(np.abs(np.angle(ratio[inside])) - np.deg2rad(40)).max() < 1e-4


def _with_good(made, data: np.ndarray, antenna: int, good: list[int]) -> np.ndarray:
    """Data of an antenna with good ones, shape (n_times, 2, …)."""
    chosen = (made.one == antenna) & np.isin(made.two, good) | (made.two == antenna) & np.isin(made.one, good)
    return np.moveaxis(data[:, chosen], 3, 1)


def test_a_noisy_and_a_dead_antenna_have_noise() -> None:
    """Three times the noise voltage; dead ones keep theirs, zeros have none."""
    options = Options(faults=FaultOptions(n_noisy=1, n_dead=1, n_dropped=1))
    size = instrument.Size(FEW.stations, 12, 48)
    made = scene([], options, size)
    data = visibilities([], options, size)
    good = [k for k, name in enumerate(made.names) if name not in {f.antenna for f in made.faults}]
    for fault in made.faults:
        rows = _with_good(made, data, made.names.index(fault.antenna), good)[fault.first : fault.last + 1]
        expected = {"noisy": 3.0, "dead": 1.0, "zero": 0.0}[fault.kind] * instrument.noise_jy(48)
        assert np.real(rows).std() == pytest.approx(expected, rel=0.1)


def test_more_faults_than_antennas_are_refused() -> None:
    """Eight faults of seven antennas, and a fault of an antenna that is not there."""
    rng = np.random.default_rng(1)
    with pytest.raises(ValueError, match="8 faults, but 7 antennas"):
        faults.draw_faults(FaultOptions(n_dead=8), list("1234567"), 4, rng)
    explicit = FaultOptions.model_validate({"explicit": [{"antenna": "99", "kind": "dead"}]})
    with pytest.raises(ValueError, match="no antenna is named 99"):
        faults.draw_faults(explicit, list("1234567"), 4, rng)


# Interference


def test_interference_is_in_its_boxes_and_nowhere_else() -> None:
    """Without sky and noise, what is not zero is what the truth's boxes and antennas say."""
    options = perfect(interference=PRESETS["interference"].interference)
    size = instrument.Size(instrument.SIZES["tiny"].stations, 6, 4)
    made = scene([], options, size)
    kinds = {e.kind: e for e in made.emitters}
    assert set(kinds) == {"carrier", "local", "arm", "drifting", "burst", "spark"}
    assert 3 <= np.count_nonzero(kinds["local"].response) <= 6
    arm = made.antennas[kinds["arm"].response != 0] + 1
    assert arm.max() <= 51 or (arm.min() > 51 and arm.max() <= 102)
    lows = [b[2] for b in kinds["drifting"].boxes]
    assert abs(lows[-1] - lows[0]) == 64 // 8
    for subband in (2, 9):
        there = visibilities([], options, size, subband) != 0
        band = np.sort(np.concatenate([instrument.subband_hz(k, 4) for k in range(16)]))
        channels = np.searchsorted(band, instrument.subband_hz(subband, 4) - 1.0)
        expected = np.zeros_like(there)
        for emitter in made.emitters:
            both = (emitter.response[made.one] != 0) & (emitter.response[made.two] != 0)
            for t in range(6):
                expected[t] |= (both[:, None] & cells(emitter, t, channels))[..., None]
        assert np.array_equal(there, expected)


# The correlator


def _glitched(kind: str, **fields: int) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    def run() -> tuple[np.ndarray, np.ndarray]:
        glitch = Glitch.model_validate({"kind": kind, "subband": 7, **fields})
        options = Options(glitches=GlitchOptions(explicit=(glitch,)))
        return visibilities([], options), visibilities([], Options())

    return run


def test_glitches_do_what_they_are_called() -> None:
    """Shifted by one integration, zero, stuck on the first, clipped, NaN: in their span only."""
    found, right = _glitched("shifted")()
    assert np.array_equal(found[1:], right[:-1])
    found, right = _glitched("zeroed", first=1, last=2)()
    assert not found[1:3].any()
    assert np.array_equal(found[[0, 3]], right[[0, 3]])
    found, right = _glitched("stuck", first=1)()
    assert all(np.array_equal(found[t], right[1]) for t in (1, 2, 3))
    found, right = _glitched("saturated", first=2, last=2)()
    assert np.array_equal(found[[0, 1, 3]], right[[0, 1, 3]])
    cross = np.arange(found.shape[1])[np.abs(right[0, :, 0, 0]) < 1000]
    assert np.abs(found[2, cross].real).max() == pytest.approx(2 * instrument.noise_jy(4), rel=0.3)
    found, right = _glitched("nan", first=3)()
    assert np.isnan(found[3]).all()
    assert np.array_equal(found[:3], right[:3])


def test_halved_integrations_have_more_noise_and_say_so() -> None:
    """48 of 96 samples: √2 times the noise (336 samples: to 6 %)."""
    from contimg_assets.simulation.independent import group

    glitch = Glitch(kind="partial", subband=7, first=1, last=1)
    size = instrument.Size(FEW.stations, 4, 48)
    made = scene([], Options(glitches=GlitchOptions(explicit=(glitch,))), size)
    data, samples = group.simulate_subband(made, 7)
    assert samples.tolist() == [96, 48, 96, 96]
    cross = made.one != made.two
    assert data[1, cross].real.std() / data[2, cross].real.std() == pytest.approx(np.sqrt(2), rel=0.12)


def test_drawn_glitches_are_in_different_subbands_that_exist() -> None:
    """The presets' glitches lie one a subband; NaN at the end is in all that are written."""
    made = scene([], PRESETS["glitches"])
    assert len({g.subband for g in made.glitches}) == len(made.glitches) == 5
    ended = scene([], Options(glitches=GlitchOptions(nan_integrations=2, missing_subbands=(3,))))
    assert [g.subband for g in ended.glitches] == [k for k in range(16) if k != 3]
    assert {(g.first, g.last) for g in ended.glitches} == {(2, 3)}


def test_options_that_do_not_exist_are_refused() -> None:
    """A misspelt option is an error, not a night without it."""
    with pytest.raises(ValueError, match="n_carrier"):
        InterferenceOptions.model_validate({"n_carrier": 1})
