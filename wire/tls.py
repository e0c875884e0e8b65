"""Redis over TLS: always with a certificate that is checked; what is said when it is refused."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from tapeworks.wire.errors import RedisUnreachable

#: Options of a URL that name files.
FILES = {"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"}

#: What OpenSSL finds wrong with a certificate, by its number, and what to do about it.
CERTIFICATES = {
    9: "its certificate is not valid yet: check the clocks of both machines",
    10: "its certificate has expired: renew it, and check the clock of this machine",
    62: "its certificate is for another host: name the server as its certificate does",
    64: "its certificate is for another address: name the server as its certificate does",
}

#: Of any other certificate.
UNKNOWN_SIGNER = (
    "its certificate is not signed by an authority trusted here: name the authority's file "
    "with ?ssl_ca_certs=/path/ca.pem in the URL, if this is your server"
)


def check(options: Mapping[str, Any], shown: str) -> None:
    """Raise `RedisUnreachable` for options with which nothing would be verified, or ever work."""
    if options.get("ssl_cert_reqs", "required") not in {"required", ssl.CERT_REQUIRED}:
        raise _mismatch_error(shown, "ssl_cert_reqs=required, or none of it")
    if options.get("ssl_check_hostname", True) is not True:
        raise _mismatch_error(shown, "ssl_check_hostname=true, or none of it")
    context = ssl.create_default_context()
    try:
        if options.keys() & {"ssl_ca_certs", "ssl_ca_path"}:
            context.load_verify_locations(options.get("ssl_ca_certs"), options.get("ssl_ca_path"))
        if options.keys() & {"ssl_certfile", "ssl_keyfile"}:
            context.load_cert_chain(
                options.get("ssl_certfile") or "",
                options.get("ssl_keyfile"),
                options.get("ssl_password") or "",
            )
    except OSError as error:  # which all of ssl's are
        names = ", ".join(sorted(f"{name}={options[name]}" for name in FILES & options.keys()))
        raise RedisUnreachable(
            f"Expected files in PEM format for Redis at {shown}, a certificate with its own key. "
            f"Received: {names}: {_words(error)}."
        ) from error


#: The reason if the server has closed a connection without encryption, which may be one for TLS.
CLOSED = "it has closed the connection"
PERHAPS_TLS = "; if it expects TLS there, use a rediss:// URL"


def reason(error: BaseException | None, *, encrypted: bool) -> str | None:
    """Return the TLS problem behind an error, with its remedy; None if there is none."""
    while error is not None:
        if found := _reason_of(error, encrypted=encrypted):
            return found
        error = error.__cause__ or error.__context__
    return None


def _reason_of(error: BaseException, *, encrypted: bool) -> str | None:
    words = str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return CERTIFICATES.get(error.verify_code, UNKNOWN_SIGNER)
    if "CERTIFICATE_REQUIRED" in words:
        return "it wants a certificate of its clients: name yours with ssl_certfile and ssl_keyfile"
    if encrypted and ("WRONG_VERSION_NUMBER" in words or "handshake operation timed out" in words):
        return "it does not speak TLS there: name its port for TLS, or use a redis:// URL"
    if not encrypted and ("Connection closed by server" in words or "reset by peer" in words):
        return f"{CLOSED}{PERHAPS_TLS}"
    return None


def _mismatch_error(shown: str, expected: str) -> RedisUnreachable:
    return RedisUnreachable(
        f"Expected {expected}, because certificates are always checked. Received: {shown}."
    )


def _words(error: OSError) -> str:
    return str(error.strerror or error).rstrip(".")
