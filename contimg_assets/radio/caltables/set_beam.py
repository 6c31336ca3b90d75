"""The array's beam that goes with a calibration set: gains and beam were found together.

Belongs here: reading it from the set's sidecar.  Does not belong here: measuring it
(``calibration/transit_beams.py``).
"""

import json
from pathlib import Path

from contimg_assets.radio.beam import ASSUMED, Beam
from contimg_assets.radio.caltables.set_files import SIDECAR


def beam_of_set(folder: Path) -> Beam:
    """The beam of a set; the assumed one for sets that have none, which were made before or elsewhere."""
    path = folder / SIDECAR
    if not path.exists():
        return ASSUMED
    told = json.loads(path.read_text(encoding="utf-8")).get("beam")
    return ASSUMED if told is None else Beam.from_json(told["used"])
