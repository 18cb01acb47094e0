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

/// Redis refused a command, for which it gives the reason: `host:port: WRONGTYPE ...`. The command was not
/// executed.
struct RefusedError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Redis refused a command, or all, because it has become a replica. Its name leads to another one, or will.
struct ReplicaError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The meaning of `error`, an errno. Thread-safe, unlike strerror.
inline std::string SystemText(int error) { return std::generic_category().message(error); }

}  // namespace dockercoins
