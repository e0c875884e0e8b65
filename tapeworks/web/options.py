"""The settings of one web page."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Where people expect the page.
DEFAULT_PORT = 8470

#: Names by which a machine reaches itself.
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, kw_only=True, slots=True)
class WebOptions:
    """The rights of those who reach the page, and the names by which they do."""

    #: Nothing can be changed.
    read_only: bool = False
    #: What one has to know to be let in; None: everybody is who reaches it.
    token: str | None = field(default=None, repr=False)
    #: Host names that a request may be addressed to, without ports.
    hosts: frozenset[str] = LOOPBACK_NAMES
    #: A request may also be addressed to any IP address, which no name server can point elsewhere.
    any_address: bool = False
    #: Where workers and schedulers are registered; None: nowhere that is known.
    redis_url: str | None = field(default=None, repr=False)
    #: The name of the cookie; browsers send cookies to every port of a host.
    cookie: str = "tapeworks"
