"""The limits on quality numbers, read from the one versioned file beside this module.

Belongs here: reading ``limits.toml`` and judging one number.  Does not belong
here: computing the numbers, or what follows from a verdict.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from contimg_assets.radio.errors import CatalogueError

Status = Literal["PASS", "WARN", "ERROR"]
Direction = Literal["above", "below"]


@dataclass(frozen=True)
class Limit:
    """The limit on one number."""

    soft: float
    """Beyond this: WARN."""
    hard: float
    """Beyond this: ERROR, and nothing downstream uses the product."""
    direction: Direction
    """``above``: values above the limit are bad; ``below``: values below it."""
    reason: str
    """Why the limits are what they are."""
    optional: bool = False
    """Whether a product may lack the number: what only a catalogue, or enough sources, can tell."""

    def judge(self, value: float) -> Status:
        """Hold a value against the limit; a value that is not finite is an ERROR."""
        if not math.isfinite(value):
            return "ERROR"
        sign = 1.0 if self.direction == "above" else -1.0
        if sign * value > sign * self.hard:
            return "ERROR"
        return "WARN" if sign * value > sign * self.soft else "PASS"


@dataclass(frozen=True)
class Limits:
    """All limits of one version of the file."""

    version: str
    """Version that verdicts carry."""
    limits: dict[str, dict[str, Limit]]
    """Limit of each metric of each product."""


def _limit(product: str, metric: str, entry: dict[str, Any]) -> Limit:
    where = f"limits.toml: {product}.{metric}"
    missing = {"soft", "hard", "direction", "reason"} - entry.keys()
    if missing:
        raise CatalogueError(f"{where} lacks {', '.join(sorted(missing))}")
    limit = Limit(
        float(entry["soft"]),
        float(entry["hard"]),
        entry["direction"],
        str(entry["reason"]),
        bool(entry.get("optional", False)),
    )
    if limit.direction not in get_args(Direction):
        raise CatalogueError(f"{where}: direction is {limit.direction!r}, expected 'above' or 'below'")
    if (limit.hard < limit.soft) == (limit.direction == "above") and limit.hard != limit.soft:
        raise CatalogueError(f"{where}: the hard limit {limit.hard} is crossed before the soft {limit.soft}")
    return limit


def parse_limits(text: str) -> Limits:
    """Read limits from TOML text.

    Parameters
    ----------
    text : str
        A ``version`` and one table per product and metric.

    Returns
    -------
    Limits
        Checked for completeness and order.

    Raises
    ------
    CatalogueError
        If an entry is incomplete or its limits are the wrong way round.
    """
    document = tomllib.loads(text)
    version = str(document.pop("version"))
    return Limits(
        version,
        {
            product: {metric: _limit(product, metric, entry) for metric, entry in metrics.items()}
            for product, metrics in document.items()
        },
    )


@lru_cache(maxsize=1)
def load_limits() -> Limits:
    """The limits that the package carries."""
    return parse_limits((Path(__file__).parent / "limits.toml").read_text(encoding="utf-8"))


def verdict(product: str, numbers: Mapping[str, Any], limits: Limits | None = None) -> Status:
    """The worst judgement of those numbers that have a limit.

    Parameters
    ----------
    product : str
        A ``*_qa`` product.
    numbers : Mapping
        Numbers that are not there are not judged.
    limits : Limits, optional
        Default: those that the package carries.
    """
    known = (limits or load_limits()).limits[product]
    found = {known[name].judge(float(value)) for name, value in numbers.items() if name in known}
    return "ERROR" if "ERROR" in found else "WARN" if "WARN" in found else "PASS"
