"""What tests of the web share: our part of what is served, empty, or over a home that has been made."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from dagster import DagsterInstance
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from contimg_assets.definitions import build_defs
from contimg_assets.partitions import add_keys
from contimg_assets.resources.foreground_runs import failure_text
from contimg_assets.resources.instance import initialise
from contimg_assets.settings import Settings, WebOptions, get_settings
from contimg_assets.station.installation import Installation
from contimg_assets.station.operator_actions import OperatorActions
from contimg_assets.web.app import guarded_app, own_app
from contimg_assets.web.dagster_app import dagster_workspace, orchestrator_of
from contimg_assets.web.orchestrator import Orchestrator
from contimg_assets.web.principals import Access, Mode
from contimg_assets.web.tokens import Tokens
from contimg_assets_tests.fake_stages import CALIBRATOR, TARGET, registration
from contimg_assets_tests.web.site import Site, running
from contimg_assets_tests.web.telling_stages import TellingStages

Made = Callable[..., ASGIApp]
_NOTHING = PlainTextResponse("", 404)


@pytest.fixture
def app_of(settings: Settings) -> Made:
    """Makes our own part of what is served, behind the guard; nothing stands in Dagster's place."""
    (settings.home / "products").mkdir(exist_ok=True)
    installation = Installation(settings)

    def made(mode: Mode, **options: object) -> ASGIApp:
        web = WebOptions.model_validate(options)
        access = Access(mode, web, Tokens(settings.home))
        actions = OperatorActions(installation.engine)
        return guarded_app(own_app(installation), _NOTHING, access, actions, web.allowed_hosts)

    return made


@dataclass(frozen=True)
class Served:
    """A home with a target and a calibrator scan that have been made, Dagster's workspace, and a server."""

    installation: Installation
    instance: DagsterInstance
    orchestrator: Orchestrator
    app: ASGIApp
    """Ours, behind the guard, open to the loopback interface."""
    site: Site

    @property
    def set_id(self) -> str:
        """The calibration set."""
        return self.installation.registry.list()[-1].id

    @property
    def names(self) -> dict[str, str]:
        """What the placeholders of addresses stand for."""
        return {
            "ms": "/somewhere/else/20260115T030000.ms",
            "calibrator": "20260115T050000",
            "target": TARGET,
            "set": self.set_id,
            "job": self.instance.get_run_records(limit=1)[0].dagster_run.run_id,
        }


def make_pair(installation: Installation, instance: DagsterInstance) -> None:
    """Run the real jobs over stages that make small files."""
    definitions = build_defs({"stages": TellingStages()})
    for key, changes in (
        (TARGET, {}),
        (CALIBRATOR, {"calibrator_name": "J0834+555", "calibrator_apparent_jy": 7.9}),
    ):
        folder = installation.settings.home
        installation.records.register(registration(key, folder, **changes), ready=True)
        add_keys(instance, key, calibrator=bool(changes))
    for job, key in (
        ("convert_group", CALIBRATOR),
        ("solve_calibrator", CALIBRATOR),
        ("convert_group", TARGET),
        ("image_group", TARGET),
        ("image_group", CALIBRATOR),
    ):
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        done = definitions.resolve_job_def(job).execute_in_process(
            instance=instance, partition_key=key, raise_on_error=False, run_config=quiet
        )
        assert done.success, f"{job} of {key}: {failure_text(done)}"


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for all tests that read it, or ask for jobs that nobody runs: no daemon is there."""
    home: Path = tmp_path_factory.mktemp("served") / "home"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTIMG_HOME", str(home))
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        get_settings.cache_clear()
        settings = get_settings()
        folder = initialise(settings)
        installation = Installation(
            settings.model_copy(update={"web": WebOptions(writes_per_minute=100_000)})
        )
        instance = DagsterInstance.from_config(str(folder))
        make_pair(installation, instance)
        workspace = dagster_workspace(instance, None)
        context = workspace.__enter__()
    get_settings.cache_clear()
    try:
        orchestrator = orchestrator_of(instance, context)
        web = installation.settings.web
        access = Access(Mode.LOOPBACK, web, Tokens(home))
        own = own_app(installation, orchestrator)
        app = guarded_app(own, _NOTHING, access, OperatorActions(installation.engine), [])
        with running(app) as site:
            yield Served(installation, instance, orchestrator, app, site)
    finally:
        workspace.__exit__(None, None, None)
        instance.dispose()
