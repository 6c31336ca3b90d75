"""The API does what its description says, whatever is sent: schemathesis over every operation.

The short run is a look at each; the long one goes deeper.  Streams are tested by ``test_api_logs.py``.
"""

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from contimg_assets_tests.web.conftest import Served

#: Dagster's app, pages and products have no description; a stream has no end.
LEFT_OUT = r".*/logs$"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
HOST = {"Host": "localhost"}
_RELAXED = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "database": None,
}


@pytest.fixture
def described(served: Served) -> schemathesis.BaseSchema:
    """The API's own description of itself."""
    return schemathesis.openapi.from_asgi("/api/openapi.json", served.app, headers=HOST)


operations = schemathesis.pytest.from_fixture("described").exclude(path_regex=LEFT_OUT)


@operations.parametrize()
@settings(max_examples=4, derandomize=True, **_RELAXED)
def test_every_operation_does_what_its_description_says(case: schemathesis.Case) -> None:
    case.call_and_validate(checks=CHECKS, headers=HOST)


@pytest.mark.long
@operations.parametrize()
@settings(max_examples=100, **_RELAXED)
def test_every_operation_in_depth(case: schemathesis.Case) -> None:
    case.call_and_validate(checks=CHECKS, headers=HOST)
