"""What a proxy could read in another way than we do is refused: two servers that disagree on where a request ends can
be made to see different requests in the same bytes ("request smuggling"). h11, another parser, is the second opinion.
"""

import hashlib
import random

import h11
import pytest

from clients import Answer, open_socket, raw, read_to_end, request_bytes
from harness import Service

REFUSED, MORE, NOT_COMPARED = "refused", "more must arrive", "not compared"


@pytest.fixture(name="hasher", scope="module")
def fixture_hasher():
    with Service("hasher", DELAY_MS=0) as service:
        yield service


def post(*headers, body=b"", **options):
    return request_bytes("/", *headers, method="POST", **options) + body


def chunked(body):
    return post("Transfer-Encoding: chunked", body=body)


FIVE, CHUNKS = b"hello", b"5\r\nhello\r\n0\r\n\r\n"
SMUGGLING = [
    *(post(*headers, body=CHUNKS) for headers in (
        ["Content-Length: 5", "Content-Length: 6"], ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 15"], ["Content-Length: 5, 5"], ["Content-Length: 5 5"],
        ["Content-Length: 0x5"], ["Content-Length: -5"], ["Content-Length: +5"], ["Content-Length: 5\v"],
        ["Content-Length : 5"], ["Content-Length\t: 5"], [" Content-Length: 5"], ["X: y", " Content-Length: 5"],
        ["X: y\rContent-Length: 5"], ["X: y\nContent-Length: 5"], ["X: \0", "Content-Length: 5"],
        ["Content\xadLength: 5"], ["Transfer-Encoding: xchunked"], ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: gzip, chunked"], ["Transfer-Encoding: \vchunked"], ["Transfer-Encoding: \"chunked\""],
        ["Transfer-Encoding : chunked"], ["Transfer-Encoding:\r\n chunked"], ["Transfer-Encoding: chunked\rX: y"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], ["Transfer-Encoding: chunk%65d"])),
    *(chunked(line + b"\r\nhello\r\n0\r\n\r\n") for line in (
        b"-5", b"+5", b"0x5", b" 5", b"5 ", b"5 5", b"5,5", b"5\0", b"5\r", b"5\n", b"5;\r", b"5;\nX", b"5;\0", b"5\v;x",
        b"10000000000000005", b"5;" + b"x" * 20000)),
    *(chunked(b"5\r\nhello" + rest) for rest in (
        b"0\r\n\r\n", b"\n0\r\n\r\n", b"\r0\r\n\r\n", b"x\r\n0\r\n\r\n", b"\r\n0\n\r\n", b"\r\n0\r\n\n\r\n",
        b"\r\n0\r\nX : y\r\n\r\n", b"\r\n0\r\nGET / HTTP/1.1\r\n\r\n")),
    *(request_bytes(target) for target in (
        "/\t", "\t/", "/\v", "/\r", "/\x7f", "/ HTTP/1.1\r\nX: y\n", "%2F", "/#", "/%u002F", "http://x%2F", "x")),
    post("Transfer-Encoding: chunked", body=CHUNKS, version="1.0"), post("Host: y", "Content-Length: 5", body=FIVE),
]


def test_what_could_be_read_in_two_ways_is_refused_at_once(hasher):
    for data in SMUGGLING:
        answer = Answer(raw(hasher.port, data, timeout=5))
        assert (answer.status, answer.headers["connection"]) == (400, "close"), data[:200]


def h11_reads(data):
    """REFUSED, MORE or the request's body."""
    connection = h11.Connection(h11.SERVER)
    body = b""
    try:
        connection.receive_data(data)
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                return MORE
            if isinstance(event, h11.Data):
                body += event.data
        return body
    except h11.RemoteProtocolError as error:
        # No response of ours depends on the Host.
        return NOT_COMPARED if "Host:" in str(error) else REFUSED


def check(port, data):
    """Compares. Where h11 is the less strict one, as with folded headers and bare line feeds, hasher may refuse."""
    theirs = h11_reads(data)
    with open_socket(port, timeout=5) as connection:
        connection.sendall(data)
        if theirs in (MORE, NOT_COMPARED):
            connection.shutdown(1)
        received = read_to_end(connection)
    if not received:
        assert theirs in (MORE, NOT_COMPARED), f"no response to {data!r}"
        return theirs, None
    answer = Answer(received)
    assert received.count(b"HTTP/1.1 ") == 1, f"two responses to {data!r}"
    # GET's body, and one for an unknown path, is not read: the connection closes after the response.
    if answer.status == 200 and data.startswith(b"POST"):
        if isinstance(theirs, bytes):
            assert answer.body.decode() == hashlib.sha256(theirs).hexdigest(), f"another body in {data!r}"
        else:
            assert theirs == NOT_COMPARED, f"h11: {theirs}; hasher takes {data!r}"
    return theirs, answer.status


PIECES = [b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b"\0", b":", b";", b",", b"\v", b"\f", b"\x85", b"\xa0", b"0",
          b"5", b"-", b"+", b"0x", b"%35", b"chunked", b"identity", b"Transfer-Encoding: chunked\r\n",
          b"Content-Length: 5\r\n", b"Content-Length: 6\r\n", b"X: y\r\n", b" folded\r\n", b"HTTP/1.0",
          b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"]
GOOD = [post("Content-Length: 5", body=FIVE), chunked(CHUNKS), request_bytes("/"),
        chunked(b"2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n"), post("Content-Length: 5", body=FIVE, version="1.0")]


def mutated(rng):
    """One of GOOD with one to three changes."""
    data = rng.choice(GOOD)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1)
        inserted = rng.choice([*PIECES, data[at:at + rng.randint(1, 30)], b""])
        data = data[:at] + inserted + data[at + rng.choice([0, 0, 1, 2, 3]):]
    return data


def test_hasher_and_another_parser_read_the_same_body_or_it_is_refused(hasher):
    for data in GOOD:
        assert check(hasher.port, data)[1] == 200
    outcomes = [check(hasher.port, mutated(random.Random(seed))) for seed in range(1500)]
    assert sum(status == 200 and isinstance(theirs, bytes) for theirs, status in outcomes) > 100
    assert sum(theirs == REFUSED for theirs, _ in outcomes) > 500
