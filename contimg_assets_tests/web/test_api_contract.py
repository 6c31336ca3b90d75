"""The API does what its description says, whatever is sent: schemathesis over every operation.

Not checked: that all that the description allows is accepted, since it cannot say of two members that one
of them is wanted.  The short run is a look at each; the long one goes deeper.  Streams have tests of their
own (``test_api_logs.py``).
"""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Err
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


def look(served: Served, examples: int, *, derandomize: bool) -> list[str]:
    """Send made-up requests to every operation, and hold the answers against the description."""
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", served.app, headers=HOST)
    seen: list[str] = []
    for found in schema.exclude(path_regex=LEFT_OUT).get_all_operations():
        if isinstance(found, Err):
            pytest.fail(str(found.err()))
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(max_examples=examples, derandomize=derandomize, **_RELAXED)
        def answers(case: schemathesis.Case) -> None:
            # Not ten seconds, which a busy machine may take.
            case.call_and_validate(checks=CHECKS, headers=HOST, timeout=120)

        answers()
        seen.append(operation.label)
    return seen


def test_every_operation_does_what_its_description_says(served: Served) -> None:
    seen = look(served, 3, derandomize=True)
    assert {"GET /api/groups", "GET /api/ms/{ms_path}/metadata", "POST /api/jobs/image"} <= set(seen)


@pytest.mark.long
def test_every_operation_in_depth(served: Served) -> None:
    look(served, 150, derandomize=False)
