"""Making a product again whose content was removed, for a group that is done: it stays done.

Belongs here: which steps that takes.  Does not belong here: running them (``operations.py``), or
making a group again as a whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contimg_assets.radio.errors import MissingInputError, StateError
from contimg_assets.station.calibration_selection import need_of
from contimg_assets.station.installation import Installation
from contimg_assets.station.retention_rules import CALIBRATED, CONVERTED, IMAGE

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
    if whole[product]:
        return ()
    needed = [product]
    for before in reversed(PRODUCTS[: PRODUCTS.index(product)]):
        if whole.get(before, False):
            break
        needed.insert(0, before)
    return [_step(station, key, name) for name in needed]


def _step(station: Installation, key: str, product: str) -> Step:
    if product == CALIBRATED:
        return Step((CALIBRATED,), _same_set(station, key))
    if product == IMAGE:
        # What was said of the image was said of another version.
        return Step((IMAGE, "image_qa", "photometry"))
    return Step((CONVERTED,))


def _same_set(station: Installation, key: str) -> dict[str, Mapping[str, Any]]:
    """Run options by which the set is applied that was; none where it would be chosen anyhow."""
    used = station.registry.used_by(key)
    if used is None:
        return {}
    need = need_of(station.records.group(key), station.records)
    if station.selection.candidates(need, None)[0].set_id == used.set_id:
        return {}
    return {CALIBRATED: {"calibration_set": used.set_id}}
