"""How things are said on pages: words, marks and formats of states, verdicts, numbers and times.

Belongs here: what several pages say alike.  Does not belong here: what is so (``station/``).
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from contimg_assets.radio.sidereal_day import sidereal_time_deg
from contimg_assets.web.api.group_models import GroupRow

MJD_0 = datetime(1858, 11, 17, tzinfo=UTC)


@dataclass(frozen=True)
class Face:
    """How a state looks: never by its colour alone."""

    style: str
    """Class of the style sheet."""
    mark: str
    word: str


_VERDICTS = {
    "PASS": Face("good", "✓", "good"),
    "WARN": Face("uncertain", "!", "uncertain"),
    "ERROR": Face("bad", "✕", "bad"),
    "": Face("none", "·", "not judged"),
}
_STATES = {
    "collecting": Face("waits", "…", "files are coming"),
    "pending": Face("waits", "…", "waits"),
    "in_progress": Face("runs", "▶", "is being made"),
    "failed": Face("failed", "⚠", "failed"),
}
_QUALITIES = {
    "excellent": Face("good", "✓✓", "excellent"),
    "good": Face("good", "✓", "good"),
    "marginal": Face("uncertain", "!", "marginal"),
    "poor": Face("bad", "✕", "poor"),
    "unknown": Face("none", "·", "unknown"),
}
_JOBS = {
    "queued": Face("waits", "…", "queued"),
    "running": Face("runs", "▶", "running"),
    "cancelling": Face("runs", "▶", "cancelling"),
    "done": Face("good", "✓", "done"),
    "failed": Face("failed", "⚠", "failed"),
    "cancelled": Face("none", "–", "cancelled"),
}
#: Ways to a calibration, as tables have room for them.
FALLBACKS = {
    "same_day": Face("good", "✓", "same day"),
    "backup_calibrator": Face("uncertain", "!", "back-up calibrator"),
    "bandpass_selfcal": Face("uncertain", "!", "bandpass and self-calibration"),
    "earlier_day": Face("uncertain", "!", "earlier day"),
    "named": Face("none", "·", "named by a person"),
}
#: Classes of a calibrator in the beam.
CALIBRATORS = {
    "good": Face("good", "✓", "calibrator"),
    "backup": Face("uncertain", "!", "back-up calibrator"),
    "faint": Face("none", "·", "faint"),
    "none": Face("none", "", ""),
}


def of_group(state: str, verdict: str) -> Face:
    """A group's state and verdict in one."""
    return _VERDICTS[verdict] if state == "completed" else _STATES[state]


def of_verdict(verdict: str) -> Face:
    """A verdict of checks, or of a person."""
    return _VERDICTS[verdict]


def of_quality(word: str) -> Face:
    """A word for quality."""
    return _QUALITIES[word]


def of_job(status: str) -> Face:
    """A job's status."""
    return _JOBS.get(status, Face("none", "·", status))


@dataclass(frozen=True)
class Number:
    """A number of a group, as tables show it."""

    name: str
    short: str
    """Heading of its column."""
    unit: str
    form: str
    scale: float = 1.0

    @property
    def meaning(self) -> str:
        """What it is."""
        return GroupRow.model_fields[self.name].description or self.short

    def text(self, value: float | None) -> str:
        """The number with its unit's scale, without the unit."""
        return "–" if value is None else format(value * self.scale, self.form)


#: Numbers of a group that lists and trends can show, in the order of columns.
NUMBERS = {
    number.name: number
    for number in (
        Number("rms_mjy_beam", "noise", "mJy/beam", ".2f"),
        Number("rms_ratio", "noise / expected", "", ".2f"),
        Number("flag_fraction", "flagged", "%", ".1f", 100.0),
        Number("dynamic_range", "dynamic range", "", ".0f"),
        Number("n_sources", "sources", "", ".0f"),
        Number("flux_ratio", "flux ratio", "", ".3f"),
        Number("astrometric_offset_arcsec", "offset", "″", ".2f"),
    )
}


def number(value: float | None, digits: int = 4) -> str:
    """A number to so many digits; – where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}g}"


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction in percent."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def size(value: float | None) -> str:
    """Bytes in the unit that suits them."""
    if value is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def duration(seconds: float | None) -> str:
    """A length of time in the unit that suits it."""
    if seconds is None:
        return "–"
    sign, left = ("−", -seconds) if seconds < 0 else ("", seconds)
    for limit, unit, length in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if left < limit:
            value = left / length
            return f"{sign}{value:.0f} {unit}" if value >= 10 or unit == "s" else f"{sign}{value:.1f} {unit}"
    return f"{sign}{left / 86400:.1f} d"


def at(moment: datetime | str | None, form: str = "%Y-%m-%d %H:%M:%SZ") -> str:
    """A time, UTC."""
    if moment is None:
        return "–"
    given = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return given.astimezone(UTC).strftime(form)


def ago(moment: datetime | None) -> str:
    """How long ago, or how soon, a time is."""
    if moment is None:
        return "–"
    seconds = (datetime.now(UTC) - moment).total_seconds()
    return f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}"


def of_mjd(mjd: float) -> datetime:
    """Time of a modified Julian date."""
    return MJD_0 + timedelta(days=mjd)


def lst(mjd: float) -> str:
    """Local sidereal time at a modified Julian date, to the minute."""
    hours, minutes = divmod(round(sidereal_time_deg(mjd) * 4) % 1440, 60)
    return f"{hours:02d}h {minutes:02d}m"
