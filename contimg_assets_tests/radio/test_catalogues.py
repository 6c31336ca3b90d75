"""Catalogues: published formats read right, cones complete, damage noticed."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table

from contimg_assets.radio.catalogues.formats import ROW, Rows, read_survey
from contimg_assets.radio.catalogues.store import Catalogue, as_sources, cone, install, installed
from contimg_assets.radio.catalogues.surveys import SurveyName
from contimg_assets.radio.errors import CatalogueError
from contimg_assets.radio.sky import Source
from contimg_assets.simulation.catalogue import nvss_line

#: One made-up source, 2 mJy to 1 Jy, south of the equator by less than a degree, in each format.
RA, DEC = 15 * (1 + 2 / 60 + 3.45 / 3600), -(0 + 12 / 60 + 34.5 / 3600)
NVSS_TEXT = """\
NVSS catalog listing
 RA(2000)    Dec(2000)    Flux  Major Minor   PA
 h  m    s    d  m   s     mJy   "     "    deg
01 02 03.45 -00 12 34.5  123.4  31.5 <18.2  45.0       2.34  12.3 C0100M00  500.00  400.00
       0.03         0.6    3.7   1.2         5.1       0.40   5.0
11 02 03.45 +54 12 34.512345.6 <15.0 <15.0             0.1        C1100P52  500.00  400.00
       0.03         0.6  370.1                         0.40
"""
FIRST_TEXT = """\
# FIRST survey catalog
#    RA (2000)  Dec      Ps  Fpeak    Fint      RMS  Maj   Min   PA     fMaj  fMin  fPA   Field
01 02 03.450 -00 12 34.50 0.014   110.00   123.40   0.145   4.10   1.80 131.3   6.80  5.70 131.3  01020-00100E
01 02 09.000 -00 12 34.50 0.800     1.00     1.20   0.145   0.00   0.00   0.0   5.40  5.40   0.0  01020-00100E
"""


def _text(path: Path, content: str, packed: bool = False) -> Path:
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    return path


def _table(path: Path, kind: str, **columns: Sequence[object]) -> Path:
    Table(columns).write(path, format=kind)
    return path


def _written(folder: Path, survey: SurveyName, form: str) -> Path:
    """The made-up source as ``survey`` publishes it in one of its forms."""
    if survey == "nvss" and form == "vizier":
        return _text(folder / "nvss.dat.gz", nvss_line(Source("", RA, DEC, 0.1234)) + "\n", packed=True)
    if survey == "nvss" and form == "text":
        return _text(folder / "NVSSCatalog.text", NVSS_TEXT)
    if survey == "nvss":
        columns = {"NVSS": ["010203-001234"], "RAJ2000": ["01 02 03.45"], "DEJ2000": ["-00 12 34.5"]}
        return _table(
            folder / "nvss.vot", "votable", **columns, **{"S1.4": [123.4], "e_S1.4": [3.7], "MajAxis": [31.5]}
        )
    if survey == "first" and form == "text":
        return _text(folder / "catalog_14dec17.bin", FIRST_TEXT)
    if survey == "first":
        return _table(
            folder / "first.fits",
            "fits",
            RA=[RA, RA],
            DEC=[DEC, DEC],
            SIDEPROB=[0.01, 0.5],
            FPEAK=[110.0, 1.0],
            FINT=[123.4, 1.2],
            RMS=[0.15, 0.15],
        )
    if survey == "vlass":
        return _table(
            folder / "vlass.csv",
            "ascii.csv",
            Component_name=["VLASS1QLCIR J010203.45-001234.5", "other", "other"],
            RA=[RA, RA, RA],
            DEC=[DEC, DEC, DEC],
            Total_flux=[123.4, 120.0, 1.0],
            E_Total_flux=[0.3, 0.3, 0.3],
            DC_Maj=[2.0, 0.0, 0.0],
            Duplicate_flag=[1, 2, 0],
            Quality_flag=[0, 0, 2],
        )
    kind = {"csv": "ascii.csv", "votable": "votable"}[form]
    return _table(
        folder / f"racs.{form}",
        kind,
        source_name=["RACS_0102-00A"],
        ra=[RA],
        dec=[DEC],
        total_flux_source=[123.4],
        e_total_flux_source=[1.1],
    )


@pytest.mark.parametrize(
    ("survey", "form", "left_out"),
    [
        ("nvss", "vizier", 0),
        ("nvss", "text", 0),
        ("nvss", "votable", 0),
        ("first", "text", 1),
        ("first", "fits", 1),
        ("vlass", "csv", 2),
        ("racs", "csv", 0),
        ("racs", "votable", 0),
    ],
)
def test_published_formats_are_read(survey: SurveyName, form: str, left_out: int, tmp_path: Path) -> None:
    """Position (to the 0.1″ that NVSS prints), flux density, name; sidelobes and duplicates stay out."""
    rows, out = read_survey(_written(tmp_path, survey, form), survey)
    assert out == left_out
    assert rows["ra_deg"][0] == pytest.approx(RA, abs=0.08 / 3600)
    assert rows["dec_deg"][0] == pytest.approx(DEC, abs=0.06 / 3600)
    assert rows["flux_jy"][0] == pytest.approx(0.1234, rel=1e-5)
    assert rows["flux_error_jy"][0] > 0
    assert b"0102" in rows["name"][0]


def test_nvss_listing_keeps_limits_and_large_flux_densities(tmp_path: Path) -> None:
    """An upper limit of a size means unresolved; five digits before the point stay five."""
    rows, _ = read_survey(_written(tmp_path, "nvss", "text"), "nvss")
    assert rows["major_arcsec"].tolist() == pytest.approx([31.5, 0.0])
    assert rows["minor_arcsec"].tolist() == pytest.approx([0.0, 0.0])
    assert rows["flux_jy"][1] == pytest.approx(12.3456)
    assert rows["dec_deg"][1] == pytest.approx(54 + 12 / 60 + 34.5 / 3600)


@pytest.mark.parametrize(
    "content", ["", "name,ra,dec\na,1,2\n", NVSS_TEXT.split("       0.03")[0], "%PDF-1.4 no catalogue\n"]
)
def test_what_is_no_catalogue_is_refused_by_name(content: str, tmp_path: Path) -> None:
    """Empty, without flux density, cut short, something else: an error that names the file."""
    with pytest.raises(CatalogueError, match=r"some\.file"):
        read_survey(_text(tmp_path / "some.file", content), "nvss")


def test_raw_nvss_fits_is_refused_with_the_reason(tmp_path: Path) -> None:
    """NRAO's CATALOG.FIT holds peaks before the survey's corrections."""
    path = tmp_path / "CATALOG41.FIT"
    Table({"RA(2000)": [RA], "DEC(2000)": [DEC], "PEAK INT": [0.12]}).write(path, format="fits")
    with pytest.raises(CatalogueError, match="lack the survey's corrections"):
        read_survey(path, "nvss")


def _sky(n: int, seed: int = 3) -> Rows:
    rng = np.random.default_rng(seed)
    rows = np.zeros(n, ROW)
    rows["ra_deg"] = rng.uniform(0, 360, n)
    rows["dec_deg"] = np.rad2deg(np.arcsin(rng.uniform(-0.64, 1, n)))
    rows["flux_jy"] = 2.5e-3 / rng.uniform(1e-3, 1, n)
    return rows


def _install(folder: Path, rows: Rows) -> Catalogue:
    lines = [
        nvss_line(Source("", float(r["ra_deg"]), float(r["dec_deg"]), float(r["flux_jy"]))) for r in rows
    ]
    install(folder, _text(folder.parent / "nvss.dat", "\n".join(lines) + "\n"), "nvss")
    return Catalogue(folder, "nvss")


@pytest.mark.parametrize(
    ("ra", "dec", "radius"),
    [
        (83.0, 16.3, 3.5),
        (0.3, 54.6, 3.5),
        (359.9, 71.6, 2.0),
        (10.0, 88.9, 3.5),
        (200.0, 90.0, 1.5),
        (5.0, -39.0, 4.0),
    ],
)
def test_cone_finds_what_astropy_finds(ra: float, dec: float, radius: float, tmp_path: Path) -> None:
    """Across 0h, around the pole and at the survey's rim: the very sources, brightest first."""
    catalogue = _install(tmp_path / "catalogues", _sky(20_000))
    everything = SkyCoord(catalogue.rows["ra_deg"], catalogue.rows["dec_deg"], unit="deg")
    inside = everything.separation(SkyCoord(ra, dec, unit="deg")) <= radius * u.deg
    found = catalogue.cone(ra, dec, radius)
    assert sorted(found["name"]) == sorted(catalogue.rows["name"][inside])
    assert (np.diff(found["flux_jy"]) <= 0).all()
    assert len(catalogue.cone(ra, dec, radius, minimum_jy=1e3)) == 0


def test_damage_is_noticed(tmp_path: Path) -> None:
    """A changed byte, a missing array and a broken manifest are errors that name the file."""
    folder = tmp_path / "catalogues"
    catalogue = _install(folder, _sky(500))
    catalogue.verify()
    assert [c.manifest.n_sources for c in installed(folder)] == [500]
    content = bytearray(catalogue.path.read_bytes())
    content[-100] ^= 1
    catalogue.path.write_bytes(content)
    with pytest.raises(CatalogueError, match=catalogue.path.name):
        Catalogue(folder, "nvss").verify()
    catalogue.path.unlink()
    with pytest.raises(CatalogueError, match="import the catalogue again"):
        Catalogue(folder, "nvss").cone(1, 2, 3)
    (folder / "nvss.json").write_text(json.dumps({"survey": "nvss"}))
    with pytest.raises(CatalogueError, match="manifest"):
        installed(folder)
    with pytest.raises(CatalogueError, match="contimg catalogs import"):
        Catalogue(folder, "first")


def test_second_import_replaces_the_first(tmp_path: Path) -> None:
    """One array is left, that of the new file."""
    folder = tmp_path / "catalogues"
    _install(folder, _sky(50))
    assert len(_install(folder, _sky(60)).rows) == 60
    assert len(list(folder.glob("*.npy"))) == 1


def test_spectral_index_comes_from_another_survey(tmp_path: Path) -> None:
    """α between 1.4 and 3 GHz where one counterpart is near; NaN, not a guess, elsewhere."""
    folder = tmp_path / "catalogues"
    _install(folder, np.array([_sky(1)[0]] * 1))
    nvss = Catalogue(folder, "nvss").rows[0]
    flux = float(nvss["flux_jy"]) * (3.0 / 1.4) ** -0.8
    lines = [
        nvss_line(Source("", float(nvss["ra_deg"]), float(nvss["dec_deg"]), float(nvss["flux_jy"]))),
        nvss_line(Source("", float(nvss["ra_deg"]), float(nvss["dec_deg"]) - 0.5, 0.05)),
    ]
    install(folder, _text(tmp_path / "nvss.dat", "\n".join(lines) + "\n"), "nvss")
    vlass = _table(
        tmp_path / "v.csv",
        "ascii.csv",
        Component_name=["A"],
        RA=[float(nvss["ra_deg"])],
        DEC=[float(nvss["dec_deg"])],
        Total_flux=[1e3 * flux],
    )
    install(folder, vlass, "vlass")
    rows = cone(folder, float(nvss["ra_deg"]), float(nvss["dec_deg"]), 1.0)
    # NVSS prints 0.1 mJy.
    indices = dict(zip(rows["flux_jy"] > 0.049, rows["spectral_index"], strict=True))
    assert np.isnan(rows["spectral_index"]).sum() == 1
    assert np.nanmax(list(indices.values())) == pytest.approx(-0.8, abs=0.1)
    (known, guessed) = sorted(as_sources(rows, 1.4e9, -0.7), key=lambda s: s.spectral_index)
    assert guessed.spectral_index == pytest.approx(-0.7)
    assert known.flux_jy == pytest.approx(float(nvss["flux_jy"]), rel=0.02)
