#pragma once

#include <functional>
#include <string>

#include "common/http/http_server.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/service/stop_signal.h"
#include "common/settings.h"

namespace dockercoins {

/// This machine's (or container's) name, as the services show it.
std::string Hostname();

/// Runs an HTTP service from its ports to its stop: binds them, gives up root, serves until `stop`.
///
/// `name` is the one in `NAME running on port N`. What it measures goes into `metrics`. Throws StartError.
void ServeHttp(const std::string& name, const ListenSettings& settings, const HttpServer::Options& options,
               const Routes& routes, Metrics& metrics, Log& log, StopSignal& stop);

}  // namespace dockercoins
