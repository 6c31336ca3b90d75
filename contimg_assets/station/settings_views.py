"""Every setting as people and programs are shown it: its value, where that comes from, what it means.

Belongs here: gathering, without passwords.  Does not belong here: the settings
(``settings.py``), or printing (``cli/settings.py``).
"""

import re
from math import isfinite
from typing import Any

from contimg_assets.settings import NONE, Setting, Settings, all_settings, get_settings, origins


def settings_in_force() -> list[dict[str, Any]]:
    """All settings: variable, key, value without passwords, origin, meaning."""
    present, origin_of = get_settings(), origins()
    return [
        {
            "variable": setting.variable,
            "key": setting.key,
            "value": plain(setting.value(present)),
            "origin": origin_of[setting.key],
            "meaning": meaning_of(setting)[0],
        }
        for setting in all_settings()
    ]


def values_of(settings: Settings) -> dict[str, Any]:
    """The values of some settings by key, without passwords."""
    return {setting.key: plain(setting.value(settings)) for setting in all_settings()}


def plain(value: Any) -> Any:
    """A value as JSON has it, without passwords."""
    if isinstance(value, tuple):
        return list(value)
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value)):
        return value
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", str(value))


def shown_as_typed(value: Any) -> str:
    """A value as it is typed."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(shown_as_typed, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def meaning_of(setting: Setting) -> tuple[str, str]:
    """First sentence of what a setting means, and what it is when none is given (a dash if nobody says)."""
    text = " ".join((setting.field.description or "").split()).replace("``", "`")
    sentence = re.split(r"\.(?= )", text)[0].removesuffix(".")
    default = setting.field.get_default(call_default_factory=True)
    meaning, mark, without = sentence.partition("; None: ")
    if default is None:
        return meaning, without or "–"
    return sentence.replace(f"{mark}{without}", f"; `{NONE}`: {without}") if mark else sentence, "–"
