"""What people say of groups, beside what checks say.

Belongs here: routes and their models.  Does not belong here: keeping reviews (``station/reviews.py``).
"""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from contimg_assets.station.reviews import LONGEST_NOTE, enter_review, reviews_of
from contimg_assets.station.views import standing
from contimg_assets.web.api.group_models import State, Verdict
from contimg_assets.web.api.identify import KeyPath
from contimg_assets.web.api.parts import API, Model, Parts, example, require
from contimg_assets.web.roles import Role


class ReviewRequest(Model):
    """What a person says of a group."""

    model_config = example({"verdict": "PASS", "note": "the ripple in the north is the Sun's"})

    verdict: Literal["PASS", "WARN", "ERROR"]
    note: Annotated[str, Field(max_length=LONGEST_NOTE)] = ""


class Review(Model):
    """What a person said of a group."""

    verdict: Verdict
    note: str
    user: str
    at: datetime
    machine_verdict: Verdict
    """Of the checks at that time; empty if nothing was judged."""
    agrees: bool
    """The person said what the checks said."""
    of_this_image: bool
    """The image is the one that was looked at."""


class ReviewList(Model):
    """All that people said of a group, newest first; the first is what counts."""

    group: str
    state: State
    verdict: Verdict
    """Of the checks: reviews do not change it."""
    items: list[Review]


def reviews_router(parts: Parts) -> APIRouter:
    """Routes of reviews."""
    router = APIRouter(prefix=f"{API}/groups", tags=["groups"])
    station = parts.station

    @router.get("/{key}/reviews", response_model=ReviewList)
    def reviews(key: KeyPath) -> ReviewList:
        """What people said of a group, beside what its checks say."""
        stands = standing(station.records, key)
        items = [Review.model_validate(each) for each in reviews_of(station.engine, key)]
        return ReviewList(group=key, state=stands.state, verdict=stands.verdict, items=items)

    @router.post("/{key}/reviews", response_model=Review, status_code=201)
    def review(key: KeyPath, asked: ReviewRequest, request: Request) -> Review:
        """Say what a group is like; the verdict of its checks stays as it is."""
        user = require(request, Role.OPERATOR)
        return Review.model_validate(enter_review(station.engine, key, asked.verdict, asked.note, user.name))

    return router
