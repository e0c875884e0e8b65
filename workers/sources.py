"""The users' networks that this worker may run, and where it finds their source texts."""

from __future__ import annotations

import functools
import logging
from pathlib import Path

from tapeworks.model.errors import NetworkNotAllowed, VariableUnreadable
from tapeworks.model.networks.kinds import AnyNetwork
from tapeworks.model.networks.own.allowed import allow, is_allowed, read_sources, source_digest
from tapeworks.model.settings import Settings
from tapeworks.wire.errors import SignatureWrong, SigningKeyUnusable
from tapeworks.wire.exchange import Exchange
from tapeworks.wire.signing import VARIABLE, Signer

logger = logging.getLogger(__name__)


class SourceGone(Exception):
    """A source that this worker would accept is not in Redis, or is not what was signed."""

    def __init__(self, digest: str) -> None:
        super().__init__(digest)
        self.digest = digest


class Sources:
    """The one place where a worker process lets a user's code be run."""

    def __init__(self, exchange: Exchange, worker: str, settings: Settings) -> None:
        """Raises `SigningKeyUnusable`, and model's `VariableUnreadable`."""
        check_sources(settings, exchange.signer)
        self._exchange, self._worker = exchange, worker
        self._directory, self._accepts = settings.networks, settings.accept_networks

    @property
    def has_any(self) -> bool:
        """True for a worker that may run some users' networks."""
        return self._accepts or self._directory is not None

    def admit(self, network: AnyNetwork) -> None:
        """Let this process run a network whose source its operator has allowed.

        Raises `NetworkNotAllowed`, `SourceGone`, `RedisUnreachable`. The built-in network needs
        nobody's permission.
        """
        digest = network.digest
        if digest is None or is_allowed(digest):
            return
        source = self._find_file(digest)
        if source is None and self._accepts:
            source = self._fetch(digest)
        if source is None:
            raise NetworkNotAllowed(
                f"Worker {self._worker} may not run {network.title}: start it with --networks "
                "DIRECTORY that holds the file, or with --accept-networks and a signing key."
            )
        allow(source)

    def _find_file(self, digest: str) -> str | None:
        """Look at all files again: one may have been added since."""
        if self._directory is None:
            return None
        sources = read_sources(self._directory)
        return next((one for one in sources if source_digest(one) == digest), None)

    def _fetch(self, digest: str) -> str:
        try:
            source = self._exchange.fetch_source(digest)
        except SignatureWrong as error:
            _report_refused(digest, str(error))
            source = None
        if source is None:
            raise SourceGone(digest)
        return source


@functools.cache
def _report_refused(digest: str, reason: str) -> None:
    """Once for each network and reason: a forger may write it again and again."""
    logger.warning(
        "The source of the network %s that lies in Redis is refused and not run: %s",
        digest[:12],
        reason,
        extra={"event": "source_refused"},
    )


def allow_networks(directory: Path | None, *, accepts: bool = False) -> dict[str, str]:
    """Return the variables by which worker processes allow this and nothing else."""
    return {
        Settings.networks.variable: str(directory.absolute()) if directory else "",
        Settings.accept_networks.variable: "1" if accepts else "",
    }


def check_sources(settings: Settings, signer: Signer) -> None:
    """Raise unless what a worker is allowed can be found, and told from what is not.

    Raises `SigningKeyUnusable`, and model's `VariableUnreadable`.
    """
    if settings.accept_networks and not signer.key:
        raise SigningKeyUnusable(
            "Expected a signing key beside --accept-networks, for a worker runs whatever network "
            f"is signed with it. Received: none; name its file with {VARIABLE}."
        )
    directory = settings.networks
    if directory is not None and not directory.is_dir():
        shown = str(directory).encode(errors="backslashreplace").decode()
        raise VariableUnreadable(
            f"Expected a directory of networks in {Settings.networks.variable} or --networks. "
            f"Received: {shown}, which is none."
        )
