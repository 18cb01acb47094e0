#pragma once

#include <chrono>
#include <deque>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "common/http/http_handler.h"
#include "common/log.h"
#include "webui/file_folder.h"
#include "webui/redis_counters.h"

namespace dockercoins {

/// Serves the dashboard's files, the chart library below `/assets/`, and the counters as `/json`.
/// Thread-safe.
class WebuiService {
 public:
  /// `counters` and `log` must outlive this. Throws StartError when one of the folders is missing.
  WebuiService(CountersReader& counters, const std::filesystem::path& files,
               const std::filesystem::path& assets, Log& log);

  /// The routes; this must outlive them.
  [[nodiscard]] Routes MakeRoutes();

 private:
  /// A reading as /json gave it: Unix seconds, and the counter.
  using Reading = std::pair<double, std::optional<std::string>>;

  void AnswerCounters(std::chrono::steady_clock::time_point asked, HttpResponse& response);
  void AnswerHistory(HttpResponse& response);
  /// Remembers the counter as it is now, and returns the time.
  double Remember(const std::optional<std::string>& hashes);
  void ForgetBefore(double time);

  CountersReader& counters_;
  const FileFolder files_;
  const FileFolder assets_;
  std::mutex mutex_;
  std::deque<Reading> history_;  ///< Under mutex_: the last 250 s, oldest first.
};

}  // namespace dockercoins
