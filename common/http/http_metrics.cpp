#include "common/http/http_metrics.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace dockercoins {
namespace {

/// RFC 9110, section 9.3, and RFC 5789: clients may invent any number of others.
constexpr std::array<std::string_view, 9> kMethods = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                                      "CONNECT", "OPTIONS", "TRACE", "PATCH"};
constexpr const char* kOther = "other";

}  // namespace

HttpMetrics::HttpMetrics(Metrics& metrics)
    : requests_(metrics.AddCounter("http_requests_total",
                                   "Requests that have ended, one for each line of the access log; "
                                   "status \"none\": without a response.",
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
  const std::string_view line = record.request_line;
  const std::string name = record.route == nullptr ? kOther : record.route->name;
  // The times first: a request that is counted has its times already.
  if (record.begun) {
    queue_.Observe(record.Waited());
    duration_.Observe(std::chrono::steady_clock::now() - record.queued, {{"route", name}});
    service_.Observe(record.Served(), {{"route", name}});
  }
  const std::string_view method = line.substr(0, line.find(' '));
  const bool known = std::ranges::find(kMethods, method) != kMethods.end();
  requests_.Increment({{"route", name},
                       {"method", known ? std::string(method) : kOther},
                       {"status", record.status ? std::to_string(*record.status) : "none"}});
}

}  // namespace dockercoins
