#pragma once

#include <functional>
#include <initializer_list>

#include "common/settings.h"

namespace dockercoins {

/// A service's command line.
struct Program {
  const char* name;                         ///< The binary's.
  const char* summary;                      ///< One sentence for --help.
  bool has_service_port;                    ///< And with it PORT. Worker has none.
  std::initializer_list<Setting> settings;  ///< For --help, besides PORT and those that all have.
};

/// Answers --help, --version, --healthcheck and --metrics; otherwise prepares the process and runs `serve`.
///
/// Returns the exit status: 0; 1 for a failed start, health check or request for metrics; 2 for a bad setting
/// or flag. 1 and 2 come with one line on stderr. Call it from main, with one thread running.
int RunProgram(const Program& program, int argc, char** argv, const std::function<void()>& serve);

}  // namespace dockercoins
