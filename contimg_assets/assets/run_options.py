"""What can be asked of one run in place of the settings, as Dagster's config of the assets concerned.

Belongs here: the options and what they mean to a stage's command.  Does not
belong here: the settings' own (``radio/*/options.py``).  An option that is not
declared here is taken by Dagster without a word, and without effect.
"""

import json
from collections.abc import Mapping
from typing import Any

from dagster import Config
from pydantic import Field

from contimg_assets.settings import get_settings


class SolveRunOptions(Config):
    """Of solving a calibrator scan."""

    reference_antenna: str | None = Field(
        default=None, description="Its name; None: the settings', or the data's."
    )
    calibrator: str | None = Field(default=None, description="Its name; None: the brightest in the beam.")
    fast: bool | None = Field(default=None, description="Gains in phase only; None: as the settings say.")

    @property
    def asked(self) -> dict[str, Any]:
        """What was given."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class ApplyRunOptions(Config):
    """Of applying a calibration."""

    calibration_set: str | None = Field(
        default=None, description="Set to apply, whatever else there is; None: the best that fits."
    )
    keep: bool | None = Field(
        default=None, description="Write a calibrated Measurement Set; None: as the settings say."
    )

    @property
    def asked(self) -> dict[str, Any]:
        """What was given."""
        return {name: value for name, value in self.model_dump().items() if value is not None}

    @property
    def is_kept(self) -> bool:
        """Whether a calibrated Measurement Set is written: if it would be removed at once, it is not."""
        return get_settings().retention.calibrated_hours > 0 if self.keep is None else self.keep


class ImageRunOptions(Config):
    """Of imaging."""

    options: dict[str, Any] = Field(
        default={}, description='Imaging options in place of the settings\', such as {"robust": 0.5}.'
    )

    @property
    def asked(self) -> dict[str, Any]:
        """What was given, held against the options that there are.

        Raises
        ------
        SettingsError
            If there is no such option, or it does not take the value.
        """
        return checked_imaging(self.options)

    @property
    def arguments(self) -> list[str]:
        """For the command ``contimg image``."""
        asked = self.asked
        return ["--options", json.dumps(asked)] if asked else []


def checked_imaging(options: Mapping[str, Any]) -> dict[str, Any]:
    """Imaging options that are given for one run, as JSON has them.

    Raises
    ------
    SettingsError
        If there is no such option, or it does not take the value; the message names it.
    """
    return get_settings().imaging.replaced(options).model_dump(mode="json", include=set(options))
