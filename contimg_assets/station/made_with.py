"""What a product is made with now, and in what that differs from what one was made with.

Belongs here: options and versions of software, as rows of products keep them.
Does not belong here: which groups are made again for it (``campaign_selection.py``).
"""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from contimg_assets.settings import Settings
from contimg_assets.station.numbers import finite

#: The settings' part that holds the options of what makes a product; of the others, none is theirs alone.
_SECTIONS = {
    "measurement_set": "conversion",
    "flags": "flagging",
    "calibration_tables": "calibration",
    "calibrated_ms": "calibration",
    "image": "imaging",
    "photometry": "photometry",
}
#: Products that have options of their own, in the order in which they are made.
PRODUCTS = tuple(_SECTIONS)
_NOTHING: Mapping[str, Any] = MappingProxyType({})
#: Differing options that are named; a longer list says no more.
_NAMED = 3


@lru_cache(maxsize=1)
def _software() -> dict[str, str]:
    """What this process has loaded, or would: the same while it lives, and it takes time to look up."""
    # Loads astropy, which commands that only look do without.
    from contimg_assets.radio.images.provenance import software_versions

    return software_versions()


def settings_of(product: str, settings: Settings, asked: Mapping[str, Any] = _NOTHING) -> dict[str, Any]:
    """Options and software that a product is made with now, as its row keeps them.

    What was asked of the run alone is kept as such, and takes its place among the options.
    """
    section = _SECTIONS.get(product)
    options = {section: getattr(settings, section).model_dump(mode="json")} if section else {}
    for values in options.values():
        values.update({name: value for name, value in asked.items() if name in values})
    told = {"asked": dict(asked)} if asked else {}
    return {"options": options, "software": dict(_software()), **told}


def present(settings: Settings) -> dict[str, dict[str, Any]]:
    """The same of every product that has options, as a row gives it back."""
    return {product: finite(settings_of(product, settings)) for product in PRODUCTS}


def difference(product: str, made: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """In what the making of a product differs from what it would be now; empty if in nothing that counts.

    All its options count, and of the software the version of contimg: those of libraries change with every
    update of a machine, and one that matters comes with a release.

    Parameters
    ----------
    product : str
    made : Mapping
        Its row's settings.
    now : Mapping
        From :func:`present`.

    Returns
    -------
    str
        In words.
    """
    if not made:
        return f"{product}: made before settings were kept"
    told: list[str] = []
    versions = [each["software"].get("contimg") for each in (made, now)]
    if versions[0] != versions[1]:
        told.append(f"made by contimg {versions[0]}, now {versions[1]}")
    before, present = _options(made), _options(now)
    changed = sorted(name for name in before.keys() | present.keys() if before.get(name) != present.get(name))
    told += [f"{name} was {before.get(name)}, is {present.get(name)}" for name in changed[:_NAMED]]
    if len(changed) > _NAMED:
        told.append(f"{len(changed) - _NAMED} more settings")
    return f"{product}: {'; '.join(told)}" if told else ""


def _options(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{section}.{name}": value
        for section, options in settings["options"].items()
        for name, value in options.items()
    }
