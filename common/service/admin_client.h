#pragma once

#include <string>

#include "common/settings.h"

namespace dockercoins {

/// Throws StartError with the reason unless the service `program` that runs with these settings responds on
/// its admin port and, if it has one, accepts a connection on its service port. Takes at most 4 s.
void CheckHealth(const std::string& program, const ListenSettings& settings, bool has_service_port);

/// Throws std::runtime_error with the reason unless the response to GET `url` is a 2xx within a second.
void CheckUrl(const std::string& url);

/// The metrics of the service `program` that runs with these settings, in Prometheus's text format. Throws
/// StartError with the reason if its admin port does not give them, or is another program's. Takes at most
/// 2 s.
std::string FetchMetrics(const std::string& program, const ListenSettings& settings);

}  // namespace dockercoins
