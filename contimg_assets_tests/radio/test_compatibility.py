"""Each table is held against a group by what it holds itself: declination, band, antennas, time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contimg_assets.radio import phasing
from contimg_assets.radio.calibration.compatibility import (
    Coverage,
    findings,
    misfits,
    refuse_misfits,
    table_coverage,
    validate,
)
from contimg_assets.radio.calibration.options import CalibrationOptions
from contimg_assets.radio.errors import CalibrationError

REACH = CalibrationOptions()
MID, DEC_DEG = 60827.588, 16.27
LOW, HIGH = 1312.73e6, 1497.3e6
NAMES = [str(n) for n in range(1, 11)]
NEED = Coverage(MID + 2 / 24, DEC_DEG, LOW, HIGH, frozenset(NAMES[:8]))


def write_table(
    path: Path,
    *,
    channels: int = 64,
    solved: int = 10,
    mid_mjd: float = MID,
    dec_deg: float = DEC_DEG,
    high_hz: float = HIGH,
) -> None:
    """A calibration table with the columns and subtables of CASA's that matter here."""
    from casacore.tables import makearrcoldesc, makescacoldesc, maketabdesc, table

    ra, dec = phasing.meridian_centre(mid_mjd + phasing.JD_OF_MJD_0, np.deg2rad(dec_deg))
    centres = np.linspace(LOW, high_hz, 64)
    width = centres[1] - centres[0]
    widths = np.full(64, width)
    if channels == 1:
        centres, widths = np.array([centres.mean()]), np.array([high_hz - LOW + width])
    main = [
        makescacoldesc("TIME", 0.0),
        makescacoldesc("ANTENNA1", 0),
        makearrcoldesc("FLAG", False, ndim=2),
    ]
    flags = np.zeros((10, len(centres), 2), bool)
    flags[solved:] = True
    columns = {"TIME": np.full(10, mid_mjd * 86400), "ANTENNA1": np.arange(10), "FLAG": flags}
    window = [
        makearrcoldesc("CHAN_FREQ", 0.0, ndim=1),
        makearrcoldesc("CHAN_WIDTH", 0.0, ndim=1),
        makescacoldesc("TOTAL_BANDWIDTH", 0.0),
    ]
    subtables = {
        "ANTENNA": ([makescacoldesc("NAME", "")], {"NAME": NAMES}),
        "SPECTRAL_WINDOW": (
            window,
            {
                "CHAN_FREQ": centres[None],
                "CHAN_WIDTH": widths[None],
                # As CASA writes it for one channel: not a width at all.
                "TOTAL_BANDWIDTH": [centres.mean()],
            },
        ),
        "FIELD": ([makearrcoldesc("PHASE_DIR", 0.0, ndim=2)], {"PHASE_DIR": np.array([[[ra, dec]]])}),
    }
    with table(str(path), maketabdesc(main), nrow=10, ack=False) as made:
        for name, values in columns.items():
            made.putcol(name, values)
        for name, (description, content) in subtables.items():
            rows = len(next(iter(content.values())))
            with table(f"{path}/{name}", maketabdesc(description), nrow=rows, ack=False) as sub:
                for column, values in content.items():
                    sub.putcol(column, values)
                made.putkeyword(name, sub)


@pytest.mark.usefixtures("casa_data")
def test_a_table_tells_its_own_time_declination_band_and_antennas(tmp_path: Path) -> None:
    """One channel or many; the declination to 1″ through precession and back; no flagged antenna."""
    for name, channels in (("B.cal", 64), ("G.cal", 1)):
        write_table(tmp_path / name, channels=channels, solved=7)
        found = table_coverage(tmp_path / name)
        assert found.mid_mjd == pytest.approx(MID)
        assert found.declination_deg == pytest.approx(DEC_DEG, abs=3e-4)
        assert found.antennas == frozenset(NAMES[:7])
        # Edges: half a channel beyond the outermost centres, to a hertz or so.
        half = (HIGH - LOW) / 63 / 2
        assert found.channel_low_hz == pytest.approx(LOW - half, abs=10)
        assert found.channel_high_hz == pytest.approx(HIGH + half, abs=10)


@pytest.mark.usefixtures("casa_data")
def test_validate_says_of_each_table_what_fits_and_what_does_not(tmp_path: Path) -> None:
    """One set with a fault in each table, as when files of several sets were mixed up."""
    write_table(tmp_path / "K.cal", channels=1, dec_deg=54.57)
    write_table(tmp_path / "B.cal", high_hz=1450e6, solved=3)
    write_table(tmp_path / "G.cal", channels=1, mid_mjd=MID - 3)
    write_table(tmp_path / "F.cal", solved=0)
    files = ["K.cal", "B.cal", "G.cal", "F.cal", "none.cal"]
    report = validate(tmp_path, files, NEED, REACH)
    wrong = {name: [f.property for f in found if not f.fits] for name, found in report.items()}
    assert wrong == {
        "K.cal": ["declination"],
        "B.cal": ["band", "antennas"],
        "G.cal": ["time"],
        "F.cal": ["readable"],
        "none.cal": ["readable"],
    }
    told = {name: misfits(found) for name, found in report.items()}
    assert "declination +54.57 deg, more than 0.5 deg from +16.27 deg" in told["K.cal"]
    assert "band 1311.641-1451.089 MHz does not cover 1312.730-1497.300 MHz" in told["B.cal"]
    assert "holds 3 of 8 antennas, less than half" in told["B.cal"]
    assert "-74.0 h away, valid within 12 h" in told["G.cal"]
    assert "every solution is flagged" in told["F.cal"][0]


@pytest.mark.usefixtures("casa_data")
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"dec_deg": 54.57}, r"K\.cal: declination \+54\.57"),
        ({"high_hz": 1450e6}, r"K\.cal: band .* does not cover"),
        ({"solved": 3}, r"K\.cal: holds 3 of 8"),
    ],
)
def test_tables_that_do_not_fit_are_not_applied_whoever_chose_them(
    tmp_path: Path, changes: dict[str, float], why: str
) -> None:
    write_table(tmp_path / "K.cal", channels=1, **changes)  # type: ignore[arg-type]
    with pytest.raises(CalibrationError, match=why):
        refuse_misfits(tmp_path, ["K.cal"], NEED, REACH)


@pytest.mark.usefixtures("casa_data")
def test_age_alone_is_the_choice_s_business(tmp_path: Path) -> None:
    """A set of an earlier day is a fallback that the product names; it is not refused here."""
    write_table(tmp_path / "K.cal", channels=1, mid_mjd=MID - 3)
    refuse_misfits(tmp_path, ["K.cal"], NEED, REACH)


def test_what_fits_is_told_too() -> None:
    have = replace(NEED, mid_mjd=MID)
    assert [(f.property, f.fits) for f in findings(have, NEED, REACH)] == [
        ("time", True),
        ("declination", True),
        ("band", True),
        ("antennas", True),
    ]
