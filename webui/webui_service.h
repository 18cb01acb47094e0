#pragma once

#include <chrono>
#include <filesystem>

#include "common/http/http_handler.h"
#include "webui/file_folder.h"
#include "webui/redis_counters.h"

namespace dockercoins {

/// Serves the dashboard's files, the chart library below `/assets/`, and the counters as `/json`.
/// Thread-safe.
class WebuiService {
 public:
  /// `counters` must outlive this. Throws StartError when one of the folders is missing.
  WebuiService(CountersReader& counters, const std::filesystem::path& files,
               const std::filesystem::path& assets);

  /// The routes; this must outlive them.
  [[nodiscard]] Routes MakeRoutes() const;

 private:
  void AnswerCounters(std::chrono::steady_clock::time_point asked, HttpResponse& response) const;

  CountersReader& counters_;
  const FileFolder files_;
  const FileFolder assets_;
};

}  // namespace dockercoins
