#pragma once

#include <string>

#include "common/http/routes.h"
#include "common/service/simulated_work.h"

namespace dockercoins {

/// Responds to `POST /` with the SHA-256 of the request's body, after a delay that simulates the work.
/// Thread-safe.
class HasherService {
 public:
  HasherService(std::string hostname, const SimulatedWork& work);

  /// The routes; this must outlive them.
  [[nodiscard]] Routes MakeRoutes() const;

 private:
  const std::string hostname_;
  const SimulatedWork work_;
};

}  // namespace dockercoins
