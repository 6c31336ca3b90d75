"""The errors that the package raises on purpose.

One base class, one child for each thing that a caller may want to tell apart.
Every message names the file or product, what was found and what was expected.
Errors of libraries are not wrapped here unless something is added to them.
"""

from pathlib import Path


class ContimgError(Exception):
    """Base of every error that contimg raises on purpose."""


class SettingsError(ContimgError):
    """A setting that does not exist, or a value that it does not take."""


class BadSubbandFileError(ContimgError):
    """A UVH5 file that cannot be used: truncated, wrong shape, NaN header, …."""


class GroupError(ContimgError):
    """Files that do not make up one observation group."""


class MissingInputError(ContimgError):
    """A file, product or record that should be there is not."""


class ConversionError(ContimgError):
    """A Measurement Set could not be written, or was written wrong."""


class FlaggingError(ContimgError):
    """Flags could not be computed or do not fit their Measurement Set."""


class CalibrationError(ContimgError):
    """Solving or applying calibration failed or gave unusable solutions."""


class NoCalibratorError(CalibrationError):
    """No usable calibrator in the beam, or no valid calibration for a group."""


class ImagingError(ContimgError):
    """An image could not be made from the data given."""


class BeamError(ContimgError):
    """A file of the primary beam's pattern that cannot be used."""


class CatalogueError(ContimgError):
    """A source catalogue or calibrator list cannot be read."""


class StateError(ContimgError):
    """A state transition or a write that the station database does not allow."""


class VerdictError(ContimgError):
    """A product whose last quality verdict forbids its use downstream."""


class StorageError(ContimgError):
    """Storage is full, read-only, ill or away: no fault of the data, and over when the storage is back.

    Parameters
    ----------
    cause : str
        In the system's words, such as ``no space left on device``.
    folder : Path, optional
        Where.
    """

    def __init__(self, cause: str, folder: Path | None = None) -> None:
        super().__init__(f"{folder}: {cause}" if folder is not None else cause)
        self.cause = cause
        self.folder = folder


class DatabaseError(ContimgError):
    """The station database, or Dagster's, cannot be read or written, or is not what the home needs."""


class ExportError(ContimgError):
    """What was asked for cannot be handed over, or not to that place."""


class SelectionError(ContimgError):
    """Groups are asked for in a way that cannot be meant, or by something that does not exist."""


class CampaignError(ContimgError):
    """A campaign that does not exist, or cannot do what is asked of it."""


class BackupError(ContimgError):
    """A backup that cannot be made, is not whole, or would be restored over what is there."""


class RetentionError(ContimgError):
    """What should go from the disk cannot be removed."""


class AccessError(ContimgError):
    """The web server cannot be opened as asked, or its tokens are not in order."""
