"""What the users of the web may do, and what they are called."""

from dataclasses import dataclass
from enum import StrEnum

#: Names of users: they go into logs and tags.
NAME = r"^[A-Za-z0-9_.@+-]{1,64}$"


class Role(StrEnum):
    """What one may do; each may do what those before it may."""

    VIEWER = "viewer"
    """Look."""
    OPERATOR = "operator"
    """Start, repeat and cancel work; switch sensors."""
    ADMIN = "admin"
    """Everything, also what removes records."""

    def includes(self, other: "Role") -> bool:
        """Whether this role may do what ``other`` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True)
class Principal:
    """Who made a request."""

    name: str
    role: Role
    by: str
    """How that is known: ``loopback``, ``token`` or ``proxy``."""
