#include "common/http_metrics.h"

#include <algorithm>

namespace dockercoins {
namespace {

constexpr const char* kNoStatus = "none";

/// RFC 9110, section 9.3, and RFC 5789.
std::vector<std::string> Methods() {
  return {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
}

/// What the services and the library answer.
std::vector<std::string> Statuses() {
  return {"200", "302", "400", "404", "405", "408", "413", "414", "417", "431", "500", "503", kNoStatus};
}

}  // namespace

HttpMetrics::HttpMetrics(Metrics& metrics, const HttpHandler& handler)
    : handler_(handler),
      requests_(metrics.AddCounterTable(
          "http_requests_total",
          "Requests that are over, one for each line of the access log; status \"none\": without an answer.",
          {{.name = "route", .values = handler.Routes()},
           {.name = "method", .values = Methods()},
           {.name = "status", .values = Statuses()}})),
      waiting_(metrics.AddGauge("http_requests_waiting", "Requests that wait in line.")),
      queue_(metrics.AddHistogram("http_request_queue_seconds",
                                  "Time that requests waited in line before they were served.")) {
  std::vector<std::string> names = handler.Routes();
  names.emplace_back("other");
  for (const std::string& name : names) {
    routes_.push_back(
        {.name = name,
         .duration = metrics.AddHistogram(
             "http_request_duration_seconds",
             "Time that requests took from the end of the line to the end of their answer.",
             {{"route", name}}),
         .service = metrics.AddHistogram(
             "http_request_service_seconds",
             "Time from a request's turn until its answer was ready to be written.", {{"route", name}})});
  }
}

void HttpMetrics::Count(std::string_view method, std::string_view path, std::optional<int> status) const {
  requests_.Increment({handler_.Route(path), method, status ? std::to_string(*status) : kNoStatus});
}

void HttpMetrics::ObserveTimes(std::string_view path, std::chrono::nanoseconds waited,
                               std::chrono::nanoseconds served, std::chrono::nanoseconds total) const {
  queue_.Observe(waited);
  const auto known = std::ranges::find(routes_, handler_.Route(path), &Route::name);
  const Route& route = known == routes_.end() ? routes_.back() : *known;
  route.duration.Observe(total);
  route.service.Observe(served);
}

}  // namespace dockercoins
