#pragma once

#include <csignal>
#include <stop_token>

#include "common/log.h"

namespace dockercoins {

/// Turns TERM, INT and HUP into a stop that is over within a second. A HUP that is ignored at the start, as
/// under nohup, stays ignored.
///
/// Make it first, while there is one thread: the signals are blocked in every later thread. A container's PID
/// 1 would otherwise ignore them.
class StopSignal {
 public:
  StopSignal();

  /// Ignores TERM and INT from now on, and warns in `log`, if IGNORE_TERM asks for it.
  void IgnoreIfAsked(Log& log);

  /// Waits for one of the signals, then requests a stop of token(). From then on the process has 0.8 s. If
  /// something still blocks it (a name server, a full pipe), it ends with status 0 nevertheless.
  void Wait();

  /// A stop is requested on it when Wait gets its signal. Thread-safe.
  [[nodiscard]] std::stop_token token() const { return source_.get_token(); }

 private:
  sigset_t signals_{};
  std::stop_source source_;
};

}  // namespace dockercoins
