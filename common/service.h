#pragma once

#include <functional>
#include <string>

#include "common/http_server.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/settings.h"
#include "common/stop_signal.h"

namespace dockercoins {

/// Runs an HTTP service from its ports to its stop: binds them, gives up root, serves until `stop`.
///
/// `name` is the one in `NAME running on port N`. What it measures goes into `metrics`. Throws StartError.
void ServeHttp(const std::string& name, const ListenSettings& settings, const HttpServer::Options& options,
               const Routes& routes, Metrics& metrics, Log& log, StopSignal& stop);

}  // namespace dockercoins
