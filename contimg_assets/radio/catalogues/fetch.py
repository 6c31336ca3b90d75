"""Catalogues from the archives that serve them, for stations with a network."""

from collections.abc import Callable
from pathlib import Path

from astropy.table import Table

from contimg_assets.radio.catalogues.surveys import SURVEYS, SurveyName
from contimg_assets.radio.errors import CatalogueError

#: VizieR tables that hold a survey whole.
VIZIER: dict[SurveyName, str] = {
    "nvss": "VIII/65/nvss",
    "first": "VIII/92/first14",
    "vlass": "J/ApJS/255/30/comp",
}
_CASDA_TAP = "https://casda.csiro.au/casda_vo_tools/tap"
_RACS_QUERY = (
    "SELECT source_name, ra, dec, total_flux_source, e_total_flux_source "
    "FROM AS110.racs_dr1_sources_galacticcut_v2021_08_v02"
)


def fetch(survey: SurveyName, folder: Path, timeout_s: float) -> Path:
    """Download a survey whole, as a FITS table with the archive's columns.

    Parameters
    ----------
    survey : str
        All but ``vla``, which NRAO serves as a page to be saved by hand.
    folder : Path
        Where the file goes.
    timeout_s : float
        For the archive's answer.

    Returns
    -------
    Path
        To be installed like any published file.

    Raises
    ------
    CatalogueError
        If the archive cannot be reached, or has nothing.
    """
    getters: dict[str, Callable[[], Table]] = {"racs": _racs}
    if survey in VIZIER:
        getters[survey] = lambda: _vizier(VIZIER[survey], timeout_s)
    if survey not in getters:
        raise CatalogueError(f"{SURVEYS[survey].title}: no archive serves it; save it by hand and import it")
    from requests import RequestException

    try:
        table = getters[survey]()
    except (RequestException, OSError) as error:
        raise CatalogueError(f"{SURVEYS[survey].title}: the archive cannot be reached: {error}") from error
    path = folder / f"{survey}.fits"
    table.meta.clear()
    table.write(path, overwrite=True)
    return path


def _vizier(identifier: str, timeout_s: float) -> Table:
    from astroquery.vizier import Vizier

    found = Vizier(columns=["*"], row_limit=-1, timeout=timeout_s).get_catalogs(identifier)
    if not found:
        raise CatalogueError(f"VizieR has no table {identifier}")
    return found[0]


def _racs() -> Table:
    from astroquery.utils.tap import TapPlus

    return TapPlus(url=_CASDA_TAP).launch_job_async(_RACS_QUERY).get_results()
