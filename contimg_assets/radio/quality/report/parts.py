"""Pieces of HTML that several parts of the report are made of.

Belongs here: escaping, tables, figures, words that open.  Does not belong here: any number.
"""

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from contimg_assets.radio.limits import Judgement
from contimg_assets.radio.quality.report.meanings import meaning_of

WORDS = {"PASS": ("✓", "good"), "WARN": ("!", "uncertain"), "ERROR": ("✕", "bad")}


def text(value: object) -> str:
    """Text in HTML."""
    return html.escape(str(value))


def shown(value: float | None, form: str = ".4g") -> str:
    """A number as it is read."""
    return "not finite" if value is None else format(value, form)


def bounds(found: Judgement, between: str) -> str:
    """Both limits of a number."""
    return f"{found.limit.direction} {found.limit.soft:g}{between}{found.limit.hard:g}"


def link(address: str, words: str) -> str:
    """A link."""
    return f"<a href='{html.escape(address, quote=True)}'>{text(words)}</a>"


def opening(words: str, inside: str) -> str:
    """Words that open to more, with no script; only the words, if there is no more.

    ``words`` and ``inside`` are HTML.
    """
    return f"<details class=what><summary>{words}</summary><p>{inside}</p></details>" if inside else words


def explained(name: str, kind: str = "image_qa", words: str | None = None, more: str = "") -> str:
    """A number's name that opens to its meaning."""
    return opening(text(words or name), " ".join(filter(None, (text(meaning_of(name, kind)), text(more)))))


def picture(caption: str, file: Path) -> str:
    """A PNG in the page itself."""
    encoded = base64.b64encode(file.read_bytes()).decode()
    return figure(
        f"<img alt='{html.escape(caption, quote=True)}' src='data:image/png;base64,{encoded}'>", text(caption)
    )


def figure(drawing: str, caption: str) -> str:
    """A drawing with its caption (HTML)."""
    return f"<figure>{drawing}<figcaption>{caption}</figcaption></figure>"


def panels(figures: Iterable[str], style: str = "panels") -> str:
    """Figures side by side, or below one another where there is no room."""
    return f"<div class='{style}'>{''.join(figures)}</div>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], name: str) -> str:
    """A table of cells (HTML), which scrolls in its own box where it is too wide."""
    head = "".join(f"<th scope=col>{h}</th>" for h in heads)
    body = "".join(
        f"<tr><th scope=row>{row[0]}</th>{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>"
        for row in rows
    )
    return (
        f"<div class=wide tabindex=0 role=region aria-label='{html.escape(name, quote=True)}'>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def section(identity: str, title: str, *inside: str) -> str:
    """A part of the page; nothing if there is nothing inside."""
    content = "".join(inside)
    return f"<section id={identity}><h2>{text(title)}</h2>{content}</section>" if content else ""


def two_feeds(n_feeds: int = 2) -> str:
    """What tells the feeds apart in charts."""
    second = " <span class='key b'>- - YY</span>" if n_feeds > 1 else ""
    return f"<span class='key a'>— XX</span>{second}"
