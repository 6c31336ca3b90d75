"""The picture of a group's flags."""

from pathlib import Path
from typing import Any

import numpy as np

from contimg_assets.radio.plots.figures import figure, save


def plot_flags(path: Path, summary: dict[str, Any]) -> None:
    """Flagged fraction by antenna, channel and integration, and the coherence."""
    made, (antenna, coherence, channel, integration) = figure(2, 2, (9, 5.5))
    names = list(summary["by_antenna"])
    places = np.arange(len(names))
    antenna.bar(places, 100 * np.array(list(summary["by_antenna"].values())), color="C3")
    antenna.set(title="Flagged by antenna", ylabel="%", xlabel="antenna")
    coherence.bar(places, list(summary["coherence_by_antenna"].values()), color="C0")
    coherence.axhline(1.0, color="0.5", lw=0.8)
    coherence.set(title="Coherence with the array", ylabel="relative to the median", xlabel="antenna")
    step = max(1, len(names) // 16)
    for axes in (antenna, coherence):
        axes.set_xticks(places[::step], names[::step], fontsize=7)
    channel.plot(summary["frequencies_mhz"], 100 * np.array(summary["by_channel"]), lw=0.8)
    channel.set(title="Flagged by channel", ylabel="%", xlabel="MHz")
    integration.plot(100 * np.array(summary["by_integration"]), "o-", ms=3)
    integration.set(title="Flagged by integration", ylabel="%", xlabel="integration")
    save(made, path)
