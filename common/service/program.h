#pragma once

#include <functional>

#include "common/settings.h"

namespace dockercoins {

/// A service's command line.
struct Program {
  const char* name;       ///< The binary's.
  const char* summary;    ///< One sentence for --help.
  const char* variables;  ///< One line each for --help.
  bool has_service_port;  ///< Worker has none.
};

/// Answers --help, --version, --healthcheck and --metrics; otherwise prepares the process and runs `serve`.
///
/// Returns the exit status: 0; 1 for a failed start, health check or request for metrics; 2 for a bad setting
/// or flag. 1 and 2 come with one line on stderr. Call it from main, with one thread running.
int RunProgram(const Program& program, int argc, char** argv, const std::function<void()>& serve);

}  // namespace dockercoins
