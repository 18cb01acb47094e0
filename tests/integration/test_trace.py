"""Traces: what the services tell a receiver about a loop, and that no receiver can disturb them."""

import os
import re
import statistics
import time

import pytest

from fakes import CLOSE, HANG, bytes_whose_digest_begins_with, http_answer
from harness import (STOPS_WITHIN, Mine, Service, alone, ask, counted, eventually, open_socket, scale, wait_until_up,
                     worker)
from otlp import CLIENT, ERROR, INTERNAL, SERVER, Receiver
from test_metrics import scrape

ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
GOOD = f"00-{ID}-{PARENT}-01"


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver
    assert receiver.problems == []


def get(service, *traceparents, path="/8"):
    head = "".join(f"traceparent: {text}\r\n" for text in traceparents)
    return ask(service.port, f"GET {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode()).status


@pytest.mark.threads
def test_a_loop_is_one_trace_through_worker_rng_and_hasher(receiver):
    more = {"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=class%20room, pod=1"}
    with Mine(**receiver.settings, **more) as mine:
        found = receiver.loops(5)
        rng, redis_port = mine.rng, mine.redis.port
    receiver.check_order()
    for loop in found:
        root, get_32, post = (loop["worker", name] for name in ("loop", "GET /32", "POST /"))
        at_rng, at_hasher = loop["rng", "GET /N"], loop["hasher", "POST /"]
        assert root.parent is None and {get_32.parent, post.parent, loop["worker", "work"].parent} == {root.id}
        assert (at_rng.parent, at_hasher.parent) == (get_32.id, post.id)
        for server, service in ((at_rng, "rng"), (at_hasher, "hasher")):
            queue, work = loop[service, "queue"], loop[service, "work"]
            assert queue.parent == work.parent == server.id
            assert abs(queue.ms + work.ms - server.ms) < 2 and work.ms >= 100
        assert [span.kind for span in (root, get_32, at_rng)] == [INTERNAL, CLIENT, SERVER]
        assert all(span.resource["deployment.environment.name"] == "class room" and span.resource["pod"] == "1"
                   for span in loop.values())
    assert get_32.attributes == {"http.request.method": "GET", "url.full": f"{rng.url}/32",
                                 "http.response.status_code": 200, "server.address": "127.0.0.1",
                                 "server.port": rng.port}
    assert at_rng.attributes == {"http.request.method": "GET", "http.route": "/N", "url.path": "/32",
                                 "url.scheme": "http", "http.response.status_code": 200, "client.address": "127.0.0.1"}
    updates = [loop["worker", "INCRBY"] for loop in found if ("worker", "INCRBY") in loop]
    # One before the first loop, then one before every fourth.
    assert 2 <= len(updates) <= 3
    assert updates[0].attributes == {"db.system.name": "redis", "db.operation.name": "INCRBY",
                                     "server.address": "127.0.0.1", "server.port": redis_port}


def test_with_ten_workers_a_loop_shows_700_ms_in_rngs_queue(receiver):
    with Mine(10, **receiver.settings):
        found = receiver.loops(40, 30)[20:]
    assert 650 < statistics.median(loop["rng", "queue"].ms for loop in found) < scale(760)
    # And so on the other side.
    assert all(loop["worker", "GET /32"].ms > loop["rng", "queue"].ms for loop in found)


def test_errors_are_told_as_the_conventions_say(receiver, rng, hasher, redis):
    coin = http_answer(bytes_whose_digest_begins_with("0"))
    answers = [http_answer(b"no", "500 Internal Server Error"), [CLOSE], coin]
    rng.answer = lambda _: answers.pop(0) if len(answers) > 1 else coin
    with worker(rng, hasher, redis, DELAY_MS=50, **receiver.settings):
        eventually(lambda: any(span.name == "HSET" for span in receiver.spans), 20)
    receiver.check_order()
    failed, broken = [span for span in receiver.spans if span.status == ERROR and span.name == "GET /32"][:2]
    assert failed.attributes["http.response.status_code"] == 500 and failed.attributes["error.type"] == "500"
    assert broken.attributes["error.type"] == "_OTHER" and "the connection broke" in broken.message
    assert {span.trace for span in receiver.spans if span.name == "loop" and span.status == ERROR} \
        == {failed.trace, broken.trace}


MALFORMED = ["", "00", f"00-{ID}-{PARENT}", f"00-{ID}-{PARENT}-1", f"00-{ID}-{PARENT}-01-more", f"0-{ID}-{PARENT}-001",
             f"00-{ID.upper()}-{PARENT}-01", f"ff-{ID}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01",
             f"00-{ID}-{'0' * 16}-01", f"00-{ID}-{PARENT}-0g", f"00_{ID}_{PARENT}_01", f"01-{ID}-{PARENT}-01more",
             f"00-{ID[:31]}--{PARENT[1:]}-01", f"00-+{ID[1:]}-{PARENT}-01", f"00-{ID}-{PARENT}-01" * 200]


def test_a_traceparent_decides_whether_a_request_is_traced(receiver):
    good = [GOOD, f"00-{ID}-{PARENT}-ff", f"cc-{ID}-{PARENT}-01", f"01-{ID}-{PARENT}-03-more-to-come"]
    unwanted = [(text,) for text in [*MALFORMED, f"00-{ID}-{PARENT}-00", f"00-{ID}-{PARENT}-02"]] + [(), (GOOD, GOOD)]
    with alone("rng", DELAY_MS=1, **receiver.settings) as rng:
        assert {get(rng, *texts) for texts in unwanted} == {200}
        assert {get(rng, text) for text in good} == {200}
        assert (get(rng, GOOD, path="/nowhere"), get(rng, GOOD, path="/")) == (404, 200)
    servers = [span for span in receiver.spans if span.kind == SERVER]
    assert [span.name for span in servers] == ["GET /N"] * len(good) + ["GET /"]
    assert {(span.trace, span.parent) for span in servers} == {(ID, PARENT)}
    assert len(receiver.spans) == 3 * len(servers)


def test_a_request_whose_client_leaves_the_queue_shows_that_it_waited(receiver):
    with Service("rng", DELAY_MS=2500, **receiver.settings) as rng:
        with open_socket(rng.port) as first, open_socket(rng.port) as second:
            for one in (first, second):
                one.sendall(f"GET /8 HTTP/1.1\r\nHost: x\r\ntraceparent: {GOOD}\r\n\r\n".encode())
            time.sleep(0.5)  # An end within 0.1 s would be a half-close.
            second.close()
            failed = eventually(lambda: [span for span in receiver.spans if span.status == ERROR], 10)[0]
        assert failed.attributes["error.type"] == "_OTHER" and "http.response.status_code" not in failed.attributes


@pytest.mark.parametrize("sampler, share", [
    ("parentbased_always_off", 0), ("always_off", 0), ("parentbased_traceidratio:0", 0), ("traceidratio:0.5", 0.5),
    ("parentbased_traceidratio:0.5", 0.5), ("parentbased_traceidratio:1", 1), ("parentbased_traceidratio:", 1),
    ("always_on", 1)])
def test_so_many_loops_are_recorded_and_all_services_are_told_which(receiver, rng, hasher, redis, sampler, share):
    name, _, argument = sampler.partition(":")
    with worker(rng, hasher, redis, OTEL_TRACES_SAMPLER=name, OTEL_TRACES_SAMPLER_ARG=argument, **receiver.settings):
        rng.await_requests(101, 30)
    at_rng = [request.headers["traceparent"].split("-") for request in rng.requests]
    assert {trace for _, trace, _, flags in at_rng if flags == "01"} >= {
        span.trace for span in receiver.spans if span.name == "POST /"}
    sampled = sum(flags == "01" for *_, flags in at_rng) / len(at_rng)
    assert abs(sampled - share) < 0.25 and (sampled == share or share == 0.5)
    assert bool(receiver.spans) == bool(share)
    at_hasher = {request.headers["traceparent"].split("-")[1]: request.headers["traceparent"][-2:]
                 for request in hasher.requests}
    assert len({trace for _, trace, *_ in at_rng}) == len(at_rng)
    assert {trace: flags for _, trace, _, flags in at_rng}.items() >= at_hasher.items()


BAD_RECEIVERS = {
    "hangs": ([HANG], None),
    "says 400": (http_answer(b"no", "400 Bad Request"), "it responded with status 400 "),
    "says 503": (http_answer(b"no", "503 Service Unavailable"), "it responded with status 503 "),
    "closes": ([CLOSE], "the connection broke before the response was complete"),
    "refuses spans": (http_answer(b'{"partialSuccess":{"rejectedSpans":"1"}}'),
                      'it responded with status 200 {"partialSuccess":{"rejectedSpans":"1"}}'),
    "sends megabytes": (http_answer(b"x" * 5_000_000), "it responded with more than 4096 bytes"),
    "is away": (None, "connection refused")}


@pytest.mark.threads
@pytest.mark.parametrize("how", BAD_RECEIVERS)
def test_a_bad_receiver_costs_one_warning_and_no_loop(receiver, how):
    answer, said = BAD_RECEIVERS[how]
    receiver.answer = lambda _: answer
    if answer is None:
        receiver.refuse()
    with Mine(DELAY_MS=20, **receiver.settings) as mine:
        services = (*mine.workers, mine.rng, mine.hasher)
        eventually(lambda: counted(mine.redis) >= 12, 20)
        for service in services if said else ():
            service.wait_for_line(
                f"^WARNING:{service.name}:Traces: {re.escape(receiver.address)}: {re.escape(said)}$", 10)
        before = counted(mine.redis), len(receiver.requests)
        eventually(lambda: counted(mine.redis) >= before[0] + 40, 20, what="40 more hashes")
        assert answer is None or how == "hangs" or len(receiver.requests) > before[1], "it goes on trying"
        for service in services:
            status, took = service.stop()
            assert (status, took < STOPS_WITHIN) == (0, True)
            assert len([line for line in service.lines if "Traces" in line]) == (1 if said else 0)
            assert not [line for line in service.lines if line.startswith("ERROR")]


def test_the_connection_to_a_receiver_is_kept_until_it_closes_it_and_one_that_comes_back_gets_what_it_missed(receiver):
    with alone("rng", DELAY_MS=0, **receiver.settings) as rng:
        for accepted in (1, 1, 2):
            before = len(receiver.spans)
            get(rng, GOOD)
            eventually(lambda: len(receiver.spans) == before + 3, 10)
            assert receiver.accepted == accepted
            time.sleep(0.5)  # A receiver that is cut off before its response is out gets these spans again.
            if before:
                receiver.cut()
        assert "WARNING" not in rng.log
        receiver.leave()
        get(rng, GOOD)
        rng.wait_for_line("WARNING:rng:Traces: .*: connection refused")
        receiver.listen()
        eventually(lambda: len(receiver.spans) == 12, 10)


def test_a_stop_sends_the_last_spans_and_waits_100_ms_at_most(receiver):
    with alone("rng", DELAY_MS=0, **receiver.settings) as rng:
        get(rng, GOOD)
        assert rng.stop()[0] == 0
        assert len(receiver.spans) == 3
    receiver.answer = lambda _: [HANG]
    took = []
    while min(took, default=1) > scale(0.19) and len(took) < 5:  # A busy machine is late now and then.
        with alone("rng", DELAY_MS=0, **receiver.settings) as rng:
            get(rng, GOOD)
            receiver.await_requests()
            took.append(rng.stop()[1])
    assert 0.09 < min(took) < scale(0.19)


def test_2048_spans_wait_and_what_does_not_fit_is_counted(receiver):
    receiver.answer = lambda _: [HANG]
    with alone("rng", admin=True, DELAY_MS=0, **receiver.settings) as rng:
        wait_until_up(rng)
        assert scrape(rng)["dockercoins_spans_dropped_total"] == 0
        for number in range(800):
            assert get(rng, GOOD, path="/") == 200
            if number == 100:
                receiver.await_requests()  # What is being sent counts, too.
        eventually(lambda: scrape(rng)["dockercoins_spans_dropped_total"] == 3 * 800 - 2048)


BAD = {"OTEL_EXPORTER_OTLP_ENDPOINT": ["https://x:4318", "grpc://x", "x:4318", "http://", "http://u:secret@x/?y"],
       "OTEL_EXPORTER_OTLP_PROTOCOL": ["grpc", "http/protobuf"], "OTEL_RESOURCE_ATTRIBUTES": ["a", "=b", "a=%zz"],
       "OTEL_TRACES_SAMPLER": ["sometimes", "parentbased_"], "OTEL_TRACES_SAMPLER_ARG": ["2", "-1", "nan", "half"]}


@pytest.mark.parametrize("variable", BAD)
@pytest.mark.parametrize("name", ["rng", "hasher", "worker"])
def test_a_value_that_cannot_be_used_is_one_warning_and_no_traces(name, variable):
    for value in BAD[variable]:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_SAMPLER": "traceidratio"}
        with alone(name, **settings | {variable: value}) as service:
            wait_until_up(service)
            warnings = [line for line in service.lines if line.startswith("WARNING")]
            assert len(warnings) == 1 and warnings[0].startswith(f"WARNING:{name}:No traces: {variable}=")
            assert "secret" not in service.log


@pytest.mark.parametrize("settings", [
    {}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "True"},
    {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_SDK_DISABLED": "true"}])
def test_off_there_is_no_header_no_thread_and_no_warning(receiver, rng, hasher, redis, settings):
    threads = []
    for more in (receiver.settings, settings):
        with worker(rng, hasher, redis, DELAY_MS=10, **more) as service:
            rng.await_requests(3)
            threads.append(len(os.listdir(f"/proc/{service.pid}/task")))
            headers = [request.headers for request in (*rng.requests[-2:], *hasher.requests[-1:])]
    assert threads[1] < threads[0]
    assert not [header for header in headers if "traceparent" in header]
    assert "WARNING" not in service.log


@pytest.mark.parametrize("more, expected", [({}, "attribute"), ({"OTEL_SERVICE_NAME": "dice"}, "dice")])
def test_the_names_in_the_settings_are_used(receiver, more, expected):
    settings = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=attribute", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}
    with alone("rng", DELAY_MS=0, **receiver.settings, **settings, **more) as rng:
        get(rng, GOOD)
        eventually(lambda: {span.service for span in receiver.spans} == {expected}, 10)
