#pragma once

#include <string>

#include "common/settings.h"

namespace dockercoins {

/// Throws StartError with the reason unless the service that runs with these settings answers on its admin
/// port and, if it has one, accepts a connection on its service port. Takes 4 s at most.
void CheckHealth(const ListenSettings& settings, bool has_service_port);

/// What the service that runs with these settings has measured, in Prometheus's text format; throws
/// StartError with the reason when its admin port does not give it. Takes 4 s at most.
std::string FetchMetrics(const ListenSettings& settings);

}  // namespace dockercoins
