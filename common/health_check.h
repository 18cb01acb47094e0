#pragma once

#include "common/settings.h"

namespace dockercoins {

/// Throws StartError with the reason unless the service that runs with these settings answers on its admin
/// port and, if it has one, accepts a connection on its service port. Takes 4 s at most.
void CheckHealth(const ListenSettings& settings, bool has_service_port);

}  // namespace dockercoins
