#pragma once

#include <functional>
#include <string>

#include "common/http/http_server.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/service/stop_signal.h"
#include "common/settings.h"
#include "common/trace.h"

namespace dockercoins {

/// The name of this machine or container, as the services show it.
std::string Hostname();

/// Runs an HTTP service: binds its ports, gives up root, serves until `stop`.
///
/// `name` is the one in `NAME running on port N`. Adds its metrics to `metrics`, and the spans of its
/// requests to `tracer`, if there is one. Throws StartError.
void ServeHttp(const std::string& name, const ListenSettings& settings, const HttpServer::Options& options,
               const Routes& routes, Metrics& metrics, Log& log, StopSignal& stop, Tracer* tracer = nullptr);

}  // namespace dockercoins
