#include "common/service/access_log.h"

#include <string_view>

#include "common/time_text.h"
#include "common/url.h"

namespace dockercoins {
namespace {

std::string_view OrDash(std::string_view text) { return text.empty() ? "-" : text; }

}  // namespace

HttpMetrics::HttpMetrics(Metrics& metrics)
    : requests_(metrics.AddCounter("http_requests_total",
                                   "Requests that have ended, one for each line of the access log; status "
                                   "\"none\": without a response.",
                                   {})),
      waiting_(metrics.AddGauge("http_requests_waiting", "Requests that wait in the queue.")),
      queue_(metrics.AddHistogram("http_request_queue_seconds",
                                  "Time that requests waited in the queue before they were served.")),
      duration_(metrics.AddHistogram(
          "http_request_duration_seconds",
          "Time that requests took from entering the queue to the end of their response.", {})),
      service_(metrics.AddHistogram("http_request_service_seconds",
                                    "Time from a request's turn until its response was ready to be written.",
                                    {})) {}

void HttpMetrics::Count(const RequestRecord& record) const {
  // Clients may invent any number of methods and paths.
  const std::string route = record.route == nullptr ? "other" : record.route->name;
  const std::string_view first =
      std::string_view(record.request_line).substr(0, record.request_line.find(' '));
  const std::string method(IsMethod(first) ? first : "other");
  // The times first: a request that is counted has its times already.
  if (record.begun) {
    queue_.Observe(record.Waited());
    duration_.Observe(std::chrono::steady_clock::now() - record.queued, {{"route", route}});
    service_.Observe(record.Served(), {{"route", route}});
  }
  const std::string status = record.status ? std::to_string(*record.status) : "none";
  requests_.Increment({{"route", route}, {"method", method}, {"status", status}});
}

std::string FormatAccessLine(const RequestRecord& record, std::chrono::system_clock::time_point time) {
  std::string line(OrDash(record.client));
  line += " - - [" + UtcText(time, "%d/%b/%Y:%H:%M:%S +0000") + "] \"";
  for (const char c : OrDash(record.request_line)) {
    if (c == '"' || c == '\\') line += '\\';
    line += c;
  }
  line += "\" ";
  line += record.status ? std::to_string(*record.status) : "-";
  line += ' ';
  line += record.body_bytes ? std::to_string(*record.body_bytes) : "-";
  return line;
}

void TraceRequest(const RequestRecord& record, Tracer& tracer) {
  if (!tracer.IsOn() || !record.caller || record.route == nullptr) return;
  constexpr int kServerError = 500;
  const std::string_view line = record.request_line;
  const std::string method(line.substr(0, line.find(' ')));
  Span server = tracer.Begin(method + " " + record.route->name, Span::Kind::kServer, record.caller);
  if (!server.context.sampled) return;
  const auto ended = record.begun ? record.ready : server.begun;
  const auto add = [&](Span span, Span::Clock::time_point from, Span::Clock::time_point to) {
    span.begun = from;
    span.ended = to;
    span.epoch = server.epoch;
    tracer.Add(std::move(span));
  };
  add(tracer.Begin("queue", Span::Kind::kInternal, server.context), record.queued,
      record.begun.value_or(ended));
  if (record.begun)
    add(tracer.Begin("work", Span::Kind::kInternal, server.context), *record.begun, record.ready);
  const std::string_view target = line.substr(method.size() + 1, line.rfind(' ') - method.size() - 1);
  server.attributes = {{"http.request.method", method},
                       {"http.route", record.route->name},
                       {"url.path", PathOfTarget(target).value_or("")},
                       {"url.scheme", "http"},
                       {"client.address", record.client}};
  if (record.status) {
    server.attributes.push_back({"http.response.status_code", std::to_string(*record.status), true});
  }
  if (record.status.value_or(kServerError) >= kServerError) {
    server.error = record.status ? "" : "the client has left";
    server.attributes.push_back({"error.type", record.status ? std::to_string(*record.status) : "_OTHER"});
  }
  add(std::move(server), record.queued, ended);
}

void AccessLog::Write(const RequestRecord& record) const {
  metrics_.Count(record);
  log_.Line(FormatAccessLine(record, std::chrono::system_clock::now()));
  if (record.begun && log_.WritesDebug()) {
    log_.Debug("That request waited " + MillisecondsText(record.Waited()) +
               " ms in the queue and was served in " + MillisecondsText(record.Served()) + " ms");
  }
}

}  // namespace dockercoins
