"""The limits on quality numbers, and the one judge who holds numbers against them.

Belongs here: reading ``limits.toml``, judging numbers, and saying in words what
was judged.  Does not belong here: computing the numbers, keeping verdicts
(``station/``), or what follows from them.
"""

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from pathlib import Path
from typing import Any, Literal, get_args

from contimg_assets.radio.errors import CatalogueError

Status = Literal["PASS", "WARN", "ERROR"]
#: From good to bad.
STATUSES: tuple[Status, ...] = get_args(Status)
Direction = Literal["above", "below"]
#: What the checks of a product come to, from good to bad; the last: nothing was judged.
QUALITIES = ("excellent", "good", "marginal", "poor", "unknown")


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
    ideal: float | None = None
    """Value of a perfect product; None: zero if values above are bad, without end if values below are."""

    def status(self, value: float) -> Status:
        """Hold a value against the limit; one that is not finite is an ERROR."""
        if not math.isfinite(value):
            return "ERROR"
        sign = 1.0 if self.direction == "above" else -1.0
        if sign * value > sign * self.hard:
            return "ERROR"
        return "WARN" if sign * value > sign * self.soft else "PASS"

    def excellent(self, value: float) -> bool:
        """Whether a value is at most half-way from the ideal to the soft limit."""
        if self.direction == "below" and self.ideal is None:
            return value >= 2.0 * self.soft
        ideal = self.ideal or 0.0
        half = (ideal + self.soft) / 2.0
        return value <= half if self.direction == "above" else value >= half


@dataclass(frozen=True)
class Limits:
    """All limits of one version of the file."""

    version: str
    """Version that verdicts carry."""
    limits: dict[str, dict[str, Limit]]
    """Limit of each metric of each product."""


@dataclass(frozen=True)
class Judgement:
    """One number held against its limit."""

    metric: str
    status: Status
    value: float | None
    """None if the product has no such number, or one that is not finite."""
    limit: Limit
    version: str
    """Of the limits."""

    @property
    def measured(self) -> bool:
        """Whether there was anything to judge: a number that may be missing and is says nothing."""
        return self.value is not None or self.status != "PASS"

    @property
    def text(self) -> str:
        """The judgement in one line."""
        if not self.measured:
            return f"{self.metric} was not measured, which takes a catalogue or more sources than there are"
        if self.value is None:
            return f"{self.metric} is missing or not finite, so the product cannot be vouched for"
        side = self.limit.direction
        return (
            f"{self.metric} = {self.value:.4g}: WARN {side} {self.limit.soft:g}, "
            f"ERROR {side} {self.limit.hard:g}. {self.limit.reason}"
        )


def judge(product: str, numbers: Mapping[str, Any], limits: Limits | None = None) -> tuple[Judgement, ...]:
    """Hold a product's numbers against their limits.

    Parameters
    ----------
    product : str
        A ``*_qa`` product.
    numbers : Mapping
        By name.  One that is there and is no finite number (databases know no NaN: None) is an
        ERROR; so is one that is not there, unless its limit says that it may be missing.
    limits : Limits, optional
        Default: those that the package carries.

    Returns
    -------
    tuple of Judgement
        One for each number that has a limit, in the order of the file.
    """
    limits = limits or load_limits()
    judgements = []
    for metric, limit in limits.limits[product].items():
        value = _finite(numbers.get(metric))
        if value is not None:
            status = limit.status(value)
        else:
            status = "PASS" if metric not in numbers and limit.optional else "ERROR"
        judgements.append(Judgement(metric, status, value, limit, limits.version))
    return tuple(judgements)


def worst(statuses: Iterable[str]) -> Status | Literal[""]:
    """The worst of some statuses; empty if there is none."""
    found = set(statuses)
    for status in reversed(STATUSES):
        if status in found:
            return status
    return ""


def quality(product: str, found: Mapping[str, tuple[str, float | None]]) -> str:
    """One word for what a product's checks say.

    Parameters
    ----------
    product : str
        A ``*_qa`` product.
    found : Mapping
        Status and value of each check that counts.

    Returns
    -------
    str
        ``poor``: any ERROR; ``marginal``: any WARN; ``excellent``: every number that was measured is at
        most half-way from its ideal to its soft limit; ``good``: the others; ``unknown``: nothing judged.
    """
    statuses = worst(status for status, _ in found.values())
    if statuses != "PASS":
        return {"ERROR": "poor", "WARN": "marginal", "": "unknown"}[statuses]
    known = load_limits().limits.get(product, {})
    best = [
        known[name].excellent(value)
        for name, (_, value) in found.items()
        if name in known and value is not None
    ]
    return "excellent" if best and all(best) else "good"


def error_text(metric: str, value: float | None, hard: float) -> str:
    """Say in a few words why a number is an ERROR."""
    if value is None:
        return f"{metric} is missing or not finite"
    return f"{metric} is {value:.4g}, hard limit {hard:.4g}"


def _finite(value: object) -> float | None:
    if isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


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
        None if entry.get("ideal") is None else float(entry["ideal"]),
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
