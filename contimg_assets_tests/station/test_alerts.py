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
