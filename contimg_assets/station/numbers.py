"""The numbers of a result: as the database keeps them, and as people and Dagster are shown them."""

import math
from collections.abc import Mapping
from typing import Any


def numbers(result: Mapping[str, Any]) -> dict[str, int | float]:
    """The finite numbers of a result: each label becomes a plot over the partitions.

    To nine digits, as they are read here; the station database has the others.
    """
    return {
        label: value if isinstance(value, int) else float(f"{value:.9g}")
        for label, value in result.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def finite(value: Any) -> Any:
    """Copy of ``value`` in which numbers that are not finite are None, as JSON demands."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
