"""Alerts are kept in order, and not for ever."""

from pathlib import Path

import pytest

from contimg_assets.station import alerts as notifier


def test_the_oldest_alerts_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifier, "KEPT_ALERTS", 3)
    kept = notifier.Notifier(tmp_path)
    assert kept.recent() == []
    for number in range(5):
        kept.send("run_failed", f"group {number}", "why")
    assert [alert["subject"] for alert in kept.recent(2)] == ["group 3", "group 4"]
    assert [alert["subject"] for alert in kept.recent()] == ["group 2", "group 3", "group 4"]


def test_what_is_told_once_may_be_told_in_other_words(tmp_path: Path) -> None:
    kept = notifier.Notifier(tmp_path)
    for message, same in (
        ("no answer: refused", "no answer"),
        ("no answer: closed", "no answer"),
        ("full", None),
        ("full", None),
        ("no answer: closed", None),
    ):
        kept.send_once("storage", "database", message, same=same)
    told = [alert["message"] for alert in kept.recent()]
    assert told == ["no answer: refused", "full", "no answer: closed"]
