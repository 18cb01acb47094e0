#include "common/service/access_log.h"

#include <string_view>

#include "common/time_text.h"

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

void AccessLog::Write(const RequestRecord& record) const {
  metrics_.Count(record);
  log_.Line(FormatAccessLine(record, std::chrono::system_clock::now()));
  if (record.begun && log_.WritesDebug()) {
    log_.Debug("That request waited " + MillisecondsText(record.Waited()) +
               " ms in the queue and was served in " + MillisecondsText(record.Served()) + " ms");
  }
}

}  // namespace dockercoins
