"""Settings as a user gives them: in the environment, in the file, and wrongly."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from contimg_assets.cli.status import status
from contimg_assets.definitions import build_defs
from contimg_assets.radio.errors import SettingsError
from contimg_assets.settings import get_settings, origins, read_settings


def test_none_switches_a_number_off(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that may be None and is not by default can only be switched off by a word."""
    assert read_settings().imaging.outside_sigma is not None
    monkeypatch.setenv("CONTIMG_IMAGING__OUTSIDE_SIGMA", "none")
    monkeypatch.setenv("CONTIMG_IMAGING__SPECTRA_SIGMA", "500")
    imaging = read_settings().imaging
    assert (imaging.outside_sigma, imaging.spectra_sigma) == (None, 500.0)
    monkeypatch.delenv("CONTIMG_IMAGING__OUTSIDE_SIGMA")
    (home / "contimg.toml").write_text('imaging.outside_sigma = "none"\n')
    assert read_settings().imaging.outside_sigma is None


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "contimg.toml").write_text(
        'threads = 5\nincoming = "/data/in"\n[imaging]\nrobust = -1\ngain = 0.2\nscales_arcsec = [0, 60]\n'
    )
    monkeypatch.setenv("CONTIMG_IMAGING__ROBUST", "1.5")
    settings = read_settings()
    assert (settings.home, settings.threads, settings.incoming_folder) == (home, 5, Path("/data/in"))
    imaging = settings.imaging
    assert (imaging.robust, imaging.gain, imaging.scales_arcsec) == (1.5, 0.2, (0.0, 60.0))
    found = origins()
    assert found["imaging.robust"] == "environment"
    assert found["imaging.gain"] == "file"
    assert found["imaging.mode"] == "default"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "CONTIMG_IMAGING__ROBUSTT",
            "1",
            "CONTIMG_IMAGING__ROBUSTT is not a setting; did you mean CONTIMG_IMAGING__ROBUST?",
        ),
        # The name of the last release: its last part is that of one setting only.
        (
            "CONTIMG_INGEST__WRITER",
            "direct",
            "CONTIMG_INGEST__WRITER is not a setting; did you mean CONTIMG_CONVERSION__WRITER?",
        ),
        ("CONTIMG_THREAD", "1", "CONTIMG_THREAD is not a setting; did you mean CONTIMG_THREADS?"),
        ("CONTIMG_IMAGING", "{}", "CONTIMG_IMAGING is not a setting"),
        ("CONTIMG_XQZ", "1", "CONTIMG_XQZ is not a setting; `contimg settings` shows all there are"),
        (
            "CONTIMG_IMAGING__ROBUST",
            "3",
            "CONTIMG_IMAGING__ROBUST: found '3'; expected less than or equal to 2",
        ),
        ("CONTIMG_THREADS", "two", "CONTIMG_THREADS: found 'two'; expected a valid integer"),
        (
            "CONTIMG_IMAGING__ENGINE",
            "clean",
            "CONTIMG_IMAGING__ENGINE: found 'clean'; expected 'wgridder', 'tclean' or 'wsclean'",
        ),
        (
            "CONTIMG_IMAGING__SCALES_ARCSEC",
            "0, 60",
            "CONTIMG_IMAGING__SCALES_ARCSEC: found '0, 60'; expected a list in brackets, such as [0, 60]",
        ),
        (
            "CONTIMG_IMAGING__SCALES_ARCSEC",
            "[60]",
            "CONTIMG_IMAGING__SCALES_ARCSEC: found (60.0,); expected widths that begin with 0 and rise",
        ),
    ],
)
def test_a_wrong_variable_is_named_with_what_is_right(
    home: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    assert home.is_dir()
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        read_settings()
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[imaging]\nrobustt = 1\n", "imaging.robustt is not a setting; did you mean imaging.robust?"),
        ("[ingest]\nwriter = 'auto'\n", "ingest.writer is not a setting; did you mean conversion.writer?"),
        ("[imaging]\nrobust = 'high'\n", "imaging.robust: found 'high'; expected a valid number"),
        ("home = '/data'\n", "found home; expected it in the environment only (CONTIMG_HOME)"),
        ("imaging = \n", "found no TOML: Invalid value (at line 1, column 11)"),
        ("imaging = 5\n", "imaging is not a setting"),
    ],
)
def test_a_wrong_key_is_named_with_its_file(home: Path, text: str, message: str) -> None:
    (home / "contimg.toml").write_text(text)
    with pytest.raises(SettingsError) as refused:
        read_settings()
    assert str(refused.value).startswith(f"{home / 'contimg.toml'}: {message}")


def test_variables_of_dagsters_storage_and_of_casa_are_no_settings(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTIMG_DAGSTER_DATABASE_URL", "postgresql://user@host/name")
    monkeypatch.setenv("CONTIMG_CASA_DATA", "/somewhere")
    assert read_settings().home == home


def test_commands_and_dagster_say_the_same_of_a_wrong_setting(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line and exit code 2, as for a wrong command line; the code location does not load."""
    assert home.is_dir()
    monkeypatch.setenv("CONTIMG_IMAGING__ROBUSTT", "1")
    get_settings.cache_clear()
    message = "CONTIMG_IMAGING__ROBUSTT is not a setting; did you mean CONTIMG_IMAGING__ROBUST?"
    result = CliRunner().invoke(status, [])
    assert (result.exit_code, result.stderr) == (2, f"SettingsError: {message}\n")
    with pytest.raises(SettingsError) as refused:
        build_defs()
    assert str(refused.value) == message
