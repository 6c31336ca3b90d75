"""The base of all options: frozen, and a name that does not exist is an error.

Belongs here: what all option models share.  Each model stands beside what it is
the options of (``radio/imaging/options.py``, …) and is composed in ``settings.py``.
"""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Choices of one part of the pipeline, each with a unit, a bound and a reason."""

    # JSON has no infinity: an option that is one goes to another machine as a word, and back.
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="strings"
    )
