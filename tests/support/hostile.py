"""Requests as no program of good will sends them, byte by byte.

None of them may change anything: what could be meant is asked of a run that is not there.
"""

from __future__ import annotations

import gzip
import http.client
import random
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from urllib.parse import urlsplit

#: Seconds for an answer.
ANSWER_SECONDS = 60

API = b"/api/v1"

JSON = b"Content-Type: application/json"
FORM = b"Content-Type: application/x-www-form-urlencoded"
MULTIPART = b"Content-Type: multipart/form-data; boundary=x"

#: What a browser sends with a form of the page itself.
OWN = b"Sec-Fetch-Site: same-origin"

#: Texts for every place: no UTF-8, no character, one that changes lines or directions, numbers.
TEXTS = [
    b"%00",
    b"%FF",
    b"%C0%AF",
    b"%ED%A0%80",
    b"%F4%90%80%80",
    b"%",
    b"%zz",
    b"%u0041",
    b"%2F..%2F..%2Fetc%2Fpasswd",
    b"%252e%252e",
    b"%E2%80%AE%0d%0aX:%20y",
    b"..",
    b".",
    b"~",
    b";",
    b"'%22%3Cscript%3E",
    b"-1",
    b"1e400",
    b"-0",
    b"0x10",
    b"1_000",
    b"NaN",
    b"%D9%A1",
    b"9" * 19,
    b"9" * 5000,
    b"a" * 3000,
    b"\xff\xfe",
    b"\xc3\xa9",
    b"{{7*7}}",
    b"True",
]

#: Bodies that ask for nothing that can be done, whatever is posted to.
JSON_BODIES = [
    b"",
    b"nul",
    b"[]",
    b'"text"',
    b"1e400",
    b"NaN",
    b"-Infinity",
    b"9" * 5000,
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{",
    b"\x00",
    b"{" * 100_000,
    b"[" * 100_000,
    b'{"config": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"config": {"a": ' * 20_000 + b"1" + b"}" * 40_000,
    b'{"config": {"seed": ' + b"9" * 5000 + b"}}",
    b'{"config": {"seed": 1e400}}',
    b'{"config": {"iterations": -Infinity}}',
    b'{"config": {"learning_rate": NaN}}',
    b'{"config": {"dataset": "\\ud800"}}',
    b'{"config": {"dataset": "\\u0000"}}',
    b'{"config": {"\\ud800": 1}}',
    b'{"config": {"options": {"a": {"b": [{}]}}}}',
    b'{"config": {"classes": [1, 1e400]}}',
    b'{"config": {"kernel_sizes": [[[[3]]]]}}',
    b'{"config": {"iterations": 2.5}, "config": {"iterations": true}}',
    b'{"name": "\\ud800"}',
    b'{"name": "a\\u0000b"}',
    b'{"name": ' + b'"a' * 1 + b"a" * 100_000 + b'"}',
    b'{"note": "\\u0000"}',
    b'{"note": "\\udfff"}',
    b'{"note": 1}',
    b'{"tags": {"a": 1e999}}',
    b'{"tags": {"\\ud800": "b"}}',
    b'{"tags": {"a": {"b": 1}}}',
    b'{"tags": null}',
    b'{"priority": 1e400}',
    b'{"priority": ' + b"9" * 400 + b"}",
    b'{"priority": true}',
    b'{"reason": "\\u0000"}',
    b'{"reason": "\\ud800"}',
    b'{"reason": []}',
    b'{"vary": {"seed": [[[[1]]]]}}',
    b'{"vary": {"seed": []}}',
    b'{"vary": {"\\ud800": [1]}}',
    b'{"vary": []}',
    b'{"after": true}',
    b'{"after": 99999999999999999999}',
    b'{"changes": {"seed": {}}}',
    b'{"sql": "SELECT \\ud800"}',
    b'{"sql": "SELECT \\u0000"}',
    b'{"sql": "SELECT 1", "seconds": NaN}',
    b'{"sql": "SELECT 1", "limit": 1e400}',
    b'{"__proto__": {}, "constructor": 1}',
    gzip.compress(b'{"config": {}}'),
    b"--x\r\n\r\n--x--",
]

#: The same for forms; fields that are not known are none.
FORM_BODIES = [
    b"priority=%FF",
    b"priority=" + b"9" * 5000,
    b"priority=1e400&priority=NaN",
    b"priority=%00",
    b"tags=%00&note=%00",
    b"tags=a%ED%A0%80&settings=%ED%A0%80&after=%ED%A0%80&priority=x",
    b"settings=seed%3D" + b"9" * 5000,
    b"settings=%C3%28%3D%00&after=1",
    b"after=" + b"9" * 30,
    b"iterations=1e400&priority=x",
    b"sql=%00",
    b"token=%FF%00",
    b"priority=x&" * 2000,
    b"priority=x;priority=%",
    b"[" * 5000 + b"&priority=x",
    b"\xff\x00\xfe&priority=\xff",
]

#: Forms of a kind that is not read.
MULTIPARTS = [
    b"",
    b"--x",
    b'--x\r\nContent-Disposition: form-data; name="priority"\r\n\r\n1\r\n--x--\r\n',
]

#: Headers with which any request may come.
HEADERS = [
    *(b"If-None-Match: " + one for one in (b"*", b'"', b'W/"', b",,,", b"\xff", b'"a",' * 5000)),
    *(
        b"Range: bytes=" + one
        for one in (b"0-", b"-1", b"9-1", b"-", b"a-b", b"0-0," * 5000, b"9" * 400 + b"-", b"\xff")
    ),
    *(b"Cookie: " + one for one in (b"\xff=\xff", b"=", b";" * 5000, b'a="\\777"; a=b', b"a")),
    *(b"Accept: " + one for one in (b"\xff", b"*/*;q=NaN", b"," * 5000)),
    *(b"Origin: " + one for one in (b"null", b"http://[::1", b"\xff", b"http://a:b:c")),
    *(b"Idempotency-Key: " + one for one in (b"\xff", b"a" * 9000, b"", b"\xe2\x80\xae")),
    *(b"Content-Type: " + one for one in (b"\xff", b";", b"multipart/form-data", b"text/xml")),
    b"Content-Type: application/json; charset=utf-16",
    b"Content-Type: multipart/form-data; boundary=" + b"x" * 300,
    b"Content-Type: multipart/form-data; boundary=\xff",
    b"Content-Encoding: gzip",
    b"Content-Encoding: br, \xff",
    b"Authorization: Bearer \xff",
    b"Authorization: Basic Og==",
    b"Sec-Fetch-Site: \xff",
    b"Expect: 100-continue",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAA",
    b"X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: javascript",
    b"Forwarded: for=\xff",
    b"TE: trailers, deflate;q=NaN",
    b"X-HTTP-Method-Override: DELETE",
    b"A: " + b"b" * 60_000,
    b"\r\n".join(b"A%d: b" % number for number in range(300)),
]

METHODS = [
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"PATCH",
    b"DELETE",
    b"OPTIONS",
    b"TRACE",
    b"get",
    b"B",
]

#: Paths of what is read, with a place for a text, and of what is posted to.
READ = [
    API + b"/runs?%s",
    *(
        API + b"/runs?" + name + b"=%s"
        for name in (b"where", b"cursor", b"limit", b"since", b"tag")
    ),
    *(API + b"/runs?" + name + b"=%s" for name in (b"sort", b"order", b"status")),
    API + b"/runs/%s",
    *(API + b"/runs/mine/" + name + b"?cursor=%s" for name in (b"events", b"ledger", b"images/0")),
    *(API + b"/runs/mine/" + name + b"/%s" for name in (b"iterations", b"images")),
    API + b"/runs/mine/iterations/%s/images",
    API + b"/runs/mine/ledger?iteration=%s",
    API + b"/runs/mine/parameters?after=%s",
    *(b"/runs?" + name + b"=%s" for name in (b"where", b"tag", b"status", b"sort", b"columns")),
    *(b"/runs?" + name + b"=%s" for name in (b"limit", b"offset", b"order")),
    b"/runs/%s",
    *(b"/runs/mine" + name + b"=%s" for name in (b"?events", b"?from", b"/images?iteration")),
    *(b"/runs/mine/" + name + b"/%s" for name in (b"iterations", b"images")),
    b"/runs/mine/images/%s.png",
    b"/runs/mine/download.csv?after=%s",
    b"/runs/mine/download.safetensors?after=%s",
    b"/runs/mine/iterations?iteration=%s",
    *(b"/compare?run=" + name for name in (b"%s", b"mine&run=%s")),
    *(b"/curves?run=mine&" + name + b"=%s" for name in (b"from", b"to")),
    b"/curves.svg?run=mine&measure=%s",
    *(b"/sql" + name + b"=%s" for name in (b"?q", b"?question", b".csv?q")),
    b"/new?images=%s",
    b"/login?next=%s",
    b"/static/%s",
    b"/%s",
]
POSTED_JSON = [
    (b"POST", API + b"/runs"),
    (b"POST", API + b"/query"),
    *((b"POST", API + b"/runs/nobody/" + name) for name in (b"pause", b"resume", b"cancel")),
    *((b"POST", API + b"/runs/nobody/" + name) for name in (b"priority", b"retry")),
    (b"PATCH", API + b"/runs/nobody"),
    (b"DELETE", API + b"/runs/nobody"),
]
POSTED_FORMS = [
    *(b"/runs/nobody/" + name for name in (b"pause", b"resume", b"cancel", b"describe", b"delete")),
    *(b"/runs/mine/" + name for name in (b"priority", b"retry")),
    b"/new",
    b"/sql",
    b"/login",
]


@dataclass(frozen=True)
class Sender:
    """Sends bytes to a page, a connection for each request."""

    address: str
    token: str
    #: The id of the run that the paths above call mine.
    run: str

    def request(
        self, method: bytes, target: bytes, headers: Iterable[bytes] = (), body: bytes = b""
    ) -> bytes:
        """A request that has what every one must have."""
        length = [b"Content-Length: %d" % len(body)] if body else []
        path = target.replace(b"/mine", b"/" + self.run.encode())
        return self.raw(b"%s %s HTTP/1.1" % (method, path), [*headers, *length], body)

    def raw(self, first: bytes, headers: Iterable[bytes] = (), body: bytes = b"") -> bytes:
        """A request with this first line."""
        known = b"Authorization: Bearer " + self.token.encode()
        lines = [first, b"Host: 127.0.0.1", b"Connection: close", known, *headers]
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    def send(self, request: bytes, *, is_whole: bool = True) -> int | None:
        """Return the status of the answer; None where the server ended without one.

        An answer is waited for if the request is whole.
        """
        host = urlsplit(self.address)
        with socket.create_connection((host.hostname, host.port), ANSWER_SECONDS) as opened:
            try:
                opened.sendall(request)
                if not is_whole:
                    return None
                answer = http.client.HTTPResponse(opened, method=request[:4].decode("latin-1"))
                answer.begin()
                answer.read()
            except (ConnectionError, http.client.BadStatusLine):
                return None
            return answer.status


def texts_in_every_place(sender: Sender) -> Iterator[bytes]:
    """Every text in every place of a URL."""
    for path, text in product(READ, TEXTS):
        yield sender.request(b"GET", path.replace(b"%s", text))


def bodies_for_everything(sender: Sender) -> Iterator[bytes]:
    """Every body to everything that takes one."""
    for (method, path), body in product(POSTED_JSON, JSON_BODIES):
        yield sender.request(method, path, [JSON], body)
    for path in POSTED_FORMS:
        for kind, bodies in ((FORM, FORM_BODIES), (MULTIPART, MULTIPARTS)):
            for body in bodies:
                yield sender.request(b"POST", path, [OWN, kind], body)


def headers_everywhere(sender: Sender) -> Iterator[bytes]:
    """Every header with what is read, and with what is posted."""
    paths = [API + b"/runs", API + b"/runs/mine", b"/runs/mine", b"/static/app.css", b"/login"]
    for path, header in product(paths, HEADERS):
        yield sender.request(b"GET", path, [header])
    for header in HEADERS:
        yield sender.request(b"POST", API + b"/runs", [header], b"[]")
        yield sender.request(b"POST", b"/runs/nobody/describe", [OWN, header], b"note=a")


def drawn(sender: Sender, draw: random.Random, count: int) -> Iterator[bytes]:
    """Requests made of everything at random."""
    for _ in range(count):
        kind = draw.choice([_read, _posted_json, _posted_form])
        method, target, wanted, body = kind(draw)
        headers = draw.sample(HEADERS, draw.randrange(3))
        yield sender.request(method, target, wanted + headers, body)


#: Method, target, headers and body.
Parts = tuple[bytes, bytes, list[bytes], bytes]


def _read(draw: random.Random) -> Parts:
    text = b"".join(draw.choices(TEXTS, k=draw.randrange(3)))
    method = draw.choice([*[b"GET"] * 9, *METHODS])
    return method, draw.choice(READ).replace(b"%s", text), [], b""


def _posted_json(draw: random.Random) -> Parts:
    method, path = draw.choice(POSTED_JSON)
    return draw.choice([method, method, *METHODS[2:]]), path, [JSON], draw.choice(JSON_BODIES)


def _posted_form(draw: random.Random) -> Parts:
    body = b"&".join(draw.choices(FORM_BODIES, k=2))
    return b"POST", draw.choice(POSTED_FORMS), [OWN, FORM], body


def broken(sender: Sender) -> Iterator[bytes]:
    """Requests that are none; the server must end or refuse each of them."""
    pause = b"POST %s/runs/mine/pause HTTP/1.1" % API
    chunked, whole = b"Transfer-Encoding: chunked", b"0\r\n\r\n"
    yield from (
        b"\r\n\r\n\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / JAVA/1.1\r\n\r\n",
        b"GET /runs HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\0" * 70_000,
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
        sender.raw(pause, [b"A: " + b"b" * 200_000]),
        sender.raw(pause, [b"A%d: b" % number for number in range(20_000)]),
        sender.raw(pause, [b"Host: 127.0.0.1"]),
        sender.raw(pause, [b"Host: evil.example"]),
        sender.raw(pause, [b"Content-Length: 0", b"Content-Length: 5"], b"hello"),
        sender.raw(pause, [b"Content-Length: -1"]),
        sender.raw(pause, [b"Content-Length: +2"], b"{}"),
        sender.raw(pause, [b"Content-Length: 1_0"], b"{}"),
        sender.raw(pause, [b"Content-Length: " + b"9" * 5000]),
        sender.raw(pause, [b"Content-Length: 2, 3"], b"{}"),
        sender.raw(pause, [b"Content-Length: 2", chunked], whole),
        sender.raw(pause, [chunked, chunked], whole),
        sender.raw(pause, [b"Transfer-Encoding: gzip, chunked"], whole),
        sender.raw(pause, [b"Transfer-Encoding: xchunked"], whole),
        sender.raw(pause, [b"Transfer-Encoding : chunked"], whole),
        sender.raw(pause, [b"Transfer-Encoding: \x0bchunked"], whole),
        sender.raw(pause, [chunked], b"xyz\r\n\r\n"),
        sender.raw(pause, [chunked], b"-1\r\n\r\n"),
        sender.raw(pause, [chunked], b"f" * 5000 + b"\r\n"),
        sender.raw(pause, [chunked], b"2\r\n{}XX0\r\n\r\n"),
        sender.raw(pause, [b"A: \0"]),
        sender.raw(pause, [b"A: b\rC: d"]),
        sender.raw(pause, [b" folded: b", b"no colon"]),
        sender.raw(pause, [b": b"]),
        sender.raw(pause, [b"A\xff: b"]),
        sender.raw(b"POST %s/runs/mine/pa\0use HTTP/1.1" % API),
        sender.raw(b"POST %s/runs/mine/ pause HTTP/1.1" % API),
        sender.raw(b"POST http://evil.example%s/runs/mine/pause HTTP/1.1" % API),
        sender.raw(b"POST * HTTP/1.1"),
        sender.raw(b"CONNECT 127.0.0.1:80 HTTP/1.1"),
        sender.raw(b"post %s/runs/mine/pause HTTP/1.1" % API),
    )


def unfinished(sender: Sender) -> Iterator[bytes]:
    """Requests whose end does not come; the client goes away."""
    pause = b"POST %s/runs/mine/pause HTTP/1.1" % API
    yield from (
        b"",
        b"GET /runs HT",
        sender.raw(pause)[:-2],
        sender.raw(pause, [b"Content-Length: 10"], b"{"),
        sender.raw(pause, [b"Transfer-Encoding: chunked"], b"5\r\n{"),
        sender.raw(b"POST /runs/mine/pause HTTP/1.1", [OWN, FORM, b"Content-Length: 9"], b"reason"),
        sender.request(b"GET", b"/runs"),
    )
