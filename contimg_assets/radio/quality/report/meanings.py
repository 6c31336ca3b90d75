"""What numbers mean, in a sentence each.

Belongs here: looking a name up.  Does not belong here: the sentences (``meanings.toml``, and the options' own
descriptions), or limits.
"""

import tomllib
from functools import lru_cache
from pathlib import Path

from contimg_assets.radio.imaging.options import ImagingOptions


@lru_cache(maxsize=1)
def meanings() -> dict[str, dict[str, str]]:
    """All sentences: ``image_qa``, ``made`` (what imaging reports of itself) and ``columns``."""
    return tomllib.loads((Path(__file__).parent / "meanings.toml").read_text(encoding="utf-8"))


def meaning_of(name: str, kind: str = "image_qa") -> str:
    """What a number means; empty if nobody has said.

    Parameters
    ----------
    name : str
    kind : str
        Part of the sentences to look in.
    """
    known = meanings()[kind]
    if name in known:
        return known[name]
    if kind == "made" and name in ImagingOptions.model_fields:
        text = " ".join((ImagingOptions.model_fields[name].description or "").split()).replace("``", "")
        return text
    begins = [key for key in known if key.endswith("*") and name.startswith(key[:-1])]
    return known[max(begins, key=len)] if begins else ""
