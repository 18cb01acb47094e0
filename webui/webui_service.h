#pragma once

#include <chrono>
#include <filesystem>

#include "common/http/routes.h"
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
  void ServeCounters(httplib::Response& response, std::chrono::steady_clock::time_point asked);
  void ServeHistory(httplib::Response& response, std::chrono::steady_clock::time_point asked);

  CountersReader& counters_;
  History history_;
  const FileFolder files_;
  const FileFolder assets_;
};

}  // namespace dockercoins
