"""Options of conversion."""

from typing import Literal

from contimg_assets.radio.options import Options


class ConversionOptions(Options):
    """How a group's files become a Measurement Set."""

    writer: Literal["direct", "pyuvdata", "auto"] = "direct"
    """``pyuvdata`` is the reference; ``auto``: that one for files that ``direct`` does not take."""
