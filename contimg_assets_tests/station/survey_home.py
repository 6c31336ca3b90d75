"""A station whose groups see a small strip of the sky, with measurements by the simulator of strips."""

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from sqlalchemy import Engine

from contimg_assets.radio.photometry.table import COLUMNS, FILE, HEALPIX, write_measurements
from contimg_assets.simulation.strip import Instrument, StripDay, StripSimulator, strip_sky
from contimg_assets.station.products import StationRecords
from contimg_assets.station.store import Store
from contimg_assets_tests.fake_stages import record_verdict, registration

DECLINATION_DEG = 16.27


@dataclass
class SurveyHome:
    """Groups of some days, each with an image and measurements."""

    engine: Engine
    home: Path
    simulator: StripSimulator
    days: dict[str, StripDay] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.records, self.store = StationRecords(self.engine), Store(self.home)

    def observe(self, day: str) -> list[str]:
        """Enter all groups of a day, with their measurements; their keys."""
        made = self.days[day] = self.simulator.day(day)
        mjd = made.rows.groupby("group")["mjd"].first()
        for key in made.groups:
            told = {"declination_deg": DECLINATION_DEG, "mid_mjd": float(mjd[key])}
            self.records.register(registration(key, self.home, **told), ready=True)
            self.image(key)
            self.measure(day, key)
        return list(made.groups)

    def image(self, key: str) -> None:
        """Another image of a group."""
        number = len([v for v in self.records.performance(key) if v.product == "image"])
        self.records.record_product(key, "image", PurePosixPath(f"products/{key}/image-{number}"), {})

    def measure(self, day: str, key: str, factor: float = 1.0) -> int:
        """Measurements of a group's current image; their version's identity."""
        image = self.records.product(key, "image")
        number = len([v for v in self.records.performance(key) if v.product == "photometry"])
        path = PurePosixPath(f"products/{key}/photometry-{number}")
        folder = self.store.absolute(str(path))
        folder.mkdir(parents=True)
        rows = self.days[day].rows
        own = rows[rows["group"] == key]
        columns = {name: own[name].to_numpy() for name in COLUMNS if name != HEALPIX}
        columns["apparent_jy"] = columns["apparent_jy"] * np.float32(factor)
        write_measurements(folder / FILE, columns, {"group": key})
        return self.records.record_product(key, "photometry", path, {}, inputs=[image.id]).id

    def condemn(self, key: str) -> None:
        """Let a check of the image's say ERROR."""
        told: dict[str, Any] = {"status": "ERROR", "value": 9.0, "soft": 1.0, "hard": 2.0}
        record_verdict(self.records, key, "image_qa", "rms_ratio", limits_version="1", **told)


def small_home(engine: Engine, home: Path, **instrument: float) -> SurveyHome:
    """A strip of 6° with 60 sources a square degree: seven groups a day."""
    sky = strip_sky(DECLINATION_DEG, (30.0, 34.0), 12.0, 4e-3)
    return SurveyHome(engine, home, StripSimulator(sky, DECLINATION_DEG, Instrument(**instrument)))
