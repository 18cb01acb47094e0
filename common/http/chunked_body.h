#pragma once

#include <sys/types.h>

#include <functional>

#include "common/http/http_handler.h"

namespace dockercoins {

/// Reads as read(2) does.
using ReadBytes = std::function<ssize_t(char* data, size_t size)>;

/// Reads a body in chunks (RFC 9112, section 7.1) and hands it to `take`, piece by piece, without waiting for
/// all of a chunk. Returns false when `take` does, when it ends early, and when it could be read in two ways:
/// httplib would take `-5`, `0x5` and `5 5` for a chunk's size, and needs no empty line at the end.
[[nodiscard]] bool ReadChunks(const ReadBytes& read, const TakeBytes& take);

}  // namespace dockercoins
