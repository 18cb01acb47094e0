"""webui: /json to the letter, a Redis in every kind of trouble, and files, but never beyond their folder."""

import contextlib
import json
import os
import re
import signal
import statistics
import threading
import time

import pytest

from fakes import FakeDns, Namespace, RedisProxy, namespaces_are_possible
from harness import (Answer, Blackhole, Redis, SANITIZED, STOPS_WITHIN, Service, ask, collect, eventually, http,
                     open_socket, private_kib, raw, read_to_end, scale)

needs_namespaces = pytest.mark.skipif(not namespaces_are_possible(),
                                      reason="namespaces need root and unshare")
JSON = re.compile(rb'\{"coins":(\d+),"hashes":(null|"(?:[^"\\]|\\.)*"),"now":(\d{10}\.\d{1,3})\}')


def get(target, method="GET", extra=""):
    return f"{method} {target} HTTP/1.1\r\nHost: webui\r\n{extra}\r\n".encode()


def ask_json(port):
    """(status, what the body says)"""
    answer = ask(port, get("/json"))
    return answer.status, json.loads(answer.body)


@pytest.fixture(scope="module", autouse=True)
def page(tmp_path_factory):
    """A folder with a page, for the tests that are not about files."""
    # Its parent is for root alone, and webui gives root up.
    serve.folder = tmp_path_factory.mktemp("page") / "files"
    serve.folder.mkdir()
    (serve.folder / "index.html").write_text("<h1>page</h1>")


def serve(redis_url, **more):
    """A webui at this Redis."""
    return Service("webui", REDIS_URL=redis_url, FILES_DIR=serve.folder, ASSETS_DIR=serve.folder, **more)


@pytest.fixture
def redis():
    with Redis() as server:
        yield server


@pytest.fixture
def folders(tmp_path):
    """files and assets, and beside them what nobody may see."""
    for name in ("files/sub/empty", "files/.well-known", "assets/dygraphs", "files-private",
                 "assets-private"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("SECRET")
    (tmp_path / "files-private/secret.txt").write_text("SECRET")
    (tmp_path / "assets-private/secret.txt").write_text("SECRET")
    (tmp_path / "files/index.html").write_text("<h1>index</h1>")
    (tmp_path / "files/sub/page.html").write_text("<h1>page</h1>")
    (tmp_path / "files/sub/index.html").write_text("<h1>sub</h1>")
    (tmp_path / "assets/dygraphs/dygraph.min.js").write_text("'dygraph'")
    (tmp_path / "assets/index.html").write_text("<h1>assets</h1>")
    return tmp_path


@pytest.fixture
def site(folders):
    """A webui over these folders, without a Redis."""
    with Service("webui", FILES_DIR=folders / "files", ASSETS_DIR=folders / "assets",
                 REDIS_URL="redis://127.0.0.1:1") as service:
        service.folders = folders
        assert service.port
        yield service


@pytest.fixture
def webui(redis):
    with serve(redis.url) as service:
        yield service


# --------------------------------------------------------------------------------------- /json, to the letter


def test_json_before_the_first_update_has_no_coins_and_null(webui):
    answer = ask(webui.port, get("/json"))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["content-length"] == str(len(answer.body))
    match = JSON.fullmatch(answer.body)
    assert match, answer.body
    assert match.group(1) == b"0"
    assert match.group(2) == b"null"


def test_json_has_its_keys_in_order_coins_a_number_hashes_a_string_now_in_milliseconds(webui, redis):
    redis.command("SET", "hashes", "345")
    for number in range(12):
        redis.command("HSET", "wallet", f"{number:064x}", b"\x00\xff" * 16)
    before = time.time()
    answer = ask(webui.port, get("/json"))
    match = JSON.fullmatch(answer.body)
    assert match, answer.body
    assert match.group(1) == b"12"
    assert match.group(2) == b'"345"'
    assert before - 0.002 <= float(match.group(3)) <= time.time() + 0.002


def test_now_has_milliseconds(webui):
    moments = []
    for _ in range(12):
        moments.append(JSON.fullmatch(ask(webui.port, get("/json")).body).group(3))
        time.sleep(0.003)
    fractions = {moment.split(b".")[1] for moment in moments}
    assert len(fractions) > 3
    assert max(len(fraction) for fraction in fractions) == 3


@pytest.mark.parametrize("value, shown", [
    (b"0", "0"), (b"9223372036854775807", "9223372036854775807"), (b"-5", "-5"), (b"", ""), (b"007", "007"),
    (b'"quoted" \\ and \n\t\x00\x1f', '"quoted" \\ and \n\t\x00\x1f'),
    ("Münzen €".encode(), "Münzen €"), (b"</script><script>", "</script><script>"),
], ids=repr)
def test_hashes_is_what_redis_has_as_a_string(webui, redis, value, shown):
    redis.command("SET", "hashes", value)
    status, said = ask_json(webui.port)
    assert status == 200
    assert said["hashes"] == shown


@pytest.mark.parametrize("value",
                         [b"\xff", b"12\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80",
                          bytes(range(256)) * 40])
def test_bytes_that_are_not_utf_8_in_hashes_still_make_valid_json(webui, redis, value):
    redis.command("SET", "hashes", value)
    answer = ask(webui.port, get("/json"))
    assert answer.status == 200
    assert isinstance(json.loads(answer.body.decode("utf-8"))["hashes"], str)
    assert JSON.fullmatch(answer.body)


def test_json_takes_a_query_and_head(webui):
    assert ask(webui.port, get("/json?_=1700000000")).status == 200
    head = ask(webui.port, get("/json", "HEAD"))
    assert head.status == 200
    assert head.body == b""
    assert head.headers["content-type"] == "application/json; charset=utf-8"
    assert int(head.headers["content-length"]) > 30


@pytest.mark.parametrize("others", [0, 1, 4])
def test_every_reading_is_fresh_also_while_others_poll(webui, redis, others):
    ended = threading.Event()
    failed = []

    def poll():
        while not ended.is_set():
            status, _ = ask_json(webui.port)
            if status != 200:
                failed.append(status)

    pollers = [threading.Thread(target=poll) for _ in range(others)]
    for poller in pollers:
        poller.start()
    try:
        for number in range(50):
            redis.command("SET", "hashes", number)
            assert ask_json(webui.port)[1]["hashes"] == str(number)
            redis.command("HSET", "wallet", f"{number:064x}", "x")
            assert ask_json(webui.port)[1]["coins"] == number + 1
    finally:
        ended.set()
        for poller in pollers:
            poller.join()
    assert failed == []


def test_a_hundred_readings_of_json_are_quick(webui):
    seconds = []
    for _ in range(100):
        begun = time.monotonic()
        assert ask_json(webui.port)[0] == 200
        seconds.append(time.monotonic() - begun)
    assert statistics.median(seconds) < scale(0.1)


# ----------------------------------------------------------------------------------------- trouble with Redis


def assert_503_in_time(port, *reasons, within=1.0):
    begun = time.monotonic()
    answer = ask(port, get("/json"))
    assert time.monotonic() - begun < scale(within)
    assert answer.status == 503
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    said = json.loads(answer.body)
    assert list(said) == ["error"]
    for reason in reasons:
        assert reason in said["error"], said["error"]
    return said["error"]


def test_redis_that_was_never_there(redis):
    redis.stop()
    with serve(redis.url) as service:
        for _ in range(3):
            assert_503_in_time(service.port, f"127.0.0.1:{redis.port}", "connection refused")
        redis.start()
        assert ask_json(service.port)[0] == 200


def test_redis_that_goes_away_and_comes_back(webui, redis):
    redis.command("SET", "hashes", "7")
    for end in (redis.stop, redis.kill):
        assert ask_json(webui.port)[0] == 200
        end()
        for _ in range(3):
            assert_503_in_time(webui.port, f"127.0.0.1:{redis.port}")
        redis.start()
        status, said = ask_json(webui.port)
        assert status == 200
        assert said["hashes"] == "7"


def test_redis_that_was_restarted_between_two_readings_is_no_error(webui, redis):
    for end in (redis.stop, redis.kill):
        assert ask_json(webui.port)[0] == 200
        end()
        redis.start()
        assert ask_json(webui.port)[0] == 200


def test_redis_that_hangs_and_comes_back(webui, redis):
    redis.command("SET", "hashes", "7")
    assert ask_json(webui.port)[0] == 200
    redis.pause()
    for _ in range(4):
        assert_503_in_time(webui.port)
    redis.resume()
    eventually(lambda: redis.command("PING"), what="redis")
    status, said = ask_json(webui.port)
    assert status == 200
    assert said["hashes"] == "7"


def test_a_late_reply_is_never_taken_for_another_question(webui, redis):
    """HLEN's reply after GET was asked would show coins as hashes."""
    redis.command("SET", "hashes", "1000")
    redis.command("HSET", "wallet", "0" * 64, "x")
    for pause in (0.05, 0.3, 0.42, 0.6, 0.85, 1.3):
        redis.pause()
        threading.Timer(pause, redis.resume).start()
        for _ in range(4):
            status, said = ask_json(webui.port)
            if status == 200:
                assert (said["coins"], said["hashes"]) == (1, "1000")


def test_a_connection_that_went_dead_in_silence_is_given_up_at_once(redis):
    """As when a machine on the way forgot it: what is sent vanishes, while new connections work."""
    class Forgetful(RedisProxy):
        forgets_the_first = False

        def forward(self, connection, target):
            first = self.accepted == 1
            while data := connection.recv(65536):
                if not (first and self.forgets_the_first):
                    target.sendall(data)

    with Forgetful(redis) as proxy, serve(proxy.url) as service:
        assert ask_json(service.port)[0] == 200
        proxy.forgets_the_first = True
        assert_503_in_time(service.port)
        assert ask_json(service.port)[0] == 200


@pytest.mark.parametrize("together", [8, 40, 100])
def test_all_who_ask_while_redis_hangs_are_told_within_a_second(webui, redis, together):
    assert ask_json(webui.port)[0] == 200
    redis.pause()
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(open_socket(webui.port)) for _ in range(together)]
        begun = time.monotonic()
        for connection in connections:
            connection.sendall(get("/json"))
        answers = collect(connections)
    assert [Answer(data).status for data, _ in answers] == [503] * together
    assert max(end for _, end in answers) - begun < scale(1) + together * 0.001
    redis.resume()
    eventually(lambda: redis.command("PING"), what="redis")
    assert ask_json(webui.port)[0] == 200


def test_files_are_served_while_redis_hangs(webui, redis):
    redis.pause()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(open_socket(webui.port)).sendall(get("/json"))
        begun = time.monotonic()
        assert ask(webui.port, get("/index.html")).status == 200
        assert time.monotonic() - begun < scale(1.2)
    redis.resume()


def test_redis_whose_machine_is_silent():
    with Blackhole() as hole, serve(f"redis://127.0.0.1:{hole.port}") as service:
        for _ in range(3):
            assert_503_in_time(service.port)


def test_redis_that_takes_the_request_and_drips_its_reply(redis):
    """Byte by byte, each in time for itself: together too late."""
    class Dripping(RedisProxy):
        def pass_back(self, connection, data):
            for byte in data * 40:
                connection.sendall(bytes([byte]))
                time.sleep(0.2)

    redis.command("SET", "hashes", "1" * 100)
    with Dripping(redis) as proxy, serve(proxy.url) as service:
        for _ in range(3):
            assert_503_in_time(service.port)


@needs_namespaces
def test_a_name_server_that_hangs():
    with Namespace() as namespace, FakeDns(namespace, silent=True):
        with serve("redis://redis", prefix=namespace.prefix) as service:
            for _ in range(3):
                with namespace.socket() as connection:
                    begun = time.monotonic()
                    connection.settimeout(scale(10))
                    connection.connect(("127.0.0.1", service.port))
                    connection.sendall(get("/json"))
                    answer = Answer(read_to_end(connection))
                    assert time.monotonic() - begun < scale(1)
                    assert answer.status == 503
            status, seconds = service.stop()
            assert status == 0
            assert seconds < scale(1)


@needs_namespaces
def test_a_name_that_does_not_exist_yet(redis):
    def ask_inside():
        with namespace.socket() as connection:
            connection.settimeout(scale(10))
            connection.connect(("127.0.0.1", service.port))
            connection.sendall(get("/json"))
            return Answer(read_to_end(connection))

    with (Namespace() as namespace, FakeDns(namespace), RedisProxy(redis, port=6379, namespace=namespace),
          serve(None, prefix=namespace.prefix) as service):
        answer = ask_inside()
        assert answer.status == 503
        assert "redis:6379" in json.loads(answer.body)["error"]
        namespace.set_hosts("127.0.0.1 redis\n")
        assert ask_inside().status == 200


@pytest.mark.parametrize("command",
                         [["LPUSH", "hashes", "x"], ["HSET", "hashes", "x", "y"], ["SET", "wallet", "x"],
                                     ["SADD", "wallet", "x"]], ids=" ".join)
def test_keys_of_a_wrong_type_are_named_and_the_right_type_heals_it(webui, redis, command):
    redis.command(*command)
    for _ in range(2):
        assert_503_in_time(webui.port, "WRONGTYPE", f"127.0.0.1:{redis.port}")
    redis.command("DEL", command[1])
    assert ask_json(webui.port)[0] == 200


def test_redis_that_is_loading_its_data(redis):
    redis.command("EVAL", "for i = 1, 8000 do redis.call('SET', 'key' .. i, i) end", 0)
    redis.command("SET", "hashes", "7")
    with serve(redis.url) as service:
        eventually(lambda: ask_json(service.port)[0] == 200, what="a first reading")
        redis.stop()
        redis.options += ["--key-load-delay", "300"]  # microseconds; it answers every 1,024 keys
        starter = threading.Thread(target=redis.start)
        starter.start()
        seen = set()
        while starter.is_alive():
            status, said = ask_json(service.port)
            seen.add(said["error"].rsplit(":", 1)[1].split()[0] if status == 503 else status)
        starter.join()
        eventually(lambda: ask_json(service.port)[0] == 200, what="the end of loading")
        print(seen)
        assert any("LOADING" in str(word) for word in seen)


@pytest.mark.parametrize("credentials, answer",
                         [("", "NOAUTH"), (":wrong@", "WRONGPASS"), ("nobody:s3cret@", "WRONGPASS")])
def test_a_wrong_password_is_named_and_never_shown(credentials, answer):
    with Redis("--requirepass", "s3cret") as redis:
        with serve(f"redis://{credentials}127.0.0.1:{redis.port}") as service:
            for _ in range(2):
                error = assert_503_in_time(service.port, answer)
                assert "s3cret" not in error and "wrong@" not in error


def test_the_url_carries_user_password_and_database():
    with Redis("--requirepass", "p@ss/w:rd") as redis:
        redis.command("AUTH", "p@ss/w:rd")
        redis.command("ACL", "SETUSER", "reader", "on", ">s3cret", "~*", "+@read", "+select")
        redis.command("SELECT", "5")
        redis.command("SET", "hashes", "55")
        for credentials in (":p%40ss%2Fw%3Ard@", "reader:s3cret@"):
            with serve(f"redis://{credentials}127.0.0.1:{redis.port}/5") as service:
                status, said = ask_json(service.port)
                assert status == 200
                assert said["hashes"] == "55"


def test_redis_sees_one_connection_however_many_poll(webui, redis):
    threads = [threading.Thread(target=lambda: [ask_json(webui.port) for _ in range(20)]) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clients = redis.command("CLIENT", "LIST").decode().splitlines()
    assert len(clients) == 2  # webui and this test


@pytest.mark.parametrize("state", ["idle", "redis hangs", "redis silent"])
def test_stops_within_a_second_whatever_redis_does(redis, state):
    with contextlib.ExitStack() as stack:
        url = redis.url
        if state == "redis silent":
            url = f"redis://127.0.0.1:{stack.enter_context(Blackhole()).port}"
        service = stack.enter_context(serve(url))
        if state == "redis hangs":
            assert ask_json(service.port)[0] == 200
            redis.pause()
            stack.callback(redis.resume)
        if state != "idle":
            for _ in range(12):
                stack.enter_context(open_socket(service.port)).sendall(get("/json"))
            time.sleep(0.1)
        else:
            assert service.port
        status, seconds = service.stop(signal.SIGTERM)
        assert status == 0
        assert seconds < STOPS_WITHIN


# ------------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_root_leads_to_index_html(site, method):
    answer = ask(site.port, get("/", method))
    assert answer.status == 302
    assert answer.headers["location"] == "/index.html"


MEDIA_TYPES = {
    "html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml",
    "png": "image/png", "ico": "image/x-icon", "jpg": "image/jpeg", "json": "application/json",
    "map": "application/json", "woff2": "font/woff2", "txt": "text/plain; charset=utf-8",
    "webmanifest": "application/manifest+json", "webp": "image/webp", "unknown": "application/octet-stream",
    "HTML.": "application/octet-stream",
}


@pytest.mark.parametrize("ending", MEDIA_TYPES)
def test_a_file_is_served_with_its_media_type_and_may_be_kept_but_must_be_asked_for_again(site, ending):
    content = bytes(range(256)) * 3 + ending.encode()
    (site.folders / f"files/file.{ending}").write_bytes(content)
    answer = ask(site.port, get(f"/file.{ending}"))
    assert answer.status == 200
    media_type = answer.headers["content-type"]
    if MEDIA_TYPES[ending] == "application/json":  # with or without a charset: JSON is UTF-8
        media_type = media_type.removesuffix("; charset=utf-8")
    assert media_type == MEDIA_TYPES[ending]
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-length"] == str(len(content))
    assert "transfer-encoding" not in answer.headers
    assert answer.body == content


def test_an_empty_file_is_served(site):
    (site.folders / "files/empty.css").write_bytes(b"")
    answer = ask(site.port, get("/empty.css"))
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")
    assert answer.headers["content-type"].startswith("text/css")


@pytest.mark.parametrize("name, target",
                         [("a b.txt", "/a%20b.txt"), ("a+b.txt", "/a+b.txt"), ("a%b.txt", "/a%25b.txt"),
                          ("ü.txt", "/%C3%BC.txt"), ("..txt", "/..txt"), ("a..b.txt", "/a..b.txt"),
                          ("...", "/..."), ("q.txt", "/q.txt?v=1"), ("q.txt", "/%71.txt"),
                          ("assetsa.html", "/assetsa.html"), (".well-known/x.txt", "/.well-known/x.txt"),
                          ("jsonp", "/jsonp"), ("sub/page.txt", "/sub/page.txt")])
def test_names_with_odd_characters_are_files_like_others(site, name, target):
    (site.folders / "files" / name).write_text("content of " + name)
    answer = ask(site.port, get(target))
    assert answer.status == 200
    assert answer.body.decode() == "content of " + name


@pytest.mark.parametrize("target",
                         ["/", "/index.html", "/assets/dygraphs/dygraph.min.js", "/json", "/nothing"])
def test_head_has_the_headers_of_get_and_no_body(site, target):
    head, whole = ask(site.port, get(target, "HEAD")), ask(site.port, get(target))
    assert head.body == b""
    assert head.status == whole.status
    for headers in (head.headers, whole.headers):
        headers.pop("date", None)
    assert head.headers == whole.headers
    assert "accept-ranges" not in whole.headers


NOT_THERE = ["/nothing", "/index.htm", "/INDEX.HTML", "/index.html/", "/index.html/x", "/json/", "/json/x",
             "/jso", "/JSON", "//", "//index.html", "//json", "/./", "/sub", "/sub/", "/sub/empty",
             "/sub/empty/", "/assets", "/assets/", "/assets/dygraphs", "/assets/dygraphs/",
             "/assets/nothing.js", "/assets//index.html", "/assetsindex.html", "/assets-private/secret.txt",
             "/healthz", "/readyz", "/metrics", "/" + "a" * 300, "/" + "a/" * 2000, "/index.html%00",
             "/index.html%00.png", "/%00", "/sub%00/page.html"]


@pytest.mark.parametrize("target", NOT_THERE, ids=lambda target: target[:30])
def test_what_is_not_there_is_404_without_a_listing(site, target):
    answer = ask(site.port, get(target))
    assert answer.status == 404
    for name in (b"page.html", b"dygraph", b"index", b"empty", b"secret", str(site.folders).encode()):
        assert name not in answer.body.replace(target.encode(), b"")


OUT = ["/../secret.txt", "/sub/../../secret.txt", "/sub/empty/../../../secret.txt",
       "/../files-private/secret.txt", "/../files/../secret.txt", "/assets/../secret.txt",
       "/assets/../../secret.txt", "/assets/dygraphs/../../secret.txt",
       "/assets/../assets-private/secret.txt", "/assets/../files/index.html", "/assets/..", "/..", "/../",
       "/sub/../..", "/./../secret.txt", "/.././secret.txt", "/...//../secret.txt",
       "/nothing/../../secret.txt", "{root}/secret.txt", "/{root}/secret.txt", "//{root}/secret.txt",
       "/assets/{root}/secret.txt", "/../../../../../../../../../../etc/passwd", "//etc/passwd",
       "/assets//etc/passwd", "/etc/passwd", "/proc/self/environ", "/../../../../../../proc/self/environ",
       "/index.html/../../secret.txt", "/sub/..;/..;/secret.txt"]
DRESSES = {
    "plain": lambda path: path,
    "dots encoded": lambda path: path.replace(".", "%2e"),
    "dots ENCODED": lambda path: path.replace(".", "%2E"),
    "second dot encoded": lambda path: path.replace("..", ".%2e"),
    "slashes encoded": lambda path: "/" + path[1:].replace("/", "%2f"),
    "slashes ENCODED": lambda path: "/" + path[1:].replace("/", "%2F"),
    "all encoded": lambda path: "/" + "".join(f"%{ord(letter):02x}" for letter in path[1:]),
    "twice encoded": lambda path: path.replace(".", "%252e").replace("/../", "/%252e%252e%252f"),
    "backslashes": lambda path: "/" + path[1:].replace("/", "\\"),
    "backslashes encoded": lambda path: "/" + path[1:].replace("/", "%5c"),
    "slash and backslash": lambda path: path.replace("../", "..%5c../"),
    "overlong UTF-8": lambda path: path.replace("..", "%c0%ae%c0%ae"),
    "%u": lambda path: path.replace("..", "%u002e%u002e"),
    "NUL behind": lambda path: path + "%00",
    "NUL and an ending": lambda path: path + "%00.html",
    "doubled slashes": lambda path: path.replace("/", "//"),
    "dotted": lambda path: path.replace("..", "./.."),
    "a query": lambda path: path + "?x=/index.html",
    "a fragment": lambda path: path + "#index.html",
    "absolute": lambda path: "http://webui" + path,
    "a tab": lambda path: path.replace("..", ".%09."),
}


@pytest.mark.parametrize("dress", DRESSES)
def test_no_path_leads_out_of_the_folders(site, dress):
    for path in OUT:
        target = DRESSES[dress](path.replace("{root}", str(site.folders)))
        answer = raw(site.port, get(target))
        assert b"SECRET" not in answer, target
        assert b"root:" not in answer, target
        assert b"PATH=" not in answer, target
        assert re.match(rb"HTTP/1\.1 (404|400)\b", answer), (target, answer[:100])
    assert ask(site.port, get("/index.html")).status == 200


def test_files_and_assets_are_worlds_apart(site):
    """Nothing crosses between the two folders: /assets/../index.html is not there."""
    for target in ("/assets/../index.html", "/assets/%2e%2e/index.html", "/assets/..%2findex.html"):
        assert ask(site.port, get(target)).status == 404
    (site.folders / "files/assets").mkdir()
    (site.folders / "files/assets/hidden.txt").write_text("in files")
    assert ask(site.port, get("/assets/hidden.txt")).status == 404
    assert ask(site.port, get("/assets/index.html")).body == b"<h1>assets</h1>"


LINKS = {
    "to a file by a relative path": ("link.txt", "../secret.txt", "/link.txt"),
    "to a file by an absolute path": ("link.txt", "{root}/secret.txt", "/link.txt"),
    "to a folder": ("link", "..", "/link/secret.txt"),
    "to a folder by an absolute path": ("link", "{root}", "/link/secret.txt"),
    "to the root": ("link", "/", "/link/etc/passwd"),
    "to /proc": ("link", "/proc/self/environ", "/link"),
    "to a link": ("link", "sub/second", "/link"),
    "a name that begins alike": ("link.txt", "../files-private/secret.txt", "/link.txt"),
    "in a subfolder": ("sub/link.txt", "../../secret.txt", "/sub/link.txt"),
}


@pytest.mark.parametrize("folder, prefix", [("files", ""), ("assets", "/assets")])
@pytest.mark.parametrize("case", LINKS)
def test_no_symbolic_link_leads_out_of_the_folders(site, folder, prefix, case):
    name, leads_to, target = LINKS[case]
    base = site.folders / folder
    (base / "sub").mkdir(exist_ok=True)
    (base / "sub/second").symlink_to("../../secret.txt")
    (base / name).symlink_to(leads_to.format(root=site.folders))
    answer = ask(site.port, get(prefix + target))
    assert answer.status == 404
    assert b"SECRET" not in answer.body and b"root:" not in answer.body


def test_symbolic_links_within_the_folder_are_followed(site):
    """A ConfigMap's volume in Kubernetes consists of them."""
    files = site.folders / "files"
    (files / "..2026_11_21").mkdir()
    (files / "..2026_11_21/style.css").write_text("h1 {}")
    (files / "..data").symlink_to("..2026_11_21")
    (files / "style.css").symlink_to("..data/style.css")
    assert ask(site.port, get("/style.css")).body == b"h1 {}"


def test_what_is_no_file_is_404_and_holds_nobody_up(site):
    files = site.folders / "files"
    os.mkfifo(files / "pipe.txt")
    (files / "dangling.txt").symlink_to("nowhere")
    (files / "loop").symlink_to("loop")
    unreadable = files / "unreadable.txt"
    unreadable.write_text("SECRET")
    unreadable.chmod(0)
    begun = time.monotonic()
    for target in ("/pipe.txt", "/dangling.txt", "/loop", "/loop/x"):
        assert ask(site.port, get(target)).status == 404
    if os.geteuid() == 0:  # the service gave root up, so it cannot read this one
        assert ask(site.port, get("/unreadable.txt")).status == 404
    assert time.monotonic() - begun < scale(1)


@pytest.mark.parametrize("target", ["/", "/json", "/index.html", "/assets/dygraphs/dygraph.min.js"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_another_method_on_what_is_there_is_405_with_allow(site, target, method):
    answer = ask(site.port, get(target, method, "Content-Length: 0\r\n"))
    assert answer.status == 405
    assert {"GET", "HEAD"} == set(re.split(r",\s*", answer.headers["allow"]))


@pytest.mark.parametrize("target", ["/nothing", "/sub", "/../secret.txt"])
def test_another_method_on_what_is_not_there_is_404(site, target):
    assert ask(site.port, get(target, "POST", "Content-Length: 5\r\n") + b"hello").status == 404


def test_a_put_never_writes(site):
    for target in ("/index.html", "/new.html", "/../new.html"):
        ask(site.port, get(target, "PUT", "Content-Length: 5\r\n") + b"hello")
    assert (site.folders / "files/index.html").read_text() == "<h1>index</h1>"
    assert not (site.folders / "files/new.html").exists() and not (site.folders / "new.html").exists()


@pytest.mark.parametrize("target", ["/", "/index.html", "/json", "/assets/dygraphs/dygraph.min.js"])
def test_every_answer_has_the_security_headers(site, target):
    headers = ask(site.port, get(target)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] in ("no-referrer", "same-origin")
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert policy["style-src"] == "'self' 'unsafe-inline'"
    assert "script-src" not in policy or policy["script-src"] == "'self'"
    assert "*" not in headers["content-security-policy"] and "http" not in headers["content-security-policy"]
    assert headers["connection"] == "close"


def test_json_is_never_kept(webui):
    assert ask(webui.port, get("/json")).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("how", ["written", "replaced", "grown", "removed and made"])
def test_an_edited_file_shows_at_once(site, how):
    page = site.folders / "files/index.html"
    for number in range(5):
        text = f"<h1>edit {number}</h1>" + "x" * 5000 * number
        if how == "replaced":
            (site.folders / "files/new").write_text(text)
            (site.folders / "files/new").rename(page)
        else:
            if how == "removed and made":
                page.unlink()
                assert ask(site.port, get("/index.html")).status == 404
            page.write_text(text)
        # Conditional requests, too: what a browser sends on reload.
        extra = "If-Modified-Since: Sat, 21 Nov 2026 07:08:51 GMT\r\n" if number % 2 else ""
        answer = ask(site.port, get("/index.html", extra=extra))
        assert answer.status == 200
        assert answer.body.decode() == text


def test_a_large_file_is_streamed_whole_with_flat_memory(site):
    content = os.urandom(1 << 20) * 48
    (site.folders / "files/large.bin").write_bytes(content)
    ask(site.port, get("/index.html"))
    before = private_kib(site.pid)
    highest = 0
    data = bytearray()
    with open_socket(site.port) as connection:
        connection.sendall(get("/large.bin"))
        for megabytes in range(1, 49):
            data += read_to_end(connection, (megabytes << 20) - len(data))
            highest = max(highest, private_kib(site.pid))
        data += read_to_end(connection)
    answer = Answer(bytes(data))
    assert answer.headers["content-length"] == str(len(content))
    assert answer.body == content
    if not SANITIZED:
        assert highest - before < 1024


@pytest.mark.parametrize("change", ["emptied", "cut short", "grown", "removed"])
def test_a_file_that_changes_while_it_is_served_hurts_nobody(site, change):
    size = 16 << 20  # more than the sockets' buffers hold
    path = site.folders / "files/large.bin"
    path.write_bytes(b"x" * size)
    with open_socket(site.port, receive_buffer=65536) as connection:
        connection.sendall(get("/large.bin"))
        data = read_to_end(connection, 20000)
        if change == "removed":
            path.unlink()
        elif change == "grown":
            with open(path, "ab") as file:
                file.write(b"y" * 1000)
        else:
            os.truncate(path, 0 if change == "emptied" else size // 2)
        data += read_to_end(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    assert f"content-length: {size}".encode() in head.lower()
    assert set(body) == {ord("x")}
    if change in ("removed", "grown"):
        assert len(body) == size
    else:
        assert len(body) < size  # closed early: the client can tell
    assert ask(site.port, get("/index.html")).status == 200


def test_relative_folders_are_taken_from_where_it_was_started(folders, monkeypatch):
    monkeypatch.chdir(folders)
    with Service("webui", FILES_DIR="files", ASSETS_DIR="assets", REDIS_URL="redis://127.0.0.1:1") as service:
        assert ask(service.port, get("/index.html")).body == b"<h1>index</h1>"


# ----------------------------------------------------------------------------------------- the real dashboard


@pytest.fixture
def dashboard(redis):
    """A webui with the page and the library that it really serves."""
    with Service("webui", REDIS_URL=redis.url) as service:
        yield service



def test_the_dashboard_and_the_chart_library_are_served(dashboard):
    status, headers, page = http(dashboard.port, "GET", "/index.html")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    for identifier in ("graph", "speed"):
        assert re.search(rb'id="?%s"?[\s>]' % identifier.encode(), page)
    status, headers, chart = http(dashboard.port, "GET", "/assets/dygraphs/dygraph.min.js")
    assert status == 200
    assert headers["Content-Type"].startswith("text/javascript")
    with open("/usr/share/javascript/dygraphs/dygraph.min.js", "rb") as file:
        assert chart == file.read()


def test_the_dashboard_asks_for_nothing_that_is_not_served_here(dashboard):
    _, _, page = http(dashboard.port, "GET", "/index.html")
    wanted = re.findall(rb'(?:src|href)="([^"#]+)"', page)
    assert wanted
    for reference in wanted:
        if b"//" in reference:  # a link to follow, not something to load
            assert re.search(rb'<a\b[^>]*href="' + re.escape(reference), page), reference
        elif not reference.startswith(b"data:"):
            assert not reference.startswith(b"/"), f"{reference!r} breaks under a path prefix"
            assert http(dashboard.port, "GET", "/" + reference.decode())[0] == 200, reference
