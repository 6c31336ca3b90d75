"""A group's key, from every way in which people and files write it."""

import pytest

from contimg_assets.radio.group_key import parse_key, slug

KEY = "2025-06-01T12:00:00"


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        "20250601T120000",
        "2025-06-01T120000",
        "2025-06-01 12:00:00",
        "2025-06-01T12:00:00Z",
        "2025-06-01T12:00:00_sb00.hdf5",
        "2025-06-01T12:00:00_sb",
        "/data/incoming/2025-06-01T12:00:00_sb15.hdf5",
        "/home/products/20250601T120000/",
        "20250601T120000.pbcor.fits",
    ],
)
def test_it_is_the_same_group(text: str) -> None:
    assert parse_key(text) == KEY
    assert parse_key(slug(KEY)) == KEY


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2025-06-01", "2025-06-31T12:00:00", "2025-06-01T25:00:00", KEY + "0", "x" + KEY],
)
def test_it_is_no_group(text: str) -> None:
    with pytest.raises(ValueError, match="expected a group, such as"):
        parse_key(text)
