#pragma once

#include <string>

#include "common/http/http_handler.h"
#include "common/http/simulated_work.h"

namespace dockercoins {

/// Answers `POST /` with the SHA-256 of the request's body, after a delay that simulates the work.
/// Thread-safe.
class HasherService {
 public:
  HasherService(std::string hostname, const SimulatedWork& work);

  /// The routes; this must outlive them.
  [[nodiscard]] Routes MakeRoutes() const;

 private:
  void Hash(HttpResponse& response, const BodyReader& body, const std::stop_token& cut) const;

  const std::string hostname_;
  const SimulatedWork work_;
};

}  // namespace dockercoins
