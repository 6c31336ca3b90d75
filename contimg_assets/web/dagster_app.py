"""Dagster's own web app and workspace, in this process.

Belongs here: every use of the parts of Dagster that it does not promise to keep as they are.  The version
is held below 1.14, and a test mounts it for real.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from dagster import DagsterInstance
from dagster._cli.proxy_server_manager import ProxyServerManager
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster._core.workspace.load_target import ModuleTarget, WorkspaceFileTarget, WorkspaceLoadTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.cli import (
    DEFAULT_DB_STATEMENT_TIMEOUT,
    DEFAULT_POOL_MAX_OVERFLOW,
    DEFAULT_POOL_RECYCLE,
)
from dagster_webserver.version import __version__
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp

from contimg_assets.resources import daemon
from contimg_assets.web.guard import DAGSTER, PRINCIPAL
from contimg_assets.web.orchestrator import Orchestrator
from contimg_assets.web.roles import Role

#: How often Dagster's pages ask for what is new, ms: its own default.
POLL_MS = 2000
DEFINITIONS = ModuleTarget(
    module_name=daemon.DEFINITIONS, attribute=None, working_directory=None, location_name=daemon.LOCATION
)


class RoleWorkspace(WorkspaceProcessContext):
    """Dagster's workspace, which viewers may only read: its pages offer them nothing that is refused."""

    def create_request_context(self, source: object | None = None) -> WorkspaceRequestContext:
        """The workspace as the request's principal may use it."""
        principal = source.scope.get(PRINCIPAL) if isinstance(source, HTTPConnection) else None
        return WorkspaceRequestContext(
            instance=self.instance,
            current_workspace=self.get_current_workspace(),
            process_context=self,
            version=self.version,
            source=source,
            read_only=principal is None or not principal.role.includes(Role.OPERATOR),
        )


@contextmanager
def shared_code_server(instance: DagsterInstance, folder: Path) -> Iterator[Path]:
    """One code server for web app and daemon, for the length of the block.

    Parameters
    ----------
    instance : DagsterInstance
    folder : Path
        Where to write how it is reached.

    Yields
    ------
    Path
        A workspace file that leads to it.
    """
    with ProxyServerManager(instance, DEFINITIONS) as servers:
        workspace = folder / "workspace.yaml"
        workspace.write_text(yaml.safe_dump({"load_from": list(servers.get_code_server_specs())}))
        yield workspace


@contextmanager
def dagster_workspace(instance: DagsterInstance, workspace: Path | None) -> Iterator[RoleWorkspace]:
    """Dagster's workspace: the way to the code location, for its web app and for our API.

    Parameters
    ----------
    instance : DagsterInstance
    workspace : Path or None
        Leads to a code server that runs; None: one is started for it.
    """
    instance.optimize_for_webserver(
        DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_RECYCLE, DEFAULT_POOL_MAX_OVERFLOW
    )
    target: WorkspaceLoadTarget = DEFINITIONS if workspace is None else WorkspaceFileTarget([str(workspace)])
    with RoleWorkspace(instance, target, version=__version__) as context:
        yield context


def dagster_app(workspace: RoleWorkspace) -> ASGIApp:
    """Dagster's web app below ``/dagster``: to be put behind the guard, as it does whatever anybody asks."""
    return create_app_from_workspace_process_context(workspace, DAGSTER, POLL_MS)


def orchestrator_of(instance: DagsterInstance, workspace: RoleWorkspace) -> Orchestrator:
    """What our API asks Dagster through."""
    return Orchestrator(instance, workspace, daemon.LOCATION)
