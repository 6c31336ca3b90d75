"""The correlator's delays: read in either order of antennas, kept, and compared."""

from pathlib import Path

import numpy as np
import pytest

from contimg_assets.radio.applied_delays import Delays, changed_delays, read_delays
from contimg_assets.radio.uvh5 import read_header
from contimg_assets_tests.radio.subband_files import ORDER, contents, file_name, write

_NAME = "Header/extra_keywords/applied_delays_ns"


def _read(folder: Path, values: object) -> Delays | None:
    datasets = contents(0) | ({} if values is None else {_NAME: values})
    if values is None:
        datasets.pop(_NAME, None)
    return read_delays(read_header(write(folder / file_name(0), datasets)))


def test_rows_are_those_of_the_data_in_the_correlators_order_or_of_the_table(tmp_path: Path) -> None:
    """Antenna names are their numbers and one."""
    two = np.array([[10.0 * k, 10.0 * k + 1] for k in range(len(ORDER))])
    expected = {str(number + 1): [10.0 * k, 10.0 * k + 1] for k, number in enumerate(ORDER)}
    assert _read(tmp_path, two) == expected
    table = np.arange(117)
    assert (_read(tmp_path, table) or {})["102"] == [101.0]


@pytest.mark.parametrize(
    "values", [None, np.bytes_("1, 2"), np.zeros((5, 2)), np.full((len(ORDER), 2), np.nan)]
)
def test_what_is_not_one_number_an_antenna_says_nothing(tmp_path: Path, values: object) -> None:
    assert _read(tmp_path, values) is None


def test_only_what_changes_between_antennas_counts() -> None:
    then = {name: [float(k), 2.0 * k] for k, name in enumerate("abcde")}
    now = {name: [x + 7.0, y - 3.0] for name, (x, y) in then.items()}
    assert changed_delays(then, now) == []
    now["b"][1] += 0.05
    now["d"][1] += 0.2
    assert changed_delays(then, now) == ["d"]
    assert changed_delays(None, now) == changed_delays(then, None) == []
