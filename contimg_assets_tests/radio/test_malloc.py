"""How a stage's process handles its threads while they have nothing to do."""

import os

import pytest

from contimg_assets.radio.malloc import idle_quietly


@pytest.mark.parametrize(("asked", "expected"), [(None, "passive"), ("active", "active")])
def test_waiting_threads_sleep_unless_a_person_says_otherwise(
    asked: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Set first, so that it is as it was afterwards.
    monkeypatch.setenv("OMP_WAIT_POLICY", asked or "")
    if asked is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    idle_quietly()
    assert os.environ["OMP_WAIT_POLICY"] == expected
