#pragma once

#include <stdexcept>

namespace dockercoins {

/// A variable of the environment or a flag has a value that is not allowed; ends the process with status 2.
struct SettingError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The service could not start (port taken, folder missing); ends the process with status 1.
struct StartError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace dockercoins
