#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "common/http/http_handler.h"
#include "common/http/http_server.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/settings.h"

namespace dockercoins {

/// Health and metrics, on a port of their own that never waits for the work.
///
/// `/healthz` says that the process lives, `/readyz` whether it serves, `/metrics` what it has measured. Its
/// requests are neither in the access log nor counted.
class AdminServer {
 public:
  /// Binds the port at once; there is none for port 0, and none, with a warning, when the default port is
  /// taken. Throws StartError when a port that was asked for cannot be had. `metrics` and `log` must
  /// outlive this.
  AdminServer(const ListenSettings& settings, const Metrics& metrics, Log& log);

  /// Begins to answer, as ready.
  void Start();

  /// From now on `/readyz` answers 503 with `reason`. Thread-safe.
  void SetNotReady(const std::string& reason);

 private:
  void AnswerReadiness(HttpResponse& response);

  std::mutex mutex_;
  std::optional<std::string> not_ready_;  ///< Under mutex_.
  const Routes routes_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace dockercoins
