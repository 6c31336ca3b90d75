"""The truth of a group as JSON: what was put in, where, and when.

Keys that the other simulator's truth has mean the same there.
"""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from contimg_assets.simulation.independent import instrument
from contimg_assets.simulation.independent.scene import Scene


def write_truth(scene: Scene, files: dict[str, str], folder: Path) -> Path:
    """Write ``<key without colons>.truth.json``.

    Parameters
    ----------
    scene : Scene
    files : dict
        Name of each subband's file.
    folder : Path
    """
    observation = scene.observation
    truth = {
        "format": 1,
        "simulator": "independent",
        "group": observation.key,
        "times_jd": scene.times_jd.tolist(),
        "declination_deg": float(np.rad2deg(observation.declination_rad)),
        "files": files,
        "antennas": scene.names,
        "sources": [
            asdict(source)
            | {"flux_1405_jy": float(source.flux(instrument.CENTRE_HZ)), "mean_apparent_jy": float(apparent)}
            for source, apparent in zip(observation.sources, scene.mean_apparent_jy, strict=True)
        ],
        "bad_spans": [fault.model_dump(mode="json") for fault in scene.faults],
        "interference": [emitter.truth() for emitter in scene.emitters],
        "glitches": [glitch.model_dump(mode="json") for glitch in scene.glitches],
        "missing_subbands": list(observation.options.glitches.missing_subbands),
        "gains": scene.receivers.truth()
        | {
            "walk_amplitude": np.abs(scene.walk).tolist(),
            "walk_phase_rad": np.angle(scene.walk).tolist(),
            "delays_changed": observation.delays_changed,
        },
        "dishes": {
            "east_deg": scene.array.dishes.east_deg.tolist(),
            "north_deg": scene.array.dishes.north_deg.tolist(),
            "width": scene.array.dishes.width.tolist(),
        },
        "ionosphere_arcsec": scene.shift_arcsec.tolist(),
        "options": observation.options.model_dump(mode="json"),
        "seed": observation.seed,
        "night_seed": observation.night_seed,
        "sefd_jy": instrument.SEFD_JY,
        "image_noise_jy": instrument.image_noise_jy(observation.size),
    }
    path = folder / f"{observation.key.replace(':', '')}.truth.json"
    path.write_text(json.dumps(truth, indent=1))
    return path
