"""What all routes of the API share: the installation, who asks, and the base of what goes out.

Belongs here: what more than one family of routes needs.  Does not belong here: routes.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict
from starlette.requests import HTTPConnection

from contimg_assets.station.installation import Installation
from contimg_assets.station.operator_actions import OperatorActions
from contimg_assets.web.guard import PRINCIPAL, REQUEST
from contimg_assets.web.orchestrator import Orchestrator
from contimg_assets.web.problems import ProblemError
from contimg_assets.web.rates import Streams
from contimg_assets.web.roles import Principal, Role

API = "/api"


class Model(BaseModel):
    """What goes out, or comes in: a name that does not exist is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, from_attributes=True
    )


#: Addresses of what belongs to it, by what they are.
Links = dict[str, str]


def links(**addresses: str | None) -> Links:
    """Those of some addresses that there are."""
    return {name: address for name, address in addresses.items() if address is not None}


@dataclass(frozen=True)
class Parts:
    """What handlers work on."""

    station: Installation
    orchestrator: Orchestrator | None
    """None: Dagster is not served here."""

    streams: Streams
    """Log streams that are open."""

    @classmethod
    def of(cls, station: Installation, orchestrator: Orchestrator | None) -> "Parts":
        """Of one server."""
        web = station.settings.web
        return cls(station, orchestrator, Streams(web.streams_per_user, web.streams))

    @property
    def actions(self) -> OperatorActions:
        """The record of writes."""
        return OperatorActions(self.station.engine)

    @property
    def dagster(self) -> Orchestrator:
        """Dagster of this installation.

        Raises
        ------
        ProblemError
            503 if it is not served here.
        """
        if self.orchestrator is None:
            raise ProblemError(503, "Dagster is not served by this process, so there are no jobs")
        return self.orchestrator


def principal_of(connection: HTTPConnection) -> Principal | None:
    """Who asks; None if nobody need be known."""
    return connection.scope.get(PRINCIPAL)


def request_of(connection: HTTPConnection) -> str:
    """Identity of the request's record."""
    return connection.scope.get(REQUEST, "")


def require(connection: HTTPConnection, role: Role) -> Principal:
    """Refuse who may not.

    Raises
    ------
    ProblemError
        403.
    """
    principal = principal_of(connection)
    if principal is None or not principal.role.includes(role):
        found = "nobody" if principal is None else f"{principal.name} is {principal.role}"
        raise ProblemError(403, f"{found}, expected {role}")
    return principal


def group_url(key: str) -> str:
    """Address of a group."""
    return f"{API}/groups/{key}"


def set_url(set_id: str) -> str:
    """Address of a calibration set."""
    return f"{API}/calibration/sets/{quote(set_id)}"


def job_url(run_id: str) -> str:
    """Address of a job."""
    return f"{API}/jobs/id/{run_id}"


def example(value: Any) -> ConfigDict:
    """Configuration of a model that has an example."""
    return ConfigDict(json_schema_extra={"examples": [value]})
