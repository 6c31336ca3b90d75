"""Charts as SVG text, which a page holds in itself: sharp at any width, light or dark by the page's style.

Belongs here: axes and marks.  Does not belong here: what is drawn (``quality/report``), colours (its style
sheet: classes ``a`` and ``b`` are two series, told apart by line and mark as well).
"""

import html
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

#: Room around the axes: left, right, top, bottom; units of the drawing, about a pixel.
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 10.0, 8.0, 34.0


@dataclass(frozen=True)
class Axis:
    """What an axis shows."""

    low: float
    high: float
    label: str
    logarithmic: bool = False
    ticks: Sequence[tuple[float, str]] | None = None
    """Places and their words; None: round numbers."""
    whole: bool = False
    """Whether only whole numbers are marked."""

    @classmethod
    def over(
        cls, values: ArrayLike, label: str, *, margin: float = 0.04, include: float | None = None
    ) -> "Axis":
        """An axis that holds all finite values (and ``include``), with a margin."""
        known = np.asarray(values, float).ravel()
        known = known[np.isfinite(known)]
        if include is not None:
            known = np.append(known, include)
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        room = margin * (high - low) or 0.05 * abs(high) or 1.0
        return cls(low - room, high + room, label)

    def part(self, values: ArrayLike) -> NDArray[np.float64]:
        """Where values lie, from 0 to 1."""
        at, ends = np.asarray(values, float), np.array([self.low, self.high])
        if self.logarithmic:
            with np.errstate(divide="ignore", invalid="ignore"):
                at, ends = np.log10(at), np.log10(ends)
        return np.asarray((at - ends[0]) / (ends[1] - ends[0]))

    def marks(self, most: int) -> list[tuple[float, str]]:
        """Ticks and their words."""
        if self.ticks is not None:
            return list(self.ticks)
        if self.logarithmic:
            powers = range(int(np.floor(np.log10(self.low))), int(np.ceil(np.log10(self.high))) + 1)
            factors = (1,) if len(powers) > 4 else (1, 3)
            values = [factor * 10.0**power for power in powers for factor in factors]
        else:
            steps = [1, 2, 5, 10] if self.whole else [1, 2, 2.5, 5, 10]
            locator = MaxNLocator(nbins=most, steps=steps, integer=self.whole)
            values = np.asarray(locator.tick_values(self.low, self.high)).tolist()
        low, high = sorted((self.low, self.high))
        slack = 1e-9 * (high - low)
        return [(value, f"{value:.6g}") for value in values if low - slack <= value <= high + slack]


@dataclass
class Chart:
    """Axes, and marks on them in the order in which they are added."""

    name: str
    """What the chart shows, for who does not see it."""
    x: Axis
    y: Axis
    width: float = 360.0
    height: float = 230.0
    left: float = _LEFT
    upright: bool = False
    """Whether words below the axis stand upright: all names of many antennas."""
    _marks: list[str] = field(default_factory=list)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The axes' left, top, width and height."""
        return self.left, _TOP, self.width - self.left - _RIGHT, self.height - _TOP - _BOTTOM

    def places(self, xs: ArrayLike, ys: ArrayLike) -> NDArray[np.float64]:
        """Points of the drawing, shape (n, 2)."""
        left, top, width, height = self.box
        return np.stack([left + width * self.x.part(xs), top + height * (1 - self.y.part(ys))], axis=-1)

    def line(self, xs: ArrayLike, ys: ArrayLike, style: str = "a", told: str = "") -> None:
        """A line through points, with gaps where there is no value."""
        at = self.places(xs, ys)
        good = np.asarray(np.isfinite(at).all(axis=1))
        steps, up = [], True
        for (x, y), known in zip(at.tolist(), good.tolist(), strict=True):
            if known:
                steps.append(f"{'M' if up else 'L'}{x:.1f} {y:.1f}")
            up = not known
        self._marks.append(f"<path class='line {style}' d='{''.join(steps)}'>{_told(told)}</path>")

    def band(self, xs: ArrayLike, low: ArrayLike, high: ArrayLike, style: str = "a") -> None:
        """What lies between two lines."""
        lower, upper = self.places(xs, low), self.places(xs, high)
        good = np.isfinite(lower).all(axis=1) & np.isfinite(upper).all(axis=1)
        points = [*upper[good].tolist(), *lower[good][::-1].tolist()]
        self._marks.append(
            f"<polygon class='band {style}' points='{' '.join(f'{x:.1f},{y:.1f}' for x, y in points)}'/>"
        )

    def dots(
        self,
        xs: ArrayLike,
        ys: ArrayLike,
        style: str = "a",
        told: Sequence[str] = (),
        links: Sequence[str] = (),
    ) -> None:
        """Points, each with words and an address if they are given."""
        for k, (x, y) in enumerate(self.places(xs, ys).tolist()):
            if not np.isfinite([x, y]).all():
                continue
            words = _told(told[k]) if told else ""
            dot = f"<circle class='dot {style}' cx='{x:.1f}' cy='{y:.1f}' r='3'>{words}</circle>"
            label = html.escape(told[k], quote=True) if told else ""
            self._marks.append(
                f"<a href='{html.escape(links[k], quote=True)}' aria-label='{label}'>{dot}</a>"
                if links
                else dot
            )

    def bars(
        self, xs: ArrayLike, ys: ArrayLike, width: float, told: Sequence[str] = (), style: str = "a"
    ) -> None:
        """Bars from zero up, ``width`` units of x wide."""
        half = width / 2
        tops = self.places(np.asarray(xs, float) - half, ys).tolist()
        feet = self.places(np.asarray(xs, float) + half, np.zeros(len(tops))).tolist()
        for k, ((x0, y0), (x1, y1)) in enumerate(zip(tops, feet, strict=True)):
            words = _told(told[k]) if told else ""
            self._marks.append(
                f"<rect class='barred {style}' x='{x0:.1f}' y='{y0:.1f}' width='{x1 - x0:.2f}' "
                f"height='{max(0.0, y1 - y0):.1f}'>{words}</rect>"
            )

    def errors(self, xs: ArrayLike, ys: ArrayLike, widths: ArrayLike, style: str = "a") -> None:
        """Vertical error bars."""
        y, error = np.asarray(ys, float), np.asarray(widths, float)
        low, high = self.places(xs, y - error).tolist(), self.places(xs, y + error).tolist()
        steps = "".join(f"M{x:.1f} {a:.1f}V{b:.1f}" for (x, a), (_, b) in zip(low, high, strict=True))
        self._marks.append(f"<path class='thin {style}' d='{steps}'/>")

    def level(self, value: float, style: str, told: str = "") -> None:
        """A line across at a value of y; nothing if it lies beyond the axis."""
        if self.y.low <= value <= self.y.high:
            self.line([self.x.low, self.x.high], [value, value], style, told)

    def plumb(self, value: float, style: str) -> None:
        """A line from bottom to top at a value of x."""
        self.line([value, value], [self.y.low, self.y.high], style)

    def picture(self, address: str, pixelated: bool = True) -> None:
        """A picture over the whole of the axes."""
        left, top, width, height = self.box
        style = " class=pixels" if pixelated else ""
        self._marks.append(
            f"<image{style} href='{address}' x='{left:.1f}' y='{top:.1f}' width='{width:.1f}' "
            f"height='{height:.1f}' preserveAspectRatio='none'/>"
        )

    def ellipse(
        self, x: float, y: float, major: float, minor: float, turn_deg: float, style: str, told: str = ""
    ) -> None:
        """An ellipse of full widths in units of y; its long axis turns from up to the left."""
        (place,) = self.places([x], [y])
        scale = self.box[3] / abs(self.y.high - self.y.low) / 2
        self._marks.append(
            f"<ellipse class='{style}' rx='{minor * scale:.2f}' ry='{major * scale:.2f}' "
            f"transform='translate({place[0]:.1f} {place[1]:.1f}) rotate({-turn_deg:.1f})'>"
            f"{_told(told)}</ellipse>"
        )

    def text(self, x: float, y: float, words: str, style: str = "", anchor: str = "middle") -> None:
        """Words at a place."""
        (place,) = self.places([x], [y])
        self._marks.append(
            f"<text class='{style}' x='{place[0]:.1f}' y='{place[1]:.1f}' text-anchor='{anchor}'>"
            f"{html.escape(words)}</text>"
        )

    def svg(self) -> str:
        """The drawing."""
        left, top, width, height = self.box
        body = "".join(self._marks)
        # A picture has nothing in it that can be reached.
        role = "group" if "<a " in body else "img"
        # One name a drawing, the same whenever the page is made of the same.
        clip = f"c{zlib.crc32((self.name + body).encode()):08x}"
        return (
            f"<svg viewBox='0 0 {self.width:g} {self.height:g}' role={role} "
            f"aria-label='{html.escape(self.name, quote=True)}'><clipPath id={clip}>"
            f"<rect x='{left - 4:.1f}' y='{top - 4:.1f}' width='{width + 8:.1f}' height='{height + 8:.1f}'/>"
            "</clipPath>"
            f"<rect class=ground x='{left:.1f}' y='{top:.1f}' width='{width:.1f}' height='{height:.1f}'/>"
            f"<g clip-path='url(#{clip})'>{body}</g>{self._axes()}</svg>"
        )

    def _axes(self) -> str:
        left, top, width, height = self.box
        parts = [
            f"<rect class=frame x='{left:.1f}' y='{top:.1f}' width='{width:.1f}' height='{height:.1f}'/>"
        ]
        for value, words in self.x.marks(max(3, int(width / 60))):
            x = left + width * float(self.x.part(value))
            parts.append(f"<path class=tick d='M{x:.1f} {top + height:.1f}v4'/>")
            if self.upright:
                turn = f"class=upright transform='translate({x + 3:.1f} {top + height + 6:.1f}) rotate(-90)'"
                parts.append(f"<text {turn} text-anchor=end>{html.escape(words)}</text>")
            else:
                place = f"x='{x:.1f}' y='{top + height + 14:.1f}'"
                parts.append(f"<text {place} text-anchor=middle>{html.escape(words)}</text>")
        for value, words in self.y.marks(max(3, int(height / 36))):
            y = top + height * (1 - float(self.y.part(value)))
            parts.append(
                f"<path class=tick d='M{left:.1f} {y:.1f}h-4'/>"
                f"<text x='{left - 6:.1f}' y='{y + 3.5:.1f}' text-anchor=end>{html.escape(words)}</text>"
            )
        middle = top + height / 2
        parts.append(
            f"<text class=label x='{left + width / 2:.1f}' y='{self.height - 5:.1f}' text-anchor=middle>"
            f"{html.escape(self.x.label)}</text>"
            f"<text class=label transform='translate(11 {middle:.1f}) rotate(-90)' text-anchor=middle>"
            f"{html.escape(self.y.label)}</text>"
        )
        return "".join(parts)


def _told(words: str) -> str:
    return f"<title>{html.escape(words)}</title>" if words else ""
