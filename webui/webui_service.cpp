#include "webui/webui_service.h"

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

namespace dockercoins {
namespace {

constexpr const char* kJson = "application/json; charset=utf-8";

/// What the page shows.
constexpr double kHistorySeconds = 250;
/// The page takes readings that are closer for a clock that was set.
constexpr double kShortestStep = 0.5;

/// Unix seconds, with milliseconds.
double Now() {
  constexpr double kMillisecondsPerSecond = 1000.0;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<double>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()) /
         kMillisecondsPerSecond;
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
    : counters_(counters), files_(files, log), assets_(assets, log) {}

Routes WebuiService::MakeRoutes() {
  const auto redirect = [](const auto& /*request*/, HttpResponse& response, auto&&...) {
    AddCommonHeaders(response);
    response.status = kFound;
    response.headers.emplace_back("Location", "index.html");
  };
  const auto answer_counters = [this](const HttpRequest& request, HttpResponse& response, auto&&...) {
    AnswerCounters(request.arrived, response);
  };
  const auto answer_history = [this](const auto& /*request*/, HttpResponse& response, auto&&...) {
    AnswerHistory(response);
  };
  return {Route::To("/", kGetAndHead, redirect), Route::To("/json", kGetAndHead, answer_counters),
          Route::To("/history", kGetAndHead, answer_history), RouteToFiles("/assets/", assets_),
          RouteToFiles("/", files_)};
}

void WebuiService::AnswerCounters(std::chrono::steady_clock::time_point asked, HttpResponse& response) {
  AddHeadersOfReadings(response);
  try {
    const Counters counters = counters_.Read(asked);
    nlohmann::ordered_json json;
    json["coins"] = counters.coins;
    json["hashes"] = ToJson(counters.hashes);
    json["now"] = Remember(counters.hashes);
    response.SetContent(Dump(json), kJson);
  } catch (const std::runtime_error& error) {
    response.status = kServiceUnavailable;
    response.SetContent(Dump({{"error", error.what()}}), kJson);
  }
}

double WebuiService::Remember(const std::optional<std::string>& hashes) {
  const std::lock_guard lock(mutex_);
  const double now = Now();
  // A clock that was set back begins a new history.
  if (!history_.empty() && now < history_.back().first) history_.clear();
  if (history_.empty() ||
      (std::floor(now) > std::floor(history_.back().first) && now - history_.back().first >= kShortestStep)) {
    history_.emplace_back(now, hashes);
  }
  ForgetBefore(now - kHistorySeconds);
  return now;
}

void WebuiService::ForgetBefore(double time) {
  while (!history_.empty() && history_.front().first < time) history_.pop_front();
}

void WebuiService::AnswerHistory(HttpResponse& response) {
  AddHeadersOfReadings(response);
  nlohmann::ordered_json readings = nlohmann::ordered_json::array();
  {
    const std::lock_guard lock(mutex_);
    ForgetBefore(Now() - kHistorySeconds);
    for (const auto& [now, hashes] : history_) readings.push_back({now, ToJson(hashes)});
  }
  response.SetContent(Dump({{"readings", readings}}), kJson);
}

}  // namespace dockercoins
