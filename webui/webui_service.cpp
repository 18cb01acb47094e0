#include "webui/webui_service.h"

#include <unistd.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

namespace dockercoins {
namespace {

constexpr int kFound = 302;
constexpr int kServiceUnavailable = 503;
constexpr const char* kJson = "application/json; charset=utf-8";
constexpr std::string_view kAssets = "/assets/";
constexpr const char* kAssetsRoute = "/assets/FILE";
constexpr const char* kFilesRoute = "/FILE";

/// Unix seconds, with milliseconds.
double Now() {
  constexpr double kMillisecondsPerSecond = 1000.0;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<double>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()) /
         kMillisecondsPerSecond;
}

std::string Dump(const nlohmann::ordered_json& json) {
  // What others wrote into Redis need not be UTF-8.
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace

WebuiService::WebuiService(CountersReader& counters, const std::filesystem::path& files,
                           const std::filesystem::path& assets)
    : counters_(counters), files_(files), assets_(assets) {}

std::optional<OpenFile> WebuiService::OpenAt(std::string_view path) const {
  if (path.starts_with(kAssets)) return assets_.Open(path.substr(kAssets.size()));
  return files_.Open(path.substr(1));
}

std::string_view WebuiService::AllowedMethods(std::string_view path) const {
  const bool known = path == "/" || path == "/json" || (path.starts_with('/') && OpenAt(path).has_value());
  return known ? "GET, HEAD" : "";
}

std::vector<std::string> WebuiService::Routes() const { return {"/", "/json", kAssetsRoute, kFilesRoute}; }

std::string_view WebuiService::Route(std::string_view path) const {
  if (path == "/" || path == "/json" || !path.starts_with('/')) return path;
  return path.starts_with(kAssets) ? kAssetsRoute : kFilesRoute;
}

void WebuiService::Serve(const HttpRequest& request, HttpResponse& response, const BodyReader& /*body*/,
                         std::stop_token /*cut*/) {
  // The page loads nothing from elsewhere; the chart's legend has styles in its elements.
  response.headers.emplace_back(
      "Content-Security-Policy",
      "default-src 'self'; style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
      "frame-ancestors 'self'");
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  response.headers.emplace_back("Referrer-Policy", "no-referrer");
  if (request.path == "/") {
    response.status = kFound;
    response.headers.emplace_back("Location", "index.html");
  } else if (request.path == "/json") {
    ServeCounters(request.arrived, response);
  } else {
    ServeFile(request.path, response);
  }
}

void WebuiService::ServeCounters(std::chrono::steady_clock::time_point asked, HttpResponse& response) {
  response.headers.emplace_back("Cache-Control", "no-store");
  try {
    const Counters counters = counters_.Read(asked);
    nlohmann::ordered_json json;
    json["coins"] = counters.coins;
    json["hashes"] = nullptr;
    if (counters.hashes) json["hashes"] = *counters.hashes;
    json["now"] = Now();
    response.SetContent(Dump(json), kJson);
  } catch (const std::runtime_error& error) {
    response.status = kServiceUnavailable;
    response.SetContent(Dump({{"error", error.what()}}), kJson);
  }
}

void WebuiService::ServeFile(const std::string& path, HttpResponse& response) {
  auto opened = OpenAt(path);
  if (!opened) {
    constexpr int kNotFound = 404;
    response.SetError(kNotFound, "the file has just gone");
    return;
  }
  // An edited file shows on reload.
  response.headers.emplace_back("Cache-Control", "no-cache");
  const auto file = std::make_shared<OpenFile>(std::move(*opened));
  response.SetSource(file->size, MediaType(path), [file](uint64_t offset, char* data, size_t size) -> size_t {
    // 0 when the file has become shorter meanwhile.
    const ssize_t count = ::pread(file->fd.get(), data, size, static_cast<off_t>(offset));
    return count < 0 ? 0 : static_cast<size_t>(count);
  });
}

}  // namespace dockercoins
