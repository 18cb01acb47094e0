"""hasher: the SHA-256 of whatever is posted, many at a time."""

import contextlib
import gzip
import hashlib
import os
import shutil
import socket
import subprocess
import threading
import time

import pytest

from harness import (
    Answer,
    SANITIZED,
    Service,
    answer_after_sending,
    ask,
    collect,
    eventually,
    http,
    open_socket,
    private_kib,
    raw,
    read_to_end,
    scale,
)

LIMIT = 64 << 20
HEADERS = "Host: hasher\r\n"
CHUNKED_HEAD = f"POST / HTTP/1.1\r\n{HEADERS}Transfer-Encoding: chunked\r\n\r\n".encode()


def post(body, extra="", version="1.1", target="/", method="POST"):
    head = f"{method} {target} HTTP/{version}\r\n{HEADERS}{extra}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def chunked(*chunks, extra="", trailers="", target="/", method="POST"):
    head = f"{method} {target} HTTP/1.1\r\n{HEADERS}{extra}Transfer-Encoding: chunked\r\n\r\n".encode()
    parts = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks]
    return head + b"".join(parts) + b"0\r\n" + trailers.encode() + b"\r\n"


def sha256(data):
    return hashlib.sha256(data).hexdigest().encode()


def assert_digest(answer, body):
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-length"] == "64"
    assert answer.body == sha256(body)


@pytest.fixture(scope="module")
def hasher():
    """A hasher that answers at once, for what has nothing to do with time."""
    with Service("hasher", DELAY_MS=0) as service:
        yield service


# ---------------------------------------------------------------------------------------------------- answers


def test_root_says_who_it_is(hasher):
    answer = ask(hasher.port, b"GET / HTTP/1.1\r\nHost: hasher\r\n\r\n")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.body == f"HASHER running on {socket.gethostname()}\n".encode()
    assert answer.headers["content-length"] == str(len(answer.body))


@pytest.mark.parametrize(
    "request_line", ["GET / HTTP/1.1", "GET / HTTP/1.0", "HEAD / HTTP/1.1", "HEAD / HTTP/1.0"]
)
def test_root_is_answered_at_once(request_line):
    with Service("hasher", DELAY_MS=3000) as hasher:
        port = hasher.port
        begun = time.monotonic()
        assert ask(port, f"{request_line}\r\n{HEADERS}\r\n".encode()).status == 200
        assert time.monotonic() - begun < scale(0.5)


def test_head_has_the_headers_of_get_and_no_body(hasher):
    for target in ("/", "/abc"):
        head, whole = (
            ask(hasher.port, f"{method} {target} HTTP/1.1\r\n{HEADERS}\r\n".encode())
            for method in ("HEAD", "GET")
        )
        assert head.status == whole.status
        assert head.headers == whole.headers
        assert head.body == b"" and whole.body != b""


# FIPS 180-4's examples as NIST publishes them ("SHA_All", csrc.nist.gov/projects/cryptographic-standards-and-
# guidelines/
# example-values), the empty message from the CAVP vectors (SHA256ShortMsg, Len = 0).
VECTORS = {
    "empty": (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    "one block": (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    "448 bits": (
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ),
    "896 bits": (
        b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
        b"hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
        "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
    ),
    "a million": (b"a" * 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
}


@pytest.mark.parametrize("name", VECTORS)
def test_agrees_with_the_published_vectors(hasher, name):
    message, digest = VECTORS[name]
    for request in (post(message), chunked(message) if message else chunked(), post(message, version="1.0")):
        answer = ask(hasher.port, request)
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["content-length"] == "64"
        assert answer.body == digest.encode()  # lowercase, no newline


ALL_BYTES = bytes(range(256)) * 3


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/octet-stream",
        "text/plain",
        "text/plain; charset=utf-16",
        "application/x-www-form-urlencoded",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=xyz",
        "nonsense",
        'image/png; x="y',
    ],
)
@pytest.mark.parametrize("size", [5, 768, 100000])
def test_hashes_the_raw_bytes_whatever_the_content_type(hasher, content_type, size):
    body = (ALL_BYTES * (size // 768 + 1))[:size]
    extra = "" if content_type is None else f"Content-Type: {content_type}\r\n"
    assert_digest(ask(hasher.port, post(body, extra)), body)
    assert_digest(
        ask(hasher.port, chunked(body[:7], body[7:] or b"x", extra=extra)), body[:7] + (body[7:] or b"x")
    )


def test_hashes_a_large_form(hasher):
    body = b"name=value&" * 100000
    assert_digest(ask(hasher.port, post(body, "Content-Type: application/x-www-form-urlencoded\r\n")), body)


def test_hashes_a_well_formed_multipart_body_as_it_came(hasher):
    body = (
        b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n'
        b'Content-Type: image/png\r\n\r\n'
        + ALL_BYTES
        + b"\r\n--xyz--\r\n"
    )
    assert_digest(ask(hasher.port, post(body, "Content-Type: multipart/form-data; boundary=xyz\r\n")), body)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity", "nonsense"])
def test_hashes_a_body_labelled_as_compressed_as_it_came(hasher, encoding):
    for body in (b"not compressed at all", gzip.compress(b"compressed" * 100)):
        assert_digest(ask(hasher.port, post(body, f"Content-Encoding: {encoding}\r\n")), body)


def test_hashes_five_megabytes(hasher):
    body = os.urandom(5_000_000)
    assert_digest(ask(hasher.port, post(body)), body)
    pieces = [body[at : at + 65536] for at in range(0, len(body), 65536)]
    assert_digest(ask(hasher.port, chunked(*pieces)), body)


@pytest.mark.parametrize("size", [1, 2, 7, 16, 255, 4095, 4096, 4097, 16384, 70000])
def test_hashes_a_chunked_body_whatever_the_size_of_its_chunks(hasher, size):
    body = os.urandom(min(size * 50, 200001))
    assert_digest(
        ask(hasher.port, chunked(*(body[at : at + size] for at in range(0, len(body), size)))), body
    )


@pytest.mark.parametrize(
    "tail",
    [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"5;name=value\r\nhello\r\n0\r\n\r\n",
        b'5;a="q;r"\r\nhello\r\n0;last\r\n\r\n',
        b"00005\r\nhello\r\n0000\r\n\r\n",
        b"2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Trailer: yes\r\nContent-Length: 3\r\n\r\n",
    ],
    ids=["plain", "extension", "quoted extension", "leading zeros", "trailers"],
)
def test_understands_all_of_the_chunked_form(hasher, tail):
    answer = ask(
        hasher.port, f"POST / HTTP/1.1\r\n{HEADERS}Transfer-Encoding: chunked\r\n\r\n".encode() + tail
    )
    assert_digest(answer, b"hello")


def test_chunk_sizes_may_be_in_either_case(hasher):
    head = f"POST / HTTP/1.1\r\n{HEADERS}Transfer-Encoding: Chunked\r\n\r\n".encode()
    body = b"z" * 0xAB
    for size in (b"ab", b"AB", b"aB"):
        assert_digest(ask(hasher.port, head + size + b"\r\n" + body + b"\r\n0\r\n\r\n"), body)


@pytest.mark.parametrize(
    "tail",
    [
        b"zz\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloworld\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    ],
    ids=["not hexadecimal", "empty size", "too long", "overflow"],
)
def test_a_garbled_chunk_is_refused_and_never_hashed(hasher, tail):
    answer = ask(hasher.port, CHUNKED_HEAD + tail)
    assert answer.status in (400, 413)


@pytest.mark.parametrize(
    "tail",
    [b"-5\r\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"5 5\r\nhello\r\n0\r\n\r\n"],
    ids=["negative", "0x", "two numbers"],
)
def test_a_chunk_size_that_reads_two_ways_is_refused_or_read_as_c_does(hasher, tail):
    """The library's reading of these is left to it: what must not be is a digest of anything else, or a
    wait without end.
    """
    received = raw(hasher.port, CHUNKED_HEAD + tail, timeout=11)
    if received:
        answer = Answer(received)
        assert 400 <= answer.status < 500 or answer.body == sha256(b"hello")


def test_a_body_that_ends_early_is_never_hashed(hasher):
    for request in (post(b"hello")[:-1], chunked(b"hello")[:-5], chunked(b"hello")[:-9]):
        with open_socket(hasher.port) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            data = read_to_end(connection)
        assert data == b"" or Answer(data).status == 400


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_neither_a_length_nor_chunks_is_an_empty_body_at_once(hasher, version):
    begun = time.monotonic()
    answer = ask(hasher.port, f"POST / HTTP/{version}\r\n{HEADERS}\r\n".encode())
    assert time.monotonic() - begun < scale(0.5)
    assert_digest(answer, b"")


def test_bytes_after_the_declared_length_are_not_hashed(hasher):
    assert_digest(ask(hasher.port, post(b"hello") + b"and more"), b"hello")


@pytest.mark.parametrize("form", ["length", "chunked", "no body"])
def test_a_client_that_has_closed_its_sending_side_still_gets_its_digest(form):
    with Service("hasher", DELAY_MS=200) as hasher:
        body = b"" if form == "no body" else b"hello"
        request = {
            "length": post(body),
            "chunked": chunked(b"hello"),
            "no body": f"POST / HTTP/1.1\r\n{HEADERS}\r\n".encode(),
        }[form]
        with open_socket(hasher.port) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            assert_digest(Answer(read_to_end(connection)), body)


@pytest.mark.parametrize("path", ["/abc", "/index.html", "//", "/32", "/%2F", "/favicon.ico"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD"])
def test_another_path_is_404(hasher, method, path):
    answer = ask(
        hasher.port, post(b"" if method in ("GET", "HEAD") else b"hello", target=path, method=method)
    )
    assert answer.status == 404
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"])
def test_another_method_is_405_with_allow(hasher, method):
    answer = ask(hasher.port, post(b"hello", method=method))
    assert answer.status == 405
    allowed = {word.strip() for word in answer.headers["allow"].split(",")}
    assert allowed == {"GET", "HEAD", "POST"}
    assert answer.headers["content-length"] == str(len(answer.body))


def test_every_answer_has_its_length_and_closes(hasher):
    for request in (
        post(b"x"),
        post(b"x", target="/abc"),
        post(b"x", method="PUT"),
        post(b"x", version="1.0"),
        post(b"x", "Connection: keep-alive\r\n"),
    ):
        answer = ask(hasher.port, request)
        assert answer.headers["content-length"] == str(len(answer.body))
        assert "transfer-encoding" not in answer.headers
        assert answer.headers["connection"].lower() == "close"


def test_the_target_may_have_a_query_or_be_absolute(hasher):
    for target in ("/?x=1", "http://hasher/", "http://hasher:80/?x"):
        assert_digest(ask(hasher.port, post(b"hello", target=target)), b"hello")


# ----------------------------------------------------------------------------------------------------- Expect


def read_head(connection):
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)
        if not piece:
            break
        data += piece
    return data


@pytest.mark.parametrize("form", ["length", "chunked"])
def test_expect_100_continue_is_told_to_continue_before_it_sends(hasher, form):
    with open_socket(hasher.port) as connection:
        request = (post if form == "length" else chunked)(b"hello", extra="Expect: 100-continue\r\n")
        head, _, body = request.partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\n\r\n")
        interim = read_head(connection)
        assert interim.startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert_digest(Answer(read_to_end(connection)), b"hello")


def test_expect_100_continue_with_the_body_sent_at_once(hasher):
    """A client may stop waiting: then one 100 may come or none, and the digest."""
    with open_socket(hasher.port) as connection:
        connection.sendall(post(b"hello", "Expect: 100-continue\r\n"))
        data = read_to_end(connection)
    if data.startswith(b"HTTP/1.1 100 "):
        data = data.partition(b"\r\n\r\n")[2]
    assert_digest(Answer(data), b"hello")


@pytest.mark.parametrize(
    "target, method, size, status",
    [("/", "POST", LIMIT + 1, 413), ("/abc", "POST", 5, 404), ("/", "PUT", 5, 405)],
)
def test_expect_100_continue_is_refused_instead_of_told_to_continue(hasher, target, method, size, status):
    request = f"{method} {target} HTTP/1.1\r\n{HEADERS}Content-Length: {size}\r\nExpect: 100-continue\r\n\r\n"
    answer = ask(hasher.port, request.encode())
    assert answer.status == status


# -------------------------------------------------------------------------------------------------------- 413


@pytest.mark.parametrize("length", [LIMIT + 1, 2**31, 2**32 + 5, 2**63, 2**64 + 5, 10**30])
def test_a_body_declared_as_too_large_is_413_at_once(length):
    with Service("hasher", DELAY_MS=3000) as hasher:
        begun = time.monotonic()
        with open_socket(hasher.port) as connection:
            connection.sendall(f"POST / HTTP/1.1\r\n{HEADERS}Content-Length: {length}\r\n\r\n".encode())
            head = read_head(connection)
        assert time.monotonic() - begun < scale(1)
        assert Answer(head).status == 413


def send_pieces(connection, pieces):
    """Sends all of them or until the other side no longer takes them."""
    with contextlib.suppress(OSError):
        for piece in pieces:
            connection.sendall(piece)


PIECE = bytes(1 << 20)
PIECE_CHUNK = b"100000\r\n" + PIECE + b"\r\n"


def test_a_chunked_body_that_grows_too_large_is_413(hasher):
    with open_socket(hasher.port, timeout=30) as connection:
        send_pieces(connection, [CHUNKED_HEAD, *[PIECE_CHUNK] * 64, b"1\r\nx\r\n", b"0\r\n\r\n"])
        assert Answer(read_to_end(connection)).status == 413


def test_a_single_chunk_that_is_too_large_is_413(hasher):
    with open_socket(hasher.port, timeout=30) as connection:
        send_pieces(connection, [CHUNKED_HEAD, b"4000001\r\n", *[PIECE] * 64, b"x\r\n", b"0\r\n\r\n"])
        assert Answer(read_to_end(connection)).status == 413


def test_exactly_the_limit_is_hashed(hasher):
    body = hashlib.sha256()
    for _ in range(64):
        body.update(PIECE)
    for start, piece, end in (
        (f"POST / HTTP/1.1\r\n{HEADERS}Content-Length: {LIMIT}\r\n\r\n".encode(), PIECE, b""),
        (CHUNKED_HEAD, PIECE_CHUNK, b"0\r\n\r\n"),
    ):
        with open_socket(hasher.port, timeout=30) as connection:
            connection.sendall(start)
            for _ in range(64):
                connection.sendall(piece)
            connection.sendall(end)
            answer = Answer(read_to_end(connection))
        assert answer.status == 200
        assert answer.body == body.hexdigest().encode()


@pytest.mark.parametrize("form", ["length", "chunked"])
def test_memory_stays_flat_for_a_large_body(hasher, form):
    ask(hasher.port, post(b"warm up"))
    before = private_kib(hasher.pid)
    highest = 0
    with open_socket(hasher.port, timeout=30) as connection:
        connection.sendall(
            CHUNKED_HEAD
            if form == "chunked"
            else f"POST / HTTP/1.1\r\n{HEADERS}Content-Length: {60 << 20}\r\n\r\n".encode()
        )
        for _ in range(60):
            connection.sendall(PIECE_CHUNK if form == "chunked" else PIECE)
            highest = max(highest, private_kib(hasher.pid))
        connection.sendall(b"0\r\n\r\n" if form == "chunked" else b"")
        assert Answer(read_to_end(connection)).status == 200
    if not SANITIZED:
        assert highest - before < 1024


# -------------------------------------------------------------------------------------- refused while sending


SLOW_FIVE_MEGABYTES = [b"x" * 100000] * 50


@pytest.mark.parametrize(
    "request_line, header, status",
    [
        ("POST /nowhere", "Content-Length: 5000000", 404),
        ("PUT /", "Content-Length: 5000000", 405),
        ("POST /nowhere", "Transfer-Encoding: chunked", 404),
        ("PUT /", "Transfer-Encoding: chunked", 405),
        ("POST /", "Content-Length: 70000000", 413),
    ],
)
def test_a_refusal_reaches_a_client_that_is_still_sending(hasher, request_line, header, status):
    """It sends before it looks at the answer: that must not have been lost to a reset."""
    pieces = SLOW_FIVE_MEGABYTES
    if "chunked" in header:
        pieces = [b"186a0\r\n" + piece + b"\r\n" for piece in pieces]
    start = f"{request_line} HTTP/1.1\r\n{HEADERS}{header}\r\n\r\n".encode()
    assert answer_after_sending(hasher.port, start, pieces).status == status


def test_a_counted_413_reaches_a_client_that_is_still_sending(hasher):
    start = CHUNKED_HEAD + PIECE_CHUNK * 64
    pieces = [b"186a0\r\n" + piece + b"\r\n" for piece in SLOW_FIVE_MEGABYTES]
    assert answer_after_sending(hasher.port, start, pieces).status == 413


def test_a_refused_client_that_never_stops_sending_is_cut_off(hasher):
    begun = time.monotonic()
    with open_socket(hasher.port) as connection:
        connection.sendall(f"POST /nowhere HTTP/1.1\r\n{HEADERS}Content-Length: 60000000\r\n\r\n".encode())
        with contextlib.suppress(OSError):
            while time.monotonic() - begun < scale(6):
                connection.sendall(b"x" * 1000)
                time.sleep(0.02)
    assert 0.5 < time.monotonic() - begun < scale(3)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_sees_the_refusal_of_what_it_uploads(hasher, tmp_path):
    big = tmp_path / "big"
    with open(big, "wb") as file:
        file.truncate(LIMIT + 1)
    for path, options, status in (
        ("/nowhere", [], "404"),
        ("/", [], "413"),
        ("/", ["-H", "Transfer-Encoding: chunked"], "413"),
        ("/", ["-H", "Expect:"], "413"),
        ("/", ["-X", "PUT"], "405"),
    ):
        shown = subprocess.run(
            [
                "curl",
                "-sS",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                *options,
                "--data-binary",
                f"@{big}",
                f"http://127.0.0.1:{hasher.port}{path}",
            ],
            capture_output=True,
            text=True,
            timeout=scale(30),
            check=False,
        )
        assert shown.stdout == status, (path, options, shown.stderr)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_gets_the_digest_of_what_it_uploads(hasher, tmp_path):
    content = os.urandom(3_000_000)
    file = tmp_path / "file"
    file.write_bytes(content)
    url = f"http://127.0.0.1:{hasher.port}/"
    for options in (
        ["--data-binary", f"@{file}"],
        ["-T", "-", "-X", "POST"],
        ["--http1.0", "--data-binary", f"@{file}"],
        ["-H", "Expect: 100-continue", "--data-binary", f"@{file}"],
        ["-H", "Content-Type:", "-H", "Content-Encoding: gzip", "--data-binary", f"@{file}"],
    ):
        with open(file, "rb") as stdin:
            shown = subprocess.run(
                ["curl", "-sS", *options, url],
                capture_output=True,
                stdin=stdin,
                timeout=scale(30),
                check=False,
            )
        assert shown.stdout == sha256(content), (options, shown.stderr)


# --------------------------------------------------------------------------------------------- many at a time


def test_delay_is_slept_for_every_digest():
    with Service("hasher", DELAY_MS=300) as hasher:
        port = hasher.port
        for request in (post(b"x"), post(b""), chunked(b"x")):
            begun = time.monotonic()
            assert ask(port, request).status == 200
            assert 0.29 <= time.monotonic() - begun < 0.3 + scale(0.3)


def test_hashes_for_the_originals_worker():
    """python-requests, which sends head and body apart."""
    with Service("hasher", DELAY_MS=0) as hasher, open_socket(hasher.port) as connection:
        body = os.urandom(32)
        connection.sendall(b"POST / HTTP/1.1\r\nHost: hasher\r\nUser-Agent: python-requests/2.18.4\r\n"
                           b"Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n"
                           b"Content-Type: application/octet-stream\r\nContent-Length: 32\r\n\r\n")
        time.sleep(0.05)
        connection.sendall(body)
        assert_digest(Answer(read_to_end(connection)), body)


@pytest.mark.parametrize("kind", ["small", "20 KB", "chunked"])
def test_sixty_four_together_take_one_delay(kind):
    with Service("hasher", DELAY_MS=1000) as hasher:
        port = hasher.port
        connections = [open_socket(port) for _ in range(64)]
        bodies = [b"%02d" % at * (10000 if kind == "20 KB" else 50) for at in range(64)]
        begun = time.monotonic()
        for connection, body in zip(connections, bodies):
            connection.sendall(chunked(body) if kind == "chunked" else post(body))
        results = collect(connections)
        for (data, _), body in zip(results, bodies):
            assert_digest(Answer(data), body)
        assert min(end for _, end in results) - begun > 0.98
        assert max(end for _, end in results) - begun < 1 + scale(0.5)


@pytest.mark.parametrize(
    "kind", ["idle", "half a head", "half a body", "half a chunk", "dripping body", "waits to continue"]
)
def test_two_hundred_such_clients_hold_nobody_up(kind):
    start = {
        "idle": b"",
        "half a head": b"POST / HTTP/1.1\r\nHost: hasher\r\nContent-Le",
        "half a body": f"POST / HTTP/1.1\r\n{HEADERS}Content-Length: 100000\r\n\r\n".encode() + b"x" * 50000,
        "half a chunk": CHUNKED_HEAD + b"1000\r\nhalf",
        "dripping body": f"POST / HTTP/1.1\r\n{HEADERS}Content-Length: 1000\r\n\r\n".encode(),
        "waits to continue": (
            f"POST / HTTP/1.1\r\n{HEADERS}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n".encode()
        ),
    }[kind]
    with Service("hasher", DELAY_MS=100) as hasher, contextlib.ExitStack() as stack:
        port = hasher.port
        connections = [stack.enter_context(open_socket(port)) for _ in range(200)]
        for connection in connections:
            connection.sendall(start)
        stop = threading.Event()

        def drip():
            while not stop.wait(0.1):
                for connection in connections:
                    with contextlib.suppress(OSError):
                        connection.send(b"y")

        dripping = threading.Thread(target=drip)
        if kind == "dripping body":
            dripping.start()
        try:
            time.sleep(0.3)
            best = 100.0
            for _ in range(3):
                begun = time.monotonic()
                assert_digest(ask(port, post(b"hello")), b"hello")
                best = min(best, time.monotonic() - begun)
            assert best < 0.1 + scale(0.1)
        finally:
            stop.set()
            if kind == "dripping body":
                dripping.join()


def test_who_waits_to_continue_may_stand_in_line_for_longer_than_a_request_may_take_to_arrive():
    with Service("hasher", DELAY_MS=5500) as hasher, contextlib.ExitStack() as stack:
        before = [stack.enter_context(open_socket(hasher.port)) for _ in range(128)]
        for connection in before:
            connection.sendall(chunked(b"x"))
        time.sleep(0.3)
        begun = time.monotonic()
        client = stack.enter_context(open_socket(hasher.port, timeout=60))
        client.sendall(f"POST / HTTP/1.1\r\n{HEADERS}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n".encode())
        assert Answer(read_head(client)).status == 100
        assert time.monotonic() - begun > 10, "two rounds were before it"
        time.sleep(0.2)
        client.sendall(b"hello")
        assert_digest(Answer(read_to_end(client)), b"hello")


def test_a_thousand_posts_at_once_are_all_answered():
    with Service("hasher", DELAY_MS=10) as hasher:
        port = hasher.port
        connections = [open_socket(port) for _ in range(1000)]
        for at, connection in enumerate(connections):
            connection.sendall(post(b"%d" % at))
        for at, (data, _) in enumerate(collect(connections, 30)):
            assert_digest(Answer(data), b"%d" % at)


def test_clients_that_vanish_hold_nobody_up():
    with Service("hasher", DELAY_MS=300) as hasher:
        port = hasher.port
        for _ in range(500):
            with open_socket(port) as vanishing:
                vanishing.sendall(post(b"x"))
        begun = time.monotonic()
        assert_digest(ask(port, post(b"hello")), b"hello")
        # At worst they are still being slept for: 500 of them are 8 rounds of 64, of which most lie behind.
        assert time.monotonic() - begun < scale(3)
        eventually(lambda: len(hasher.access_lines()) == 501, 10)
        assert http(port, "GET", "/")[0] == 200
