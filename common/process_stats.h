#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace dockercoins {

/// What the kernel knows of this process. What it does not tell (/proc may be missing) is empty.
struct ProcessStats {
  std::chrono::nanoseconds cpu_time{};     ///< User and system, of all threads.
  std::optional<uint64_t> resident_bytes;  ///< Memory that is in RAM.
  std::optional<uint64_t> open_fds;        ///< File descriptors.
};

/// Reads them. Thread-safe.
ProcessStats ReadProcessStats();

}  // namespace dockercoins
