"""Paths name groups and sets, whatever they look like; none is opened."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contimg_assets.radio.group_key import KEY_FORMAT, slug
from contimg_assets.web.api.identify import group_of, table_of
from contimg_assets.web.problems import ProblemError

KEYS = st.datetimes().map(lambda at: at.replace(year=2000 + at.year % 100).strftime(KEY_FORMAT))
FOLDERS = st.lists(st.sampled_from(["..", ".", "", "data", "a b", "x.ms", "20240101"]), max_size=4)


@given(KEYS, FOLDERS, st.sampled_from(["", ".ms", "_cal.ms", ".hdf5"]), st.booleans(), st.booleans())
def test_the_last_part_names_the_group(
    key: str, folders: list[str], ending: str, as_key: bool, absolute: bool
) -> None:
    path = "/".join([*folders, (key if as_key else slug(key)) + ending])
    assert group_of(("/" if absolute else "") + path) == key
    assert group_of(path + "/") == key


@given(KEYS, st.sampled_from(["measurement_set", "calibrated_ms", "image", "image_qa"]))
def test_and_the_part_above_a_products(key: str, product: str) -> None:
    assert group_of(f"/home/products/{slug(key)}/{product}") == key


@given(st.text())
def test_whatever_is_sent_it_is_a_key_or_told(text: str) -> None:
    for read in (group_of, table_of):
        with suppress(ProblemError):
            read(text)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("", 404),
        ("/", 404),
        ("../..", 404),
        ("20260115T030000/x.ms", 404),
        ("20261315T030000.ms", 404),
        ("120260115T030000.ms", 404),
        ("20260115T030000-20260115T050000.ms", 422),
    ],
)
def test_what_names_none_or_several(path: str, status: int) -> None:
    with pytest.raises(ProblemError) as told:
        group_of(path)
    assert told.value.status == status


def test_sets_and_tables() -> None:
    whole = table_of("20260115T050000-0123abcd")
    assert (whole.set_id, whole.file) == ("20260115T050000-0123abcd", None)
    table = table_of("/x/calibration/20260115T050000-0123abcd/B.cal")
    assert (table.set_id, table.file) == ("20260115T050000-0123abcd", "B.cal")
    with pytest.raises(ProblemError):
        table_of("20260115T050000-0123abcd/20260115T050000-ffffffff")
