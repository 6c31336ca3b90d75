"""With what a group is calibrated: the places of its flags and tables, as one stage tells another.

Belongs here: the model.  Does not belong here: reading them (``corrections.py``), or choosing among sets
(``station/calibration_selection.py``).
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class Calibration(BaseModel):
    """Where the flags and the solutions of a group are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flags: Path
    """Folder of the group's flags."""
    tables: Path
    """Folder of the calibration set."""
    other: Path | None = None
    """Set on the other side of the group in time, to interpolate towards."""
    weight: float = Field(default=0.0, ge=0.0, le=0.5)
    """Part of the time between the sets that has passed since ``tables``."""

    @property
    def sets(self) -> list[Path]:
        """The one or two sets."""
        return [self.tables] if self.other is None else [self.tables, self.other]
