"""Making a product again whose content was removed, for a group that is done: it stays done.

Belongs here: which steps that takes.  Does not belong here: running them (``operations.py``), or
making a group again as a whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contimg_assets.radio.errors import MissingInputError, StateError
from contimg_assets.radio.group_key import ms_path
from contimg_assets.station.calibration_selection import need_of
from contimg_assets.station.installation import Installation
from contimg_assets.station.retention_rules import CALIBRATED, CONVERTED, IMAGE
from contimg_assets.station.store import Store

#: Products that retention removes or compresses, each made of the one before.
PRODUCTS = (CONVERTED, CALIBRATED, IMAGE)


@dataclass(frozen=True)
class Step:
    """A run of some assets."""

    assets: tuple[str, ...]
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Run options by asset."""


def steps_to(station: Installation, key: str, product: str) -> Sequence[Step]:
    """The steps by which a product is there again; none if it is.

    Parameters
    ----------
    station : Installation
    key : str
        A completed group.
    product : {"measurement_set", "calibrated_ms", "image"}

    Raises
    ------
    MissingInputError
        If it is no such product, or was never made.
    StateError
        If the group is not completed.
    """
    if product not in PRODUCTS:
        raise MissingInputError(f"found product {product!r}; expected one of {', '.join(PRODUCTS)}")
    group = station.records.group(key)
    if group.state != "completed":
        raise StateError(f"group {key} is {group.state}, expected completed: `contimg reprocess` makes it")
    made = station.records.products(key)
    if product not in made:
        raise MissingInputError(f"group {key} has never had a {product}: `contimg reprocess` makes it")
    whole = {name: not row.removed and row.compressed_at is None for name, row in made.items()}
    is_written = whole.get(CALIBRATED, False) and has_measurement_set(station.store, key)
    if whole[product] and (product != CALIBRATED or is_written):
        return ()
    steps: list[Step] = []
    # An image needs no calibrated Measurement Set, if there is what that would be made of.
    if product != CONVERTED and not is_written and not whole.get(CONVERTED, False):
        steps.append(Step((CONVERTED,)))
    if product == CALIBRATED or (product == IMAGE and not whole.get(CALIBRATED, False)):
        steps.append(_calibrate(station, key, keep=product == CALIBRATED))
    elif product == CONVERTED:
        steps.append(Step((CONVERTED,)))
    if product == IMAGE:
        # What was said of the image was said of another version.
        steps.append(Step((IMAGE, "image_qa", "photometry")))
    return steps


def has_measurement_set(store: Store, key: str) -> bool:
    """Whether a calibrated Measurement Set of the group is on the disk, not only what calibrates it."""
    return ms_path(store.path(key, CALIBRATED), key).is_dir()


def _calibrate(station: Installation, key: str, *, keep: bool) -> Step:
    options = {**_same_set(station, key), **({"keep": True} if keep else {})}
    return Step((CALIBRATED,), {CALIBRATED: options} if options else {})


def _same_set(station: Installation, key: str) -> dict[str, Any]:
    """Run options by which the set is applied that was; none where it would be chosen anyhow."""
    used = station.registry.used_by(key)
    if used is None:
        return {}
    need = need_of(station.records.group(key), station.records)
    if station.selection.candidates(need, None)[0].set_id == used.set_id:
        return {}
    return {"calibration_set": used.set_id}
