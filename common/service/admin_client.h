#pragma once

#include <string>

#include "common/settings.h"

namespace dockercoins {

/// Throws StartError with the reason unless the service that runs with these settings responds on its admin
/// port and, if it has one, accepts a connection on its service port. Takes at most 4 s.
void CheckHealth(const ListenSettings& settings, bool has_service_port);

/// Throws StartError, or UnreachableError, with the reason unless GET `url` is answered with 2xx within a
/// second.
void CheckUrl(const std::string& url);

/// The metrics of the service that runs with these settings, in Prometheus's text format. Throws StartError
/// with the reason if its admin port does not give them. Takes at most 4 s.
std::string FetchMetrics(const ListenSettings& settings);

}  // namespace dockercoins
