#pragma once

#include "common/log.h"

namespace dockercoins {

/// Becomes user and group 65532 (the "nonroot" of distroless images) when started as root, so that port 80
/// can be bound first; otherwise does nothing. Where the system forbids it, `log` says why and the process
/// goes on. All threads change, and it has to be called by one of them only.
void DropPrivileges(Log& log);

}  // namespace dockercoins
