#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/http_handler.h"
#include "common/unique_fd.h"

namespace dockercoins {

/// Answers `GET /N` with N random bytes, after a delay that stands for the work of making them.
///
/// That it is slow for everybody is not its doing: its server lets one request at a time through.
/// Thread-safe.
class RngService final : public HttpHandler {
 public:
  /// What one read of /dev/urandom yields at most, 2^25 - 1 (drivers/char/random.c in Linux before 5.18).
  static constexpr uint64_t kMaxBytes = 33'554'431;

  /// Opens /dev/urandom; throws StartError when it cannot.
  RngService(std::string hostname, std::chrono::milliseconds delay);

  [[nodiscard]] std::string_view AllowedMethods(std::string_view path) const override;
  [[nodiscard]] std::vector<std::string> Routes() const override;
  [[nodiscard]] std::string_view Route(std::string_view path) const override;
  void Serve(const HttpRequest& request, HttpResponse& response, const BodyReader& body,
             std::stop_token cut) override;

 private:
  const std::string hostname_;
  const std::chrono::milliseconds delay_;
  const UniqueFd urandom_;
};

}  // namespace dockercoins
