"""webui: /json to the letter, every failure of Redis, and files, but never outside their folder."""

import contextlib
import json
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urljoin

import pytest

from clients import assert_answer, quickest, request_bytes
from fakes import Blackhole, FakeDns, Namespace, RedisProxy
from harness import (Answer, Redis, Service, ask, collect, eventually, needs_namespaces, open_socket,
                     raw, read_to_end, scale)

JSON = "application/json; charset=utf-8"
NO_PATH = b"404 Not Found: there is no such path\n"
NO_METHOD = b"405 Method Not Allowed: allowed are GET, HEAD, OPTIONS\n"
SECURITY = {"x_content_type_options": "nosniff"}  # a mounted page may have inline scripts, and may be framed
FRESH = SECURITY | {"cache_control": "no-store"}
KEPT = SECURITY | {"cache_control": "no-cache"}  # cached, but checked each time


def ask_json(port):
    answer = ask(port, request_bytes("/json"))
    return answer.status, json.loads(answer.body)


@pytest.fixture(name="redis")
def fixture_redis():
    with Redis() as server:
        yield server


@pytest.fixture(name="serve")
def fixture_serve(tmp_path):
    """Starts a webui with that Redis. Next to its folders, files and assets, are files that nobody may see."""
    for path, text in {
            "files/index.html": "<h1>index</h1>", "files/sub/page.html": "<h1>page</h1>",
            "files/assets/hidden.txt": "hidden behind the other folder",
            "assets/dygraphs/dygraph.min.js": "'dygraph'", "assets/index.html": "<h1>assets</h1>",
            "secret.txt": "SECRET", "files-private/x": "SECRET", "assets-private/x": "SECRET"}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return lambda url, **more: Service("webui", REDIS_URL=url, FILES_DIR=tmp_path / "files",
                                       ASSETS_DIR=tmp_path / "assets", **more)


@pytest.fixture(name="webui")
def fixture_webui(redis, serve):
    with serve(redis.url) as service:
        yield service


@pytest.fixture(name="site")
def fixture_site(tmp_path, serve):
    """A webui without Redis, and its .files."""
    with serve("redis://127.0.0.1:1") as service:
        service.files = tmp_path / "files"
        yield service


def test_json_has_coins_as_a_number_hashes_as_a_string_and_now_in_milliseconds(webui, redis):
    moments = []
    for coins, hashes in ((0, b"null"), (12, b'"345"')):
        if coins:
            redis.command("SET", "hashes", "345")
            for at in range(coins):
                redis.command("HSET", "wallet", f"{at:064x}", b"\x00\xff" * 16)
        for _ in range(8):
            before = time.time()
            answer = ask(webui.port, request_bytes("/json?_=1700000000"))
            assert_answer(answer, 200, answer.body, JSON, **FRESH)
            pattern = rb'{"coins":%d,"hashes":%b,"now":(\d{10}\.\d{1,3})}' % (coins, hashes)
            now = re.fullmatch(pattern, answer.body)[1]
            assert before - 0.002 <= float(now) <= time.time() + 0.002
            moments.append(now)
            time.sleep(0.003)
    assert len({moment.partition(b".")[2] for moment in moments}) > 8, "to the millisecond"
    head = ask(webui.port, request_bytes("/json", method="HEAD"))
    assert (head.status, head.body) == (200, b"")
    assert abs(int(head.headers["content-length"]) - len(answer.body)) <= 2, "of another moment"


def test_hashes_is_what_redis_has_even_if_it_is_not_a_number(webui, redis):
    for value in ("0", "9223372036854775807", "-5", "", '"quoted" \\ \n\t\x00\x1f', "Münzen €", "</script>"):
        redis.command("SET", "hashes", value.encode())
        assert ask_json(webui.port)[1]["hashes"] == value
    for value in (b"\xff", b"12\xc3", b"\xed\xa0\x80", bytes(range(256)) * 40):  # not UTF-8
        redis.command("SET", "hashes", value)
        assert "\ufffd" in ask_json(webui.port)[1]["hashes"]


@pytest.mark.threads
def test_every_reading_is_fresh_and_uses_one_connection_however_many_browsers_poll(webui, redis):
    ended = threading.Event()
    seen = set()

    def poll():
        while not ended.is_set():
            seen.add(ask_json(webui.port)[0])

    with ThreadPoolExecutor() as pool, contextlib.ExitStack() as stack:
        stack.callback(ended.set)
        polling = [pool.submit(poll) for _ in range(4)]
        for number in range(50):
            redis.command("SET", "hashes", number)
            assert ask_json(webui.port)[1]["hashes"] == str(number)
            redis.command("HSET", "wallet", f"{number:064x}", "x")
            assert ask_json(webui.port)[1]["coins"] == number + 1
    assert [poller.result() for poller in polling] == [None] * 4 and seen == {200}
    assert len(redis.command("CLIENT", "LIST").splitlines()) == 2, "the connections of webui and of this test"


def assert_503(port, reason, within=1.1):
    """The response is that error, in time."""
    body = b'{"error":"%b"}' % reason.encode()
    within *= 1.5  # for a busy machine
    json_ = request_bytes("/json")
    assert quickest(lambda: assert_answer(ask(port, json_), 503, body, JSON, **FRESH), within) < scale(within)


def ask_history(port):
    answer = ask(port, request_bytes("/history"))
    assert_answer(answer, 200, answer.body, JSON, **FRESH)
    said = json.loads(answer.body)
    assert list(said) == ["readings"]
    return said["readings"]


def test_every_replica_has_the_history_however_few_of_the_requests_it_gets(redis, serve):
    """Behind a load balancer each of four gets every fourth request of a page."""
    with contextlib.ExitStack() as stack:
        replicas = [stack.enter_context(serve(redis.url)) for _ in range(4)]
        assert [ask_history(replica.port)[0][1] for replica in replicas] == [None] * 4
        for number in range(8):
            redis.command("SET", "hashes", number)
            ask_json(replicas[number % 4].port)
            time.sleep(1)
        for replica in replicas:
            before = time.time()
            times, hashes = zip(*ask_history(replica.port))
            assert before - 0.002 <= times[-1] <= time.time() + 0.002, "one made just now says how old the others are"
            assert all(0.4 < later - earlier < 2.5 for earlier, later in zip(times, times[1:])), times
            assert len(times) >= 6 and hashes[-1] == "7" and hashes[0] in (None, "0")
            numbers = [int(each or -1) for each in hashes]
            assert numbers == sorted(numbers)


def test_only_json_and_history_begin_the_history_and_its_failures_write_no_line(webui, redis):
    def readings():
        return int(re.search(r"cmdstat_hlen:calls=(\d+)|$", redis.command("INFO", "commandstats").decode())[1] or 0)

    others = [("/", "GET"), ("/index.html", "HEAD"), ("/nothing", "GET"), ("/json", "POST"), ("/history", "POST")]
    for target, method in others:
        ask(webui.port, request_bytes(target, method=method))
    time.sleep(1.5)
    assert readings() == 0
    assert ask(webui.port, request_bytes("/json", method="HEAD")).status == 200
    eventually(lambda: readings() >= 4, what="readings of its own")
    redis.stop()
    kept = ask_history(webui.port)
    assert len(kept) >= 2 and ask_json(webui.port)[0] == 503
    time.sleep(2.5)
    assert ask_history(webui.port) == kept
    assert len(webui.lines) == len(webui.access_lines()) + 1, webui.log


def test_redis_that_is_not_there_and_comes_back(redis, serve):
    redis.command("SET", "hashes", "7")
    redis.stop()
    with serve(redis.url) as service:
        for end in (redis.stop, redis.kill):
            for _ in range(2):
                assert_503(service.port, f"Redis at 127.0.0.1:{redis.port}: connection refused")
            for _ in range(2):  # the second time, between two readings
                redis.start()
                assert ask_json(service.port)[1]["hashes"] == "7"
                end()


def test_redis_that_hangs_and_comes_back(webui, redis):
    redis.command("SET", "hashes", "7")
    assert ask_json(webui.port)[0] == 200
    redis.pause()
    for _ in range(3):
        assert_503(webui.port, f"Redis at 127.0.0.1:{redis.port}: no reply in time", within=0.5)
    redis.resume()
    eventually(lambda: redis.command("PING"), what="redis")
    assert ask_json(webui.port)[1]["hashes"] == "7"


def test_a_late_reply_is_never_taken_for_that_of_another_command(webui, redis):
    """HLEN's reply, taken for that of the next GET, would show coins as hashes."""
    redis.command("SET", "hashes", "1000")
    redis.command("HSET", "wallet", "0" * 64, "x")
    for pause in (0.05, 0.3, 0.42, 0.6, 0.85):
        redis.pause()
        threading.Timer(pause, redis.resume).start()
        for _ in range(4):
            status, said = ask_json(webui.port)
            if status == 200:
                assert (said["coins"], said["hashes"]) == (1, "1000")


@pytest.mark.threads
def test_a_thousand_requests_while_redis_hangs_are_answered_at_once(webui, redis):
    def told():
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(open_socket(webui.port)) for _ in range(1000)]
            for connection in connections:
                connection.sendall(request_bytes("/json"))
            assert {Answer(data).status for data, _ in collect(connections)} == {503}

    assert ask_json(webui.port)[0] == 200
    redis.pause()
    assert quickest(told, 2.5) < scale(2.5)
    redis.resume()


def test_redis_whose_machine_is_silent_or_that_sends_its_reply_byte_by_byte(redis, serve):
    """Each byte comes in time, the whole reply too late."""
    class Dripping(RedisProxy):
        def pass_back(self, connection, data):
            for byte in data:
                connection.sendall(bytes([byte]))
                time.sleep(0.01)  # of the 0.4 s that there are, for a busy machine

    redis.command("SET", "hashes", "7" * 1000)
    with (Blackhole() as hole, serve(f"redis://127.0.0.1:{hole.port}") as silent,
          Dripping(redis) as proxy, serve(proxy.url) as slow):
        for _ in range(2):
            assert_503(silent.port, f"Redis at 127.0.0.1:{hole.port}: connection timed out")
            assert_503(slow.port, "Redis: no reply in time")


def ask_inside(namespace, port):
    with namespace.socket() as connection:
        connection.settimeout(scale(10))
        connection.connect(("127.0.0.1", port))
        connection.sendall(request_bytes("/json"))
        return Answer(read_to_end(connection))


@needs_namespaces
def test_it_follows_the_name_of_redis_although_the_old_one_still_replies(redis, serve):
    with (Redis() as other, Namespace() as namespace, FakeDns(namespace, {"redis": ["127.0.0.2"]}) as dns,
          RedisProxy(redis, host="127.0.0.2", port=6379, namespace=namespace),
          RedisProxy(other, host="127.0.0.3", port=6379, namespace=namespace) as proxy,
          serve(None, prefix=namespace.prefix) as service):
        other.command("SET", "hashes", 7)
        assert json.loads(ask_inside(namespace, service.port).body)["hashes"] is None
        dns.records = {"redis": ["127.0.0.3"]}
        eventually(lambda: json.loads(ask_inside(namespace, service.port).body)["hashes"] == "7", 6, 0.2)
        # Without data, a replica says so: the next request finds another Redis.
        other.command("CONFIG", "SET", "replica-serve-stale-data", "no")
        other.command("REPLICAOF", "127.0.0.1", 1)
        accepted = proxy.accepted
        for more in range(2):
            assert "MASTERDOWN" in json.loads(ask_inside(namespace, service.port).body)["error"]
            assert proxy.accepted == accepted + more


@needs_namespaces
def test_a_name_that_does_not_exist_yet_and_a_name_server_that_hangs(redis, serve):
    """At the default Redis."""
    with (Namespace() as namespace, FakeDns(namespace) as dns,
          RedisProxy(redis, port=6379, namespace=namespace), serve(None, prefix=namespace.prefix) as service):
        answer = ask_inside(namespace, service.port)
        assert answer.status == 503
        assert json.loads(answer.body)["error"].startswith("Redis at redis:6379: ")
        dns.silent = True
        for _ in range(2):
            assert quickest(lambda: ask_inside(namespace, service.port), 1.65) < scale(1.65)
            assert ask_inside(namespace, service.port).status == 503
        dns.silent = False
        dns.records = {"redis": ["127.0.0.1"]}
        eventually(lambda: ask_inside(namespace, service.port).status == 200, 20)


@pytest.mark.parametrize("command", [["LPUSH", "hashes", "x"], ["SET", "wallet", "x"]], ids=" ".join)
def test_a_key_of_the_wrong_type_is_named_until_its_type_is_right(webui, redis, command):
    redis.command(*command)
    assert_503(webui.port, f"Redis at 127.0.0.1:{redis.port}: "
                           "WRONGTYPE Operation against a key holding the wrong kind of value")
    redis.command("DEL", command[1])
    assert ask_json(webui.port)[0] == 200


def test_the_root_redirects_to_the_page(site):
    for method in ("GET", "HEAD"):
        answer = ask(site.port, request_bytes("/", method=method))
        assert (answer.status, answer.body) == (302, b"") and "content-type" not in answer.headers
        assert urljoin("http://webui/", answer.headers["location"]) == "http://webui/index.html"
        assert all(answer.headers[name.replace("_", "-")] == value for name, value in SECURITY.items())


@pytest.mark.parametrize("name, target, media_type", [
    ("x.css", "/x.css?v=1", "text/css; charset=utf-8"), ("a b+c%d.svg", "/a%20b+c%25d.svg", "image/svg+xml"),
    ("ü.json", "/%C3%BC.json", JSON), ("..txt", "/..txt", "text/plain; charset=utf-8"),
    ("jsonp", "/jsonp", "application/octet-stream"), ("assetsa", "/assetsa", "application/octet-stream"),
    ("../assets/x.mjs", "/assets/x.mjs", "text/javascript; charset=utf-8")])
def test_a_file_is_served_with_its_media_type_and_an_edit_shows_at_once(site, name, target, media_type):
    """Also to a browser that has it in its cache and asks whether it has changed."""
    for content in (bytes(range(251)) * 200, b""):  # more than one read
        (site.files / name).write_bytes(content)
        whole = ask(site.port, request_bytes(target, "If-Modified-Since: Sat, 21 Nov 2099 07:08:51 GMT"))
        assert_answer(whole, 200, content, media_type, **KEPT)
        head = ask(site.port, request_bytes(target, method="HEAD"))
        assert (head.status, head.headers, head.body) == (200, whole.headers, b"")


def test_what_is_not_there_is_not_found_and_never_listed(site):
    for target in ("/nothing", "/INDEX.HTML", "/index.html/", "/index.html/x", "/json/", "/JSON", "//json", "/./",
                   "/sub", "/sub/", "/assets", "/assets/", "/assets/dygraphs/", "/assets//index.html",
                   "/assets-private/x", "/assets/hidden.txt", "/" + "a" * 300, "/" + "a/" * 2000, "/index.html%00",
                   "/sub%00/page.html"):
        assert_answer(ask(site.port, request_bytes(target)), 404, NO_PATH)
    assert_answer(ask(site.port, request_bytes("/nothing", method="POST", body=b"hello")), 404, NO_PATH)


def test_no_path_leads_out_of_the_folders(site):
    root = site.files.parent
    for path in ("../secret.txt", "sub/../../secret.txt", "../files-private/x", "../files/../secret.txt",
                 "assets/../../secret.txt", "assets/../assets-private/x", f"{root}/secret.txt",
                 f"assets/{root}/secret.txt", "../../../../../../../../../../etc/passwd", "..",
                 "sub/../index.html", "assets/dygraphs/../index.html"):
        for dress, dressed in (("", ""), (".", "%2e"), ("..", ".%2E"), ("/", "%2f"), ("/", "//"),
                               ("../", "..%5c"), ("..", "%252e%252e"), ("..", "%c0%ae%c0%ae"), ("t", "%74")):
            for target in ("/{}", "/{}%00.html", "/{}?x=/index.html", "http://webui/{}"):
                answer = raw(site.port, request_bytes(target.format(path.replace(dress, dressed))))
                assert re.match(rb"HTTP/1\.1 (404|400)\b", answer), (target, path, dressed)
                assert not re.search(b"SECRET|root:", answer), (target, path, dressed)


def test_only_files_are_served_also_by_links_inside_and_no_link_leads_out(site):
    """A ConfigMap's volume in Kubernetes consists of links inside the folder."""
    root = site.files.parent
    (root / "assets/sub").mkdir()
    for folder in ("files", "assets"):
        for name, leads_to, rest in (
                ("1", "../secret.txt", ""), ("2", root / "secret.txt", ""), ("3", "..", "/secret.txt"),
                ("4", "/", "/etc/passwd"), ("5", "/proc/self/environ", ""), ("6", "1", ""),
                ("7", "../files-private/x", ""), ("sub/8", "../../secret.txt", "")):
            (root / folder / name).symlink_to(leads_to)
            target = ("/assets/" if folder == "assets" else "/") + name + rest
            assert_answer(ask(site.port, request_bytes(target)), 404, NO_PATH)
    os.mkfifo(site.files / "pipe")
    (site.files / "dangling").symlink_to("nowhere")
    for target in ("/pipe", "/dangling"):
        assert_answer(ask(site.port, request_bytes(target)), 404, NO_PATH)
    (site.files / "..2026").mkdir()
    (site.files / "..2026/style.css").write_text("h1 {}")
    (site.files / "..data").symlink_to("..2026")
    (site.files / "style.css").symlink_to("..data/style.css")
    assert ask(site.port, request_bytes("/style.css")).body == b"h1 {}"
    assert_answer(ask(site.port, request_bytes("/style.css/")), 404, NO_PATH)


def test_a_file_is_closed_after_its_response(site):
    def open_files():
        folder = f"/proc/{site.pid}/fd"
        return [fd for fd in os.listdir(folder) if os.path.realpath(f"{folder}/{fd}").endswith("/index.html")]

    for method in ("GET", "HEAD", "PUT"):
        ask(site.port, request_bytes("/index.html", method=method, body=b""))
        eventually(lambda: open_files() == [], what=f"the end of the file of {method}")


def test_another_method_is_not_allowed_and_writes_nothing(site):
    for target in ("/", "/json", "/index.html", "/assets/dygraphs/dygraph.min.js"):
        for method in ("POST", "PUT", "DELETE"):
            answer = ask(site.port, request_bytes(target, method=method, body=b"hello"))
            assert_answer(answer, 405, NO_METHOD, allow="GET, HEAD, OPTIONS")
    assert ask(site.port, request_bytes("/new.html", method="PUT", body=b"hello")).status == 404
    assert sorted(os.listdir(site.files)) == ["assets", "index.html", "sub"]
    assert (site.files / "index.html").read_text() == "<h1>index</h1>"
