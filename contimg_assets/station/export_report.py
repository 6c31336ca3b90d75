"""A group's report in an export: its links lead to what is handed over with it, others are none.

Belongs here: the addresses in its text.  Does not belong here: copying it (``export.py``), or the report
(``radio/quality/report``).
"""

import html
import posixpath
import re
from collections.abc import Collection

from contimg_assets.station.report_surroundings import REPORT

#: As the report writes links, in its text and in its charts.
_LINK = re.compile(r"<a href='([^']*)'")
#: What leads nowhere any more, in the list of other pages, and what is empty then.
_GONE = re.compile(r"<li><a>[^<]*</a></li>")
_EMPTY = (
    re.compile(r"<ul><li class=note>[^<]*</li></ul>"),
    re.compile(r"<ul></ul>"),
    re.compile(r"<nav aria-label='Other pages'></nav>"),
)


def handed_over(text: str, group: str, files: Collection[str], groups: Collection[str]) -> str:
    """A report as it stands in an export.

    Parameters
    ----------
    text : str
        The page as it was published, in ``products/<group>/image_qa``.
    group : str
        Its group's folder (``20250601T140549``), of products and of the export.
    files : collection of str
        Names of the files that lie beside it in the export.
    groups : collection of str
        Folders of the groups whose reports are in the export.
    """

    def replaced(found: re.Match[str]) -> str:
        address = _address(html.unescape(found[1]), group, files, groups)
        return "<a" if address is None else f"<a href='{html.escape(address, quote=True)}'"

    text = _GONE.sub("", _LINK.sub(replaced, text))
    for empty in _EMPTY:
        text = empty.sub("", text)
    return text


def _address(address: str, group: str, files: Collection[str], groups: Collection[str]) -> str | None:
    """Where a link leads to in the export; None: nowhere."""
    if address.startswith(("#", "http:", "https:")):
        return address
    folder, *rest = posixpath.normpath(posixpath.join(group, "image_qa", address)).split("/")
    if not rest:
        return None
    if folder == group and rest[:-1] == ["image"] and rest[-1] in files:
        return rest[-1]
    if folder in groups and rest == ["image_qa", REPORT]:
        return REPORT if folder == group else f"../{folder}/{REPORT}"
    return None
