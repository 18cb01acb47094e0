#include "common/http/http_metrics.h"

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

std::vector<std::string> Names(const Routes& routes) {
  std::vector<std::string> names;
  for (const Route& route : routes) names.push_back(route.name);
  return names;
}

/// The path of a request that has not been parsed, as it came.
std::string_view RawPath(std::string_view request_line) {
  const size_t space = request_line.find(' ');
  if (space == std::string_view::npos) return "";
  request_line.remove_prefix(space + 1);
  return request_line.substr(0, request_line.find_first_of(" ?"));
}

}  // namespace

HttpMetrics::HttpMetrics(Metrics& metrics, const Routes& routes)
    : routes_(routes),
      requests_(metrics.AddCounterTable(
          "http_requests_total",
          "Requests that are over, one for each line of the access log; status \"none\": without an answer.",
          {{.name = "route", .values = Names(routes)},
           {.name = "method", .values = Methods()},
           {.name = "status", .values = Statuses()}})),
      waiting_(metrics.AddGauge("http_requests_waiting", "Requests that wait in line.")),
      queue_(metrics.AddHistogram("http_request_queue_seconds",
                                  "Time that requests waited in line before they were served.")) {
  std::vector<std::string> names = Names(routes);
  names.emplace_back("other");
  for (const std::string& name : names) {
    times_.push_back(
        {.route = name,
         .duration = metrics.AddHistogram(
             "http_request_duration_seconds",
             "Time that requests took from the end of the line to the end of their answer.",
             {{"route", name}}),
         .service = metrics.AddHistogram(
             "http_request_service_seconds",
             "Time from a request's turn until its answer was ready to be written.", {{"route", name}})});
  }
}

void HttpMetrics::Count(const RequestRecord& record) const {
  const std::string_view line = record.request_line;
  const Route* route = FindRoute(routes_, record.path.empty() ? RawPath(line) : record.path);
  const std::string_view name = route == nullptr ? "" : std::string_view(route->name);
  // The times first: whoever sees a request counted finds them, too.
  if (record.begun) {
    queue_.Observe(record.Waited());
    const auto known = std::ranges::find(times_, name, &Times::route);
    const Times& times = known == times_.end() ? times_.back() : *known;
    times.duration.Observe(std::chrono::steady_clock::now() - record.queued);
    times.service.Observe(record.Served());
  }
  requests_.Increment(
      {name, line.substr(0, line.find(' ')), record.status ? std::to_string(*record.status) : kNoStatus});
}

}  // namespace dockercoins
