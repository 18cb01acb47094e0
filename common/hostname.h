#pragma once

#include <unistd.h>

#include <array>
#include <string>

namespace dockercoins {

/// This machine's (or container's) name, as the services show it.
inline std::string Hostname() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

}  // namespace dockercoins
