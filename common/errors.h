#pragma once

#include <stdexcept>
#include <string>
#include <system_error>

namespace dockercoins {

/// An environment variable or a flag has a bad value; ends the process with status 2.
struct SettingError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The service could not start (port taken, folder missing); ends the process with status 1.
struct StartError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The meaning of `error`, an errno. Thread-safe, unlike strerror.
inline std::string SystemText(int error) { return std::generic_category().message(error); }

}  // namespace dockercoins
