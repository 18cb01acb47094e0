#pragma once

#include <cstdint>
#include <string>

#include "common/http/routes.h"
#include "common/service/simulated_work.h"
#include "common/unique_fd.h"

namespace dockercoins {

/// Responds to `GET /N` with N random bytes, after a delay that simulates the work.
///
/// The queue is not here: the server passes on one request at a time. Thread-safe.
class RngService {
 public:
  /// The most that one read of /dev/urandom yields, 2^25 - 1 (drivers/char/random.c in Linux before 5.18).
  static constexpr uint64_t kMaxBytes = 33'554'431;

  /// Opens /dev/urandom; throws StartError when it cannot.
  RngService(std::string hostname, const SimulatedWork& work);

  /// The routes; this must outlive them.
  [[nodiscard]] Routes MakeRoutes() const;

 private:
  void ServeBytes(const httplib::Request& request, httplib::Response& response, const Turn& turn) const;

  const std::string hostname_;
  const SimulatedWork work_;
  const UniqueFd urandom_;
};

}  // namespace dockercoins
