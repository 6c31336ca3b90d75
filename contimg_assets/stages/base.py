"""What all stages share: inputs, results, and the surroundings of a run.

Belongs here: the base models, and what a process must do before its first stage.
Does not belong here: anything about one stage.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from contimg_assets.radio.files import scratch_folder


class Inputs(BaseModel):
    """What one run of a stage works on and where it writes: products, names, no choices."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Result(BaseModel):
    """What a stage tells: the fields that it promises, and whatever else its science reports.

    Names are those of Dagster's metadata, of the stored numbers and of the limits.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    def as_json(self) -> dict[str, Any]:
        """As plain values: the promised fields, then the others; what was not reported is left out."""
        return self.model_dump(exclude_unset=True)


@dataclass(frozen=True)
class StageContext:
    """The surroundings of a run: what a machine gives it, and no choice of the user's."""

    scratch: Path
    """Folder on a file system with room for copies of Measurement Sets."""
    catalogues: Path
    """Folder of the installed source catalogues."""
    casa: Path
    """Folder of CASA's data, log and cache."""
    threads: int
    """Threads that the stage may use."""

    def scratch_folder(self, label: str) -> AbstractContextManager[Path]:
        """A working folder, removed afterwards."""
        return scratch_folder(self.scratch, label)

    def prepare(self) -> None:
        """Make the process ready for stages; before anything imports CASA or casacore."""
        from contimg_assets.radio import casa
        from contimg_assets.radio.malloc import idle_quietly, keep_memory

        keep_memory()
        idle_quietly()
        casa.configure(self.casa)
