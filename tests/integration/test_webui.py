"""webui: /json to the letter, every failure of Redis, and files, but never outside their folder."""

import contextlib
import itertools
import json
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from clients import assert_answer, quickest, request_bytes
from fakes import FakeDns, Namespace, RedisProxy, blackhole
from harness import (Answer, Redis, Service, ask, collect, eventually, needs_namespaces, open_socket,
                     raw, read_to_end, scale)

JSON = "application/json; charset=utf-8"
NO_PATH = b"404 Not Found: there is no such path\n"
NO_METHOD = b"405 Method Not Allowed: allowed are GET, HEAD, OPTIONS\n"
SECURITY = {"x_content_type_options": "nosniff"}  # a mounted page may have inline scripts, and may be framed
FRESH = SECURITY | {"cache_control": "no-store"}
KEPT = SECURITY | {"cache_control": "no-cache"}  # cached, but checked each time


def get(service, target, *headers, **more):
    return ask(service.port, request_bytes(target, *headers, **more))


def get_json(service, target="/json"):
    """The status and the JSON of a response that nobody caches."""
    answer = get(service, target)
    assert_answer(answer, answer.status, answer.body, JSON, **FRESH)
    return answer.status, json.loads(answer.body)


@pytest.fixture(name="serve")
def fixture_serve(tmp_path):
    """Starts a webui with that Redis. Next to its folders, files and assets, are files that nobody may see."""
    for path in ("files/index.html", "files/sub/page.html", "files/assets/hidden", "assets/dygraphs/dygraph.js",
                 "assets/index.html", "SECRET", "files-private/SECRET", "assets-private/SECRET"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    folders = {"FILES_DIR": tmp_path / "files", "ASSETS_DIR": tmp_path / "assets"}
    return lambda url, **options: Service("webui", REDIS_URL=url, **folders, **options)


@pytest.fixture(name="webui")
def fixture_webui(redis, serve):
    with serve(redis.url) as service:
        yield service


def test_json_has_coins_as_a_number_hashes_as_a_string_and_now_in_milliseconds(webui, redis):
    for coins, hashes in ((0, b"null"), (12, b'"345"')):
        for at in range(coins):
            redis.command("SET", "hashes", "345")
            redis.command("HSET", "wallet", f"{at:064x}", b"\x00\xff" * 16)
        before = time.time()
        answer = get(webui, "/json?_=1700000000")
        assert_answer(answer, 200, answer.body, JSON, **FRESH)
        now = re.fullmatch(rb'{"coins":%d,"hashes":%b,"now":(\d{10}\.\d{1,3})}' % (coins, hashes), answer.body)[1]
        assert before - 0.002 <= float(now) <= time.time() + 0.002
    head = get(webui, "/json", method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert abs(int(head.headers["content-length"]) - len(answer.body)) <= 2, "of another moment"


def test_hashes_is_what_redis_has_even_if_it_is_not_a_number(webui, redis):
    for value in ("0", "9223372036854775807", "-5", "", '"quoted" \\ \n\t\x00\x1f', "Münzen €", "</script>"):
        redis.command("SET", "hashes", value.encode())
        assert get_json(webui)[1]["hashes"] == value
    for value in (b"\xff", b"12\xc3", b"\xed\xa0\x80", bytes(range(256)) * 40):  # not UTF-8
        redis.command("SET", "hashes", value)
        assert "\ufffd" in get_json(webui)[1]["hashes"]


@pytest.mark.threads
def test_every_reading_is_fresh_and_uses_one_connection_however_many_browsers_poll(webui, redis):
    with ThreadPoolExecutor(4) as pool:
        polling = [pool.submit(get_json, webui) for _ in range(500)]
        for number in range(50):
            redis.command("SET", "hashes", number)
            assert get_json(webui)[1]["hashes"] == str(number)
            redis.command("HSET", "wallet", f"{number:064x}", "x")
            assert get_json(webui)[1]["coins"] == number + 1
        assert {poll.result()[0] for poll in polling} == {200}
    assert len(redis.command("CLIENT", "LIST").splitlines()) == 2, "the connections of webui and of this test"


def assert_503(service, reason, within=1.1):
    """The response is that error, in time."""
    def told():
        assert get_json(service) == (503, {"error": reason})

    within *= 1.5  # for a busy machine
    assert quickest(told, within) < scale(within)


def test_the_history_begins_with_json_or_history_and_its_last_reading_was_made_now(webui, redis):
    def readings():
        return int(re.search(r"cmdstat_hlen:calls=(\d+)|$", redis.command("INFO", "commandstats").decode())[1] or 0)

    def history():
        status, said = get_json(webui, "/history")
        assert (status, list(said)) == (200, ["readings"])
        return zip(*said["readings"])

    for method, target in ("GET", "/"), ("HEAD", "/index.html"), ("GET", "/no"), ("POST", "/json"), ("PUT", "/history"):
        get(webui, target, method=method)
    time.sleep(1.5)
    assert readings() == 0
    assert get(webui, "/json", method="HEAD").status == 200
    redis.command("SET", "hashes", 7)
    eventually(lambda: readings() >= 5, what="readings of its own")
    before = time.time()
    times, hashes = history()
    assert before - 0.002 <= times[-1] <= time.time() + 0.002, "it says how old the others are"
    assert all(0.4 < later - earlier < 2.5 for earlier, later in zip(times, times[1:])), times
    assert len(times) >= 4 and hashes[0] in (None, "7") and hashes[-1] == "7"
    redis.stop()
    times, _ = history()
    assert get_json(webui)[0] == 503
    time.sleep(2.5)
    assert list(history())[0] == pytest.approx(times, abs=0.1), "failures are left out"
    assert len(webui.lines) == len(webui.access_lines()) + 1, webui.log


def test_redis_that_is_not_there_and_comes_back(redis, serve):
    redis.command("SET", "hashes", "7")
    redis.stop()
    with serve(redis.url) as service:
        for end in (redis.stop, redis.kill):
            for _ in range(2):
                assert_503(service, f"Redis at 127.0.0.1:{redis.port}: connection refused")
            for _ in range(2):  # the second time, between two readings
                redis.start()
                assert get_json(service)[1]["hashes"] == "7"
                end()


@pytest.mark.threads
def test_a_thousand_requests_while_redis_hangs_are_told_so_in_time_and_the_next_has_the_numbers(webui, redis):
    def told():
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(open_socket(webui.port)) for _ in range(1000)]
            for connection in connections:
                connection.sendall(request_bytes("/json"))
            assert {Answer(data).status for data, _ in collect(connections)} == {503}

    redis.command("SET", "hashes", "7")
    assert get_json(webui)[0] == 200
    redis.pause()
    assert_503(webui, f"Redis at 127.0.0.1:{redis.port}: no reply in time", within=0.5)
    assert quickest(told, 2.5) < scale(2.5)
    redis.resume()
    eventually(lambda: redis.command("PING"), what="redis")
    assert get_json(webui)[1]["hashes"] == "7"


def test_a_late_reply_is_never_taken_for_that_of_another_command(webui, redis):
    """HLEN's reply, taken for that of the next GET, would show coins as hashes."""
    redis.command("SET", "hashes", "1000")
    redis.command("HSET", "wallet", "0" * 64, "x")
    for pause in (0.05, 0.3, 0.42, 0.6, 0.85):
        redis.pause()
        threading.Timer(pause, redis.resume).start()
        for _ in range(4):
            status, said = get_json(webui)
            assert status == 503 or (said["coins"], said["hashes"]) == (1, "1000")


def test_redis_whose_machine_is_silent_or_that_sends_its_reply_byte_by_byte(redis, serve):
    class Dripping(RedisProxy):
        def pass_back(self, connection, data):
            for byte in data:
                connection.sendall(bytes([byte]))
                time.sleep(0.01)  # each byte comes in time, the whole reply too late

    redis.command("SET", "hashes", "7" * 1000)
    with (blackhole() as hole, serve(f"redis://{hole}") as silent,
          Dripping(redis) as proxy, serve(proxy.url) as slow):
        for _ in range(2):
            assert_503(silent, f"Redis at {hole}: connection timed out")
            assert_503(slow, "Redis: no reply in time")


@needs_namespaces
def test_it_waits_for_the_name_of_redis_and_follows_it_although_the_old_one_still_replies(redis, serve):
    with (Redis() as other, Namespace() as namespace, FakeDns(namespace) as dns,
          RedisProxy(redis, host="127.0.0.2", port=6379, namespace=namespace),
          RedisProxy(other, host="127.0.0.3", port=6379, namespace=namespace) as proxy,
          serve(None, prefix=namespace.prefix) as service):
        def said():
            with namespace.socket() as connection:
                connection.settimeout(scale(10))
                connection.connect(("127.0.0.1", service.port))
                connection.sendall(request_bytes("/json"))
                return json.loads(Answer(read_to_end(connection)).body)

        assert said()["error"].startswith("Redis at redis:6379: ")
        dns.silent = True
        for _ in range(2):
            assert quickest(lambda: said()["error"], 1.65) < scale(1.65)
        dns.silent = False
        dns.records = {"redis": ["127.0.0.2"]}
        eventually(lambda: said().get("hashes", "an error") is None, 20)
        other.command("SET", "hashes", 7)
        dns.records = {"redis": ["127.0.0.3"]}
        eventually(lambda: said().get("hashes") == "7", 6, 0.2)
        # Without data, a replica says so: the next request finds another Redis.
        other.command("CONFIG", "SET", "replica-serve-stale-data", "no")
        other.command("REPLICAOF", "127.0.0.1", 1)
        accepted = proxy.accepted
        for _ in range(9):
            assert "MASTERDOWN" in said()["error"]
        assert proxy.accepted > accepted + 4


@pytest.mark.parametrize("command", [["LPUSH", "hashes", "x"], ["SET", "wallet", "x"]], ids=" ".join)
def test_a_key_of_the_wrong_type_is_named_until_its_type_is_right(webui, redis, command):
    redis.command(*command)
    wrong = "WRONGTYPE Operation against a key holding the wrong kind of value"
    assert_503(webui, f"Redis at 127.0.0.1:{redis.port}: {wrong}")
    redis.command("DEL", command[1])
    assert get_json(webui)[0] == 200


def test_the_root_redirects_to_the_page(webui):
    for method in ("GET", "HEAD"):
        answer = get(webui, "/", method=method)
        assert (answer.status, answer.body) == (302, b"") and "content-type" not in answer.headers
        assert (answer.headers["location"], answer.headers["x-content-type-options"]) == ("index.html", "nosniff")


def test_a_file_is_served_with_its_media_type_and_an_edit_shows_at_once(webui, tmp_path):
    """Also to a browser that has it in its cache and asks whether it has changed."""
    for media_type, names in {
            "text/css; charset=utf-8": "x.css", "text/html; charset=utf-8": "x.html", "image/gif": "x.gif",
            "text/javascript; charset=utf-8": "x.min.js x.mjs", JSON: "ü.json x.js.map", "image/jpeg": "x.jpg",
            "text/plain; charset=utf-8": "..txt", "image/svg+xml": "a+c%d.svg", "image/x-icon": "x.ico",
            "application/manifest+json": "x.webmanifest", "image/png": "x.png", "image/webp": "x.webp",
            "font/woff2": "x.woff2", "application/octet-stream": "html jsonp assetsa x.html.bak"}.items():
        for folder, prefix in (("files", "/"), ("assets", "/assets/")):
            for name, content in itertools.product(names.split(), (bytes(range(251)) * 200, b"")):  # more than one read
                (tmp_path / folder / name).write_bytes(content)
                target = f"{prefix}{quote(name)}?v=1"
                whole = get(webui, target, "If-Modified-Since: Sat, 21 Nov 2099 07:08:51 GMT")
                assert_answer(whole, 200, content, media_type, **KEPT)
                head = get(webui, target, method="HEAD")
                assert (head.status, head.headers, head.body) == (200, whole.headers, b"")


def test_it_keeps_the_folder_that_it_opened_whatever_its_path_becomes(webui, tmp_path):
    webui.wait_for_line("running on port")
    (tmp_path / "files").rename(tmp_path / "moved")
    assert get(webui, "/index.html").body == b"files/index.html"


def test_a_response_ends_when_its_file_becomes_shorter(webui, tmp_path):
    (tmp_path / "files/large.js").write_bytes(bytes(10_000_000))
    with open_socket(webui.port, receive_buffer=4096) as client:
        client.sendall(request_bytes("/large.js"))
        client.recv(1)
        os.truncate(tmp_path / "files/large.js", 10)
        assert len(read_to_end(client)) < 9_000_000


def test_a_file_that_cannot_be_read_is_not_found_with_one_warning_and_a_hundred_are_enough(webui, tmp_path):
    (tmp_path / "files/private").touch(mode=0)
    (tmp_path / "files/locked").mkdir(mode=0)
    for target in ("/private", "/./private", *(f"/locked/{at}" for at in range(150))):
        assert_answer(get(webui, target), 404, NO_PATH)
    warnings = [line for line in webui.lines if line.startswith("WARNING")]
    assert warnings[0] == f"WARNING:webui:Cannot read {tmp_path}/files/private: Permission denied"
    assert len(warnings) == 100 and warnings[1].endswith("/locked/0: Permission denied")


def test_what_is_not_there_is_not_found_and_never_listed(webui):
    for target in ("/nothing", "/INDEX.HTML", "/index.html/", "/index.html/x", "/json/", "/JSON", "//json", "/./",
                   "/sub", "/sub/", "/assets", "/assets/", "/assets/dygraphs/", "/assets//index.html",
                   "/assets-private/SECRET", "/assets/hidden", "/" + "a" * 300, "/" + "a/" * 2000, "/index.html%00",
                   "/sub%00/page.html"):
        assert_answer(get(webui, target), 404, NO_PATH)


def test_no_path_leads_out_of_the_folders(webui, tmp_path):
    for path in ("../SECRET", "sub/../../SECRET", "../files-private/SECRET", "../files/../SECRET",
                 "assets/../../SECRET", "assets/../assets-private/SECRET", f"{tmp_path}/SECRET",
                 f"assets/{tmp_path}/SECRET", "../../../../../../../../../../etc/passwd", "..",
                 "sub/../index.html", "assets/dygraphs/../index.html"):
        for dress, dressed in (("", ""), (".", "%2e"), ("..", ".%2E"), ("/", "%2f"), ("/", "//"),
                               ("../", "..%5c"), ("..", "%252e%252e"), ("..", "%c0%ae%c0%ae"), ("E", "%45")):
            for target in ("/{}", "/{}%00.html", "/{}?x=/index.html", "http://webui/{}"):
                answer = raw(webui.port, request_bytes(target.format(path.replace(dress, dressed))))
                assert re.match(rb"HTTP/1\.1 (404|400)\b", answer), (target, path, dressed)
                assert not re.search(b"SECRET|root:", answer), (target, path, dressed)


def test_only_files_are_served_also_by_links_inside_and_no_link_leads_out(webui, tmp_path):
    """A ConfigMap's volume in Kubernetes consists of links inside the folder."""
    (tmp_path / "assets/sub").mkdir()
    for folder, prefix in (("files", "/"), ("assets", "/assets/")):
        for name, leads_to, rest in (
                ("1", "../SECRET", ""), ("2", tmp_path / "SECRET", ""), ("3", "..", "/SECRET"), ("6", "1", ""),
                ("4", "/", "/etc/passwd"), ("5", "/proc/self/environ", ""), ("7", "../files-private/SECRET", ""),
                ("sub/8", "../../SECRET", ""), ("dangling", "nowhere", "")):
            (tmp_path / folder / name).symlink_to(leads_to)
            assert_answer(get(webui, prefix + name + rest), 404, NO_PATH)
    os.mkfifo(tmp_path / "files/pipe")
    (tmp_path / "files/..2026").mkdir()
    (tmp_path / "files/..2026/style.css").write_text("h1 {}")
    (tmp_path / "files/..data").symlink_to("..2026")
    (tmp_path / "files/style.css").symlink_to("..data/style.css")
    assert get(webui, "/style.css").body == b"h1 {}"
    for target in ("/pipe", "/style.css/"):
        assert_answer(get(webui, target), 404, NO_PATH)


def test_a_file_is_closed_after_its_response(webui):
    def open_files():
        folder = f"/proc/{webui.pid}/fd"
        return [fd for fd in os.listdir(folder) if os.path.realpath(f"{folder}/{fd}").endswith("/index.html")]

    for method in ("GET", "HEAD", "PUT"):
        get(webui, "/index.html", method=method)
        eventually(lambda: open_files() == [], what=f"the end of the file of {method}")


def test_another_method_is_not_allowed_and_writes_nothing(webui, tmp_path):
    for method in ("POST", "PUT", "DELETE"):
        for target in ("/", "/json", "/index.html", "/assets/dygraphs/dygraph.js"):
            answer = get(webui, target, method=method, body=b"hello")
            assert_answer(answer, 405, NO_METHOD, allow="GET, HEAD, OPTIONS")
        assert_answer(get(webui, "/new.html", method=method, body=b"hello"), 404, NO_PATH)
    assert sorted(os.listdir(tmp_path / "files")) == ["assets", "index.html", "sub"]
    assert (tmp_path / "files/index.html").read_text() == "files/index.html"
