"""Settings as a user gives them."""

import pytest

from contimg_assets.settings import Settings


def test_none_switches_a_number_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that may be None and is not by default can only be switched off by a word."""
    assert Settings().imaging.outside_sigma is not None
    monkeypatch.setenv("CONTIMG_IMAGING__OUTSIDE_SIGMA", "none")
    monkeypatch.setenv("CONTIMG_IMAGING__SPECTRA_SIGMA", "500")
    imaging = Settings().imaging
    assert (imaging.outside_sigma, imaging.spectra_sigma) == (None, 500.0)
