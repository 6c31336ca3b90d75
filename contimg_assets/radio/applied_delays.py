"""Delays that the correlator takes out, antenna by antenna: where they change, solutions are no longer true.

Belongs here: reading them from a file, keeping them with a Measurement Set, and saying which
have changed.  Does not belong here: what becomes of the antennas concerned
(``radio/corrections``).
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from contimg_assets.radio.hdf5 import open_hdf5
from contimg_assets.radio.uvh5 import SubbandHeader

_DATASET = "Header/extra_keywords/applied_delays_ns"
_KEYWORD = "CONTIMG_APPLIED_DELAYS_NS"
#: A change of less than this is none, ns: over half of the band it turns a phase by 3°.
_SAME_NS = 0.1
#: By antenna's name, of each feed, ns.
Delays = Mapping[str, list[float]]


def read_delays(header: SubbandHeader) -> Delays | None:
    """What a file says of them.

    Parameters
    ----------
    header : SubbandHeader
        Of the file.

    Returns
    -------
    mapping or None
        None if it does not say, or not for the antennas of its data or of its table.
    """
    with open_hdf5(header.path) as reader:
        if not reader.has(_DATASET):
            return None
        values = np.asarray(reader.file[_DATASET][()])
        if values.dtype.kind not in "iuf" or values.ndim not in (1, 2) or not np.isfinite(values).all():
            return None
        if len(values) == header.n_antennas:
            # In the order of the correlator, in which baselines (i, j ≤ i) name their antennas.
            second = reader.array("Header/ant_2_array", "iu", (header.n_baselines * header.n_integrations,))
            numbers = list(dict.fromkeys(second[: header.n_baselines].tolist()))
        elif len(values) == header.n_antennas_telescope:
            numbers = list(header.antenna_numbers)
        else:
            return None
    names = dict(zip(header.antenna_numbers, header.antenna_names, strict=True))
    rows = values.reshape(len(values), -1).astype(float).tolist()
    return {names[number]: row for number, row in zip(numbers, rows, strict=True)}


def keep_delays(ms: Path, delays: Delays | None) -> None:
    """Keep delays with a Measurement Set, as a keyword of its main table."""
    from casacore.tables import table

    with table(str(ms), readonly=False, ack=False) as main:
        main.putkeyword(_KEYWORD, json.dumps(delays))


def delays_of(ms: Path) -> Delays | None:
    """What is kept with a Measurement Set; None if nothing is, as of earlier releases."""
    from casacore.tables import table

    with table(str(ms), ack=False) as main:
        return json.loads(main.getkeyword(_KEYWORD)) if _KEYWORD in main.keywordnames() else None


def changed_delays(then: Delays | None, now: Delays | None) -> list[str]:
    """Antennas whose delays differ from those of others by another amount than they did.

    What has changed for all alike changes no baseline.

    Parameters
    ----------
    then, now : mapping or None
        When a calibrator was observed, and of the data to be calibrated; None where nobody knows.

    Returns
    -------
    list of str
        Names, sorted.
    """
    if then is None or now is None:
        return []
    names = sorted(then.keys() & now.keys())
    names = [name for name in names if len(then[name]) == len(now[name])]
    if not names:
        return []
    change = np.array([np.subtract(now[name], then[name]) for name in names])
    change -= np.median(change, axis=0)
    return [name for name, off in zip(names, np.abs(change).max(axis=1), strict=True) if off > _SAME_NS]
