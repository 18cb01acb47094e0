#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "common/http/http_server.h"
#include "common/http/routes.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/settings.h"

namespace dockercoins {

/// Health and metrics, on their own port, which never waits for the work.
///
/// `/healthz`: the process is alive. `/readyz`: it serves. `/metrics`: its metrics. Requests are neither in
/// the access log nor counted.
class AdminServer {
 public:
  /// Binds the port at once. Port 0: there is none. If the default port is taken, there is none either, with
  /// a warning. Throws StartError if a port that was set cannot be bound. `metrics` and `log` must outlive
  /// this.
  AdminServer(const ListenSettings& settings, const Metrics& metrics, Log& log);

  /// Starts to serve, as ready.
  void Start();

  /// From now on `/readyz` responds with 503 with `reason`. Thread-safe.
  void SetNotReady(const std::string& reason);

 private:
  Routes MakeRoutes(const Metrics& metrics, const std::string& program);
  void SetReadiness(httplib::Response& response);

  std::mutex mutex_;
  std::optional<std::string> not_ready_;  ///< Guarded by mutex_.
  const Routes routes_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace dockercoins
