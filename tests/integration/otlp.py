"""A strict receiver of traces, written from OpenTelemetry's texts, not from our exporter.

It takes OTLP over HTTP in JSON (opentelemetry-proto: trace.proto and docs/specification.md), and refuses with 400 what
the texts do not allow, also where they tell receivers to be lenient.
"""

import collections
import json
import re
import threading

from fakes import FakeHttp, http_answer
from harness import eventually

FIELDS = {"request": "resourceSpans", "resource spans": "resource scopeSpans schemaUrl", "status": "code message",
          "resource": "attributes droppedAttributesCount", "scope spans": "scope spans schemaUrl",
          "scope": "name version attributes", "attribute": "key value",
          "span": "traceId spanId traceState parentSpanId flags name kind startTimeUnixNano endTimeUnixNano attributes "
                  "droppedAttributesCount events droppedEventsCount links droppedLinksCount status"}
INTERNAL, SERVER, CLIENT = 1, 2, 3
UNSET, ERROR = 0, 2


def fields(kind, message):
    assert isinstance(message, dict), f"a {kind} is an object"
    assert not message.keys() - FIELDS[kind].split(), f"fields of a {kind}: {list(message)}"
    return message


def attributes(message):
    found = {}
    for attribute in message.get("attributes", []):
        key, value = fields("attribute", attribute)["key"], attribute["value"]
        assert isinstance(key, str) and key and key not in found, f"the key {key}"
        (kind, found[key]), = value.items()
        assert kind in ("stringValue", "intValue") and isinstance(found[key], str), f"the value of {key}: {value}"
        if kind == "intValue":
            found[key] = int(found[key])
    return found


class Span:
    """One span. Times are in nanoseconds."""

    def __init__(self, resource, message):
        fields("span", message)
        self.resource = resource
        self.service = resource["service.name"]
        self.name, self.kind = message["name"], message["kind"]
        assert isinstance(self.name, str) and self.name, "a name"
        assert type(self.kind) is int and self.kind in (INTERNAL, SERVER, CLIENT), f"the kind {self.kind}"
        self.trace, self.id, self.parent = message["traceId"], message["spanId"], message.get("parentSpanId")
        for text, digits in ((self.trace, 32), (self.id, 16), (self.parent or self.id, 16)):
            assert re.fullmatch(f"[0-9a-f]{{{digits}}}", text) and int(text, 16), f"the id {text}"
        begun, ended = message["startTimeUnixNano"], message["endTimeUnixNano"]
        assert isinstance(begun, str) and isinstance(ended, str), "64-bit integers are strings"
        self.begun, self.ended = int(begun), int(ended)
        assert 1.6e18 < self.begun <= self.ended < 2.6e18, "a span begins in our century, and then ends"
        self.attributes = attributes(message)
        status = fields("status", message.get("status", {}))
        self.status, self.message = status.get("code", UNSET), status.get("message", "")
        assert type(self.status) is int, "enums are numbers"
        assert (self.status == ERROR) == ("error.type" in self.attributes), "semantic conventions: errors"

    @property
    def ms(self):
        return (self.ended - self.begun) / 1e6

    def __repr__(self):
        return f"{self.service} {self.name} {self.ms:.1f} ms {self.trace[-4:]}/{self.id} below {self.parent}"


class Receiver(FakeHttp):
    """A FakeHttp that takes spans. Those of all requests are in .spans; what it had to refuse is in .problems."""

    def __init__(self):
        super().__init__(self.take)
        self.spans, self.problems = [], []
        self._lock = threading.Lock()

    @property
    def settings(self):
        """The variables for the services."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url}

    def take(self, request):
        try:
            assert request.line == "POST /v1/traces HTTP/1.1", request.line
            assert request.headers["Content-Type"] == "application/json", request.headers
            found = list(self._spans(json.loads(request.body)))
            assert found, "a request without spans"
            with self._lock:
                known = {span.id for span in self.spans}
                assert not known & {span.id for span in found}, "a span came twice"
                self.spans += found
            return http_answer(b'{"partialSuccess":{}}')
        except (AssertionError, KeyError, TypeError, ValueError) as problem:
            self.problems.append(f"{problem!r} in {request.body!r}")
            return http_answer(b'{"message":"refused"}', "400 Bad Request")

    def _spans(self, message):
        for of_resource in fields("request", message)["resourceSpans"]:
            resource = attributes(fields("resource", fields("resource spans", of_resource)["resource"]))
            for of_scope in of_resource["scopeSpans"]:
                assert fields("scope", fields("scope spans", of_scope)["scope"])["name"]
                yield from (Span(resource, span) for span in of_scope["spans"])

    def loops(self, count, timeout=20):
        """The spans of that many loops that are complete, in dicts by (service, name); waits for them."""
        def look():
            assert self.problems == []
            traces = collections.defaultdict(dict)
            for span in list(self.spans):
                traces[span.trace][span.service, span.name] = span
            parts = {("worker", "loop"), ("rng", "GET /N"), ("hasher", "POST /")}
            complete = [loop for loop in traces.values() if parts <= loop.keys()]
            return len(complete) >= count and complete

        return eventually(look, timeout, what=f"the traces of {count} loops")

    def check_order(self):
        """Every parent exists, in the same trace, and encloses its children, unless it was cut off."""
        spans = {(span.trace, span.id): span for span in self.spans}
        for span in spans.values():
            if span.parent:
                parent = spans[span.trace, span.parent]
                encloses = parent.begun <= span.begun <= span.ended <= parent.ended
                assert parent.status == ERROR or encloses, f"{span} in {parent}"
