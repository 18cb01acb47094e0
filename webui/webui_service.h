#pragma once

#include <chrono>
#include <filesystem>

#include "common/http/http_handler.h"
#include "common/log.h"
#include "webui/file_folder.h"
#include "webui/history.h"
#include "webui/redis_counters.h"

namespace dockercoins {

/// Serves the dashboard's files, the chart library below `/assets/`, and the counters as `/json` and
/// `/history`. Thread-safe.
class WebuiService {
 public:
  /// `counters` and `log` must outlive this. Throws StartError when one of the folders is missing.
  WebuiService(CountersReader& counters, const std::filesystem::path& files,
               const std::filesystem::path& assets, Log& log);

  /// The routes; this must outlive them.
  [[nodiscard]] Routes MakeRoutes();

 private:
  void AnswerCounters(std::chrono::steady_clock::time_point asked, HttpResponse& response);
  void AnswerHistory(std::chrono::steady_clock::time_point asked, HttpResponse& response);

  CountersReader& counters_;
  History history_;
  const FileFolder files_;
  const FileFolder assets_;
};

}  // namespace dockercoins
