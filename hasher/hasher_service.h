#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/http_handler.h"

namespace dockercoins {

/// Answers `POST /` with the SHA-256 of the request's body, after a delay that stands for the work.
/// Thread-safe.
class HasherService final : public HttpHandler {
 public:
  HasherService(std::string hostname, std::chrono::milliseconds delay);

  [[nodiscard]] std::string_view AllowedMethods(std::string_view path) const override;
  [[nodiscard]] std::vector<std::string> Routes() const override;
  [[nodiscard]] std::string_view Route(std::string_view path) const override;
  [[nodiscard]] uint64_t MaxBodyBytes() const override;
  void Serve(const HttpRequest& request, HttpResponse& response, const BodyReader& body,
             std::stop_token cut) override;

 private:
  void Hash(HttpResponse& response, const BodyReader& body, std::stop_token cut) const;

  const std::string hostname_;
  const std::chrono::milliseconds delay_;
};

}  // namespace dockercoins
