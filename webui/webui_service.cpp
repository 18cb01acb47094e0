#include "webui/webui_service.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "httplib.h"

namespace dockercoins {
namespace {

constexpr const char* kJson = "application/json; charset=utf-8";

/// Unix seconds, with milliseconds.
double UnixSeconds(std::chrono::system_clock::time_point time) {
  constexpr double kMillisecondsPerSecond = 1000.0;
  const auto since_1970 = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch());
  return static_cast<double>(since_1970.count()) / kMillisecondsPerSecond;
}

std::string Dump(const nlohmann::ordered_json& json) {
  // Data in Redis may be something other than UTF-8.
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

nlohmann::ordered_json ToJson(const std::optional<std::string>& hashes) {
  return hashes ? nlohmann::ordered_json(*hashes) : nullptr;
}

void AddCommonHeaders(httplib::Response& response) {
  response.set_header("X-Content-Type-Options", "nosniff");
}

void AddHeadersOfReadings(httplib::Response& response) {
  AddCommonHeaders(response);
  response.set_header("Cache-Control", "no-store");
}

/// Serves all files of `folder`, below `prefix`.
void AddFiles(Routes& routes, const std::string& prefix, const FileFolder& folder) {
  const auto serve = [prefix, &folder](const httplib::Request& request, httplib::Response& response) {
    auto opened = folder.Open(request.path.substr(prefix.size()));
    if (!opened) return SetError(response, httplib::NotFound_404, kNoSuchPath);
    if (!IsGet(request, response)) return;
    AddCommonHeaders(response);
    // An edited file shows on reload.
    response.set_header("Cache-Control", "no-cache");
    const std::string type(MediaType(request.path));
    if (opened->size == 0) return response.set_content("", type);
    response.set_content_provider(
        opened->size, type,
        [file = std::make_shared<OpenFile>(std::move(*opened))](size_t offset, size_t length,
                                                                httplib::DataSink& sink) {
          std::array<char, size_t{16} * 1024> buffer;  // NOLINT: 16 KiB need no zeroes
          // 0 if the file has become shorter.
          const ssize_t count = ::pread(file->fd.get(), buffer.data(), std::min(length, buffer.size()),
                                        static_cast<off_t>(offset));
          return count > 0 && sink.write(buffer.data(), static_cast<size_t>(count));
        });
  };
  routes.Get(prefix + ":FILE", serve).any_method = true;
}

}  // namespace

WebuiService::WebuiService(CountersReader& counters, const std::filesystem::path& files,
                           const std::filesystem::path& assets, Log& log)
    : counters_(counters), history_(counters), files_(files, log), assets_(assets, log) {}

Routes WebuiService::MakeRoutes() {
  Routes routes;
  routes.Get("/", [](const httplib::Request& /*request*/, httplib::Response& response) {
    AddCommonHeaders(response);
    response.set_redirect("index.html", httplib::Found_302);
  });
  routes.Get("/json", [this](const httplib::Request& /*request*/, httplib::Response& response,
                             const Turn& turn) { ServeCounters(response, turn.arrived); });
  routes.Get("/history", [this](const httplib::Request& /*request*/, httplib::Response& response,
                                const Turn& turn) { ServeHistory(response, turn.arrived); });
  AddFiles(routes, "/assets/", assets_);
  AddFiles(routes, "/", files_);
  return routes;
}

void WebuiService::ServeCounters(httplib::Response& response, std::chrono::steady_clock::time_point asked) {
  AddHeadersOfReadings(response);
  history_.Want();
  try {
    const Counters counters = counters_.Read(asked);
    nlohmann::ordered_json json;
    json["coins"] = counters.coins;
    json["hashes"] = ToJson(counters.hashes);
    json["now"] = UnixSeconds(std::chrono::system_clock::now());
    response.set_content(Dump(json), kJson);
  } catch (const std::runtime_error& error) {
    response.status = httplib::ServiceUnavailable_503;
    response.set_content(Dump({{"error", error.what()}}), kJson);
  }
}

void WebuiService::ServeHistory(httplib::Response& response, std::chrono::steady_clock::time_point asked) {
  AddHeadersOfReadings(response);
  nlohmann::ordered_json readings = nlohmann::ordered_json::array();
  const std::vector<History::Reading> read = history_.Read(asked);
  const auto now = std::chrono::system_clock::now();
  const auto steady_now = History::Clock::now();
  for (const auto& [time, hashes] : read) {
    const auto age = std::chrono::duration_cast<std::chrono::system_clock::duration>(steady_now - time);
    readings.push_back({UnixSeconds(now - age), ToJson(hashes)});
  }
  response.set_content(Dump({{"readings", readings}}), kJson);
}

}  // namespace dockercoins
