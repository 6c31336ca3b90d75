"""What of Dagster an operator may change: which sensors start work, and how much of one kind goes on at once.

Belongs here: routes and their models.  Does not belong here: asking Dagster (``web/orchestrator.py``).
"""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import Field

from contimg_assets.web.api.parts import API, Model, Parts, example, require
from contimg_assets.web.api.system_models import Sensor
from contimg_assets.web.orchestrator import MOST_STEPS
from contimg_assets.web.problems import ProblemError
from contimg_assets.web.roles import Role

SensorName = Annotated[str, Path(max_length=64, examples=["images_due"])]
PoolName = Annotated[str, Path(max_length=64, examples=["imaging"])]


class SensorList(Model):
    """All sensors."""

    items: list[Sensor]


class SwitchRequest(Model):
    """Whether a sensor is to look for work."""

    model_config = example({"running": False})

    running: bool


class Pool(Model):
    """A class of memory, by which stages are counted."""

    name: str
    limit: int | None
    """How many of its stages work at once; null: as many as there are runs."""


class PoolList(Model):
    """All pools, and how many runs go on at once."""

    items: list[Pool]
    runs: int
    """Runs at once."""


class PoolRequest(Model):
    """How many stages of a pool are to work at once."""

    model_config = example({"limit": 2})

    limit: Annotated[int, Field(ge=1, le=MOST_STEPS)]


def switches_router(parts: Parts) -> APIRouter:
    """Routes of sensors and pools."""
    router = APIRouter(prefix=API, tags=["system"])

    @router.get("/sensors", response_model=SensorList)
    def sensors(request: Request) -> SensorList:
        """Each sensor, whether it is switched on, and its last tick."""
        return SensorList(items=[Sensor(**each) for each in parts.dagster.sensors(request)])

    @router.post("/sensors/{name}", response_model=Sensor)
    def switch(name: SensorName, asked: SwitchRequest, request: Request) -> Sensor:
        """Switch a sensor on or off, for good."""
        require(request, Role.OPERATOR)
        parts.dagster.switch_sensor(name, asked.running, request)
        found = {each["name"]: each for each in parts.dagster.sensors(request)}
        if name not in found:
            raise ProblemError(404, f"sensor {name} has gone in the meantime")
        return Sensor(**found[name])

    @router.get("/pools", response_model=PoolList)
    def pools() -> PoolList:
        """How many stages of each class of memory work at once."""
        items = [Pool(name=name, limit=limit) for name, limit in parts.dagster.pools().items()]
        return PoolList(items=items, runs=parts.dagster.capacity()["slots"])

    @router.post("/pools/{name}", response_model=Pool)
    def change(name: PoolName, asked: PoolRequest, request: Request) -> Pool:
        """Let so many stages of a pool work at once, from the next one on."""
        require(request, Role.OPERATOR)
        parts.dagster.set_pool(name, asked.limit, request)
        return Pool(name=name, limit=parts.dagster.pools()[name])

    return router
