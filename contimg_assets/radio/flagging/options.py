"""Options of flagging."""

from pydantic import Field

from contimg_assets.radio.options import Options


class FlaggingOptions(Options):
    """The first, statistical flagger."""

    sigma: float = Field(default=6.0, gt=3)
    """Amplitudes of samples and of blocks of them this many robust deviations out are flagged."""
    common_sigma: float = Field(default=7.0, gt=3)
    """Channel × integration cells whose array-wide statistic is this far out are flagged."""
    false_alarm: float = Field(default=3e-4, gt=0, lt=0.01)
    """Part of clean samples that may be flagged when each is compared with its neighbours in frequency."""
    growth_fraction: float = Field(default=0.7, gt=0, le=1)
    """Runs of samples of which more than this part is flagged are flagged whole."""
    dead_coherence: float = Field(default=0.2, gt=0, lt=1)
    """An antenna whose coherence with the array is below this part of the median is dead."""
