#include "webui/webui_service.h"

#include <unistd.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

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

void AddCommonHeaders(HttpResponse& response) {
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
}

void AddHeadersOfReadings(HttpResponse& response) {
  AddCommonHeaders(response);
  response.headers.emplace_back("Cache-Control", "no-store");
}

void AnswerFile(const std::shared_ptr<OpenFile>& file, std::string_view path, HttpResponse& response) {
  AddCommonHeaders(response);
  // An edited file shows on reload.
  response.headers.emplace_back("Cache-Control", "no-cache");
  response.SetSource(file->size, MediaType(path), [file](uint64_t offset, char* data, size_t size) -> size_t {
    // 0 if the file has become shorter.
    const ssize_t count = ::pread(file->fd.get(), data, size, static_cast<off_t>(offset));
    return count < 0 ? 0 : static_cast<size_t>(count);
  });
}

/// The route to all files of `folder`, below `prefix`.
Route RouteToFiles(const std::string& prefix, const FileFolder& folder) {
  const auto prepare = [&folder, prefix](std::string_view path) -> Action {
    auto opened = folder.Open(path.substr(prefix.size()));
    if (!opened) return {};
    return [file = std::make_shared<OpenFile>(std::move(*opened))](const HttpRequest& request,
                                                                   HttpResponse& response, auto&&...) {
      AnswerFile(file, request.path, response);
    };
  };
  return {.name = prefix + "FILE",
          .methods = kGetAndHead,
          .matches = [prefix](std::string_view path) { return path.starts_with(prefix); },
          .prepare = prepare};
}

}  // namespace

WebuiService::WebuiService(CountersReader& counters, const std::filesystem::path& files,
                           const std::filesystem::path& assets, Log& log)
    : counters_(counters), history_(counters), files_(files, log), assets_(assets, log) {}

Routes WebuiService::MakeRoutes() {
  const auto redirect = [](const auto& /*request*/, HttpResponse& response, auto&&...) {
    AddCommonHeaders(response);
    response.status = kFound;
    response.headers.emplace_back("Location", "index.html");
  };
  const auto answer_counters = [this](const HttpRequest& request, HttpResponse& response, auto&&...) {
    AnswerCounters(request.arrived, response);
  };
  const auto answer_history = [this](const HttpRequest& request, HttpResponse& response, auto&&...) {
    AnswerHistory(request.arrived, response);
  };
  return {Route::To("/", kGetAndHead, redirect), Route::To("/json", kGetAndHead, answer_counters),
          Route::To("/history", kGetAndHead, answer_history), RouteToFiles("/assets/", assets_),
          RouteToFiles("/", files_)};
}

void WebuiService::AnswerCounters(std::chrono::steady_clock::time_point asked, HttpResponse& response) {
  AddHeadersOfReadings(response);
  history_.Want();
  try {
    const Counters counters = counters_.Read(asked);
    nlohmann::ordered_json json;
    json["coins"] = counters.coins;
    json["hashes"] = ToJson(counters.hashes);
    json["now"] = UnixSeconds(std::chrono::system_clock::now());
    response.SetContent(Dump(json), kJson);
  } catch (const std::runtime_error& error) {
    response.status = kServiceUnavailable;
    response.SetContent(Dump({{"error", error.what()}}), kJson);
  }
}

void WebuiService::AnswerHistory(std::chrono::steady_clock::time_point asked, HttpResponse& response) {
  AddHeadersOfReadings(response);
  nlohmann::ordered_json readings = nlohmann::ordered_json::array();
  const std::vector<History::Reading> read = history_.Read(asked);
  const auto now = std::chrono::system_clock::now();
  const auto steady_now = History::Clock::now();
  for (const auto& [time, hashes] : read) {
    const auto age = std::chrono::duration_cast<std::chrono::system_clock::duration>(steady_now - time);
    readings.push_back({UnixSeconds(now - age), ToJson(hashes)});
  }
  response.SetContent(Dump({{"readings", readings}}), kJson);
}

}  // namespace dockercoins
