"""HMAC-SHA256 over what passes through Redis, for those who share a key.

Signed are shard messages, answers, announced networks and users' source texts. Parameters and
images are not: a signed message names them by their SHA-256, and a worker takes nothing else under
that name.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from tapeworks.model.settings import Settings
from tapeworks.wire.errors import SignatureWrong, SigningKeyUnusable

#: Names the file that holds the key.
VARIABLE = Settings.signing_key_file.variable

#: A key has at least as many bytes as SHA-256 gives; a file that is much longer is no key.
SHORTEST_KEY_BYTES = 32
LONGEST_KEY_BYTES = 4096

#: Between the signature and the text that it is of.
SEPARATOR = "\n"

#: Hexadecimal digits of a signature, and of a key's id.
SIGNATURE_DIGITS = 64
KEY_ID_DIGITS = 16

REMEDY = f"Scheduler and workers need the same {VARIABLE}"


class Purpose(StrEnum):
    """The purpose of a signature; one for one purpose fits no other."""

    MESSAGE = "tapeworks-message"
    ANSWER = "tapeworks-answer"
    NETWORK = "tapeworks-network"
    SOURCE = "tapeworks-source"
    KEY_ID = "tapeworks-key-id"


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs and checks with one key. Without a key it signs nothing, and takes nothing signed."""

    key: bytes = field(default=b"", repr=False)

    @property
    def key_id(self) -> str:
        """Tells equal keys from different ones, and nothing else of them; empty without a key."""
        return self.signature(Purpose.KEY_ID)[:KEY_ID_DIGITS]

    def signature(self, purpose: Purpose, *parts: bytes) -> str:
        """The parts' signature in hexadecimal; empty without a key."""
        if not self.key:
            return ""
        code = hmac.new(self.key, digestmod=hashlib.sha256)
        for part in (purpose.encode(), *parts):  # with its length: no two lists are signed alike
            code.update(len(part).to_bytes(8, "big"))
            code.update(part)
        return code.hexdigest()

    def check(self, signature: bytes, purpose: Purpose, *parts: bytes) -> None:
        """Raise `SignatureWrong` unless the signature is the one that this key gives."""
        if hmac.compare_digest(signature, self.signature(purpose, *parts).encode()):
            return
        if not self.key:
            raise SignatureWrong(f"it is signed, and there is no key here. {REMEDY}.")
        if not signature:
            raise SignatureWrong(f"it is not signed. {REMEDY}.")
        raise SignatureWrong(f"its signature does not fit. {REMEDY}.")

    def seal(self, purpose: Purpose, text: str) -> str:
        """The text with its signature before it; without a key the text as it is."""
        signature = self.signature(purpose, text.encode())
        return f"{signature}{SEPARATOR}{text}" if signature else text

    def unseal(self, purpose: Purpose, sealed: str) -> str:
        """The text, once its signature was found to fit. Raises `SignatureWrong`."""
        signature, separator, text = sealed.partition(SEPARATOR)
        if not separator or len(signature) != SIGNATURE_DIGITS:
            signature, text = "", sealed
        # What is no Unicode comes back as other bytes than any that were signed.
        self.check(_bytes(signature), purpose, _bytes(text))
        return text


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


#: Of those who have no key.
UNSIGNED = Signer()


def signer(settings: Settings | None = None) -> Signer:
    """With the key in the file that the settings name, those of this process by default.

    Raises `SigningKeyUnusable`, and model's `VariableUnreadable`.
    """
    path = (settings or Settings(os.environ)).signing_key_file
    return Signer(_key(path)) if path else UNSIGNED


def _key(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            key = file.read(LONGEST_KEY_BYTES + 1).rstrip(b"\r\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise _unusable(path, f"a file with a key. Received: {reason}") from error
    if not SHORTEST_KEY_BYTES <= len(key) <= LONGEST_KEY_BYTES:
        received = len(key) if len(key) <= LONGEST_KEY_BYTES else f"more than {LONGEST_KEY_BYTES}"
        expected = f"{SHORTEST_KEY_BYTES} to {LONGEST_KEY_BYTES} bytes"
        raise _unusable(path, f"a key of {expected}. Received: {received}")
    return key


def _unusable(path: Path, expected: str) -> SigningKeyUnusable:
    return SigningKeyUnusable(
        f"{VARIABLE} names {str(path)!r}: expected {expected}. "
        "Make one with: tapeworks secrets DIRECTORY"
    )
