"""Which images a source is measured in that came to be watched after they were made."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from contimg_assets.radio.errors import MissingInputError
from contimg_assets.radio.photometry.options import PhotometryOptions
from contimg_assets.settings import Settings
from contimg_assets.station.measure_back import groups_without
from contimg_assets_tests.station.survey_home import small_home

DAY = "2026-01-30"


def test_groups_whose_image_has_the_place_and_whose_measurements_have_not(
    engine: Engine, tmp_path: Path
) -> None:
    home = small_home(engine, tmp_path)
    keys = home.observe(DAY)
    rows = home.days[DAY].rows.astype({"source": str, "group": str})
    source = rows.loc[rows["source"] == rows["source"].value_counts().index[0]]
    name, ra, dec = (source[column].tolist()[0] for column in ("source", "ra_deg", "dec_deg"))
    path = tmp_path / "watched.csv"
    path.write_text(
        "name,ra_deg,dec_deg\n"
        f"new,{ra},{dec + 0.2}\nfar,{ra + 20},{dec}\nsouth,{ra},{dec - 12}\n{name},{ra!r},{dec!r}\n"
    )
    settings = Settings(home=tmp_path, photometry=PhotometryOptions(watched=path))

    def without(which: str, **times: str) -> list[str]:
        return groups_without(engine, home.store, settings, which, **times)

    # All that point within half an image of it, and so those that see it, the newest first.
    found = without("new")
    assert found == sorted(found, reverse=True)
    assert set(source["group"]) <= set(found) <= set(keys)
    assert without("new", since=found[1]) == found[:2]
    assert without("new", until=found[1]) == found[2:]
    assert without("far") == without("south") == []
    # What has its name at its place already is left out.
    assert set(without(name)) == set(found) - set(source["group"])
    # One whose image is condemned has nothing that counts.
    home.condemn(found[0])
    assert without("new") == found[1:]
    with pytest.raises(MissingInputError, match="found no watched source 'nobody'"):
        without("nobody")
