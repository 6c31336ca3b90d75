"""The model of a scan's sky: summed at few frequencies, it is what it is in every channel."""

from pathlib import Path

import numpy as np

from contimg_assets.radio import phasing, telescope
from contimg_assets.radio.measurement_set import GroupShape
from contimg_assets.radio.model_visibilities import SkyModel, visible_sources
from contimg_assets.radio.sky import Source
from contimg_assets_tests.radio.whole_models import model_visibilities

DECLINATION_RAD = np.deg2rad(16.27)
TIMES_JD = 2460827.9 + np.array([0.0, 150.0, 300.0]) / 86400


def shape_of(n_channels: int) -> GroupShape:
    """A group of stations near to one another and far, seen at three times."""
    stations = telescope.stations()
    ids = np.array([0, 1, 5, 17, 30, 50, 75, 100, 103, 110, 116], np.int32)
    one, two = (ids[pairs] for pairs in np.triu_indices(len(ids)))
    return GroupShape(
        path=Path("scan.ms"),
        times_jd=TIMES_JD,
        integration_s=12.884901888,
        antenna_1=one,
        antenna_2=two,
        antenna_names=tuple(str(n + 1) for n in range(len(stations.positions))),
        antenna_positions=stations.positions,
        frequencies_hz=np.linspace(1.3113e9, 1.3113e9 + (n_channels - 1) * 244140.625, n_channels),
        channel_width_hz=244140.625,
        n_polarisations=2,
        centre=phasing.meridian_centre(float(TIMES_JD[1]), DECLINATION_RAD),
        declination_rad=float(DECLINATION_RAD),
    )


def sources_around(shape: GroupShape) -> list[Source]:
    """Sources of 0.1 to 3 Jy as far as 2.6° from the centre."""
    random = np.random.default_rng(5)
    ra_deg, dec_deg = np.rad2deg(shape.centre)
    radius, angle = 2.6 * np.sqrt(random.uniform(0, 1, 40)), random.uniform(0, 2 * np.pi, 40)
    return [
        Source(
            f"S{n}",
            float(ra_deg + r * np.cos(a) / np.cos(DECLINATION_RAD)),
            float(dec_deg + r * np.sin(a)),
            float(f),
            -0.7,
        )
        for n, (r, a, f) in enumerate(zip(radius, angle, random.uniform(0.1, 3, 40), strict=True))
    ]


def test_few_frequencies_tell_all_channels() -> None:
    """Few sources are summed in every channel: so are many, some at a time, and all to 10⁻⁴ of the whole."""
    for n_channels in (768, 100):
        shape = shape_of(n_channels)
        sources = sources_around(shape)
        expected = sum(model_visibilities(shape, sources[k : k + 5]) for k in range(0, len(sources), 5))
        found = model_visibilities(shape, sources)
        assert found.shape == (3, shape.n_baselines, n_channels)
        assert any(part.stride > 1 for part in SkyModel.of(shape, sources).parts)
        whole = float(np.abs(found).max())
        assert np.abs(found - expected).max() < 1e-4 * whole
        assert np.sqrt(np.mean(np.abs(found - expected) ** 2)) < 1e-5 * whole


def test_fainter_sources_are_visible_in_part() -> None:
    """What is no part of a model may be followed all the same, down to a part of what a model takes."""
    shape = shape_of(48)
    (ra_deg, dec_deg) = np.rad2deg(shape.centre)
    faint = Source("faint", float(ra_deg), float(dec_deg), 0.016, 0.0)
    assert visible_sources(shape, [faint]) == []
    assert visible_sources(shape, [faint], 0.7) == [faint]
