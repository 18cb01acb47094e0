#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/http_handler.h"
#include "webui/file_folder.h"
#include "webui/redis_counters.h"

namespace dockercoins {

/// Serves the dashboard's files, the chart library below `/assets/`, and the counters as `/json`.
/// Thread-safe.
class WebuiService final : public HttpHandler {
 public:
  /// `counters` must outlive this. Throws StartError when one of the folders is missing.
  WebuiService(CountersReader& counters, const std::filesystem::path& files,
               const std::filesystem::path& assets);

  [[nodiscard]] std::string_view AllowedMethods(std::string_view path) const override;
  [[nodiscard]] std::vector<std::string> Routes() const override;
  [[nodiscard]] std::string_view Route(std::string_view path) const override;
  void Serve(const HttpRequest& request, HttpResponse& response, const BodyReader& body,
             std::stop_token cut) override;

 private:
  void ServeCounters(std::chrono::steady_clock::time_point asked, HttpResponse& response);
  void ServeFile(const std::string& path, HttpResponse& response);
  [[nodiscard]] std::optional<OpenFile> OpenAt(std::string_view path) const;

  CountersReader& counters_;
  const FileFolder files_;
  const FileFolder assets_;
};

}  // namespace dockercoins
