#pragma once

#include <csignal>
#include <stop_token>

namespace dockercoins {

/// Turns TERM and INT into a stop that is over within a second.
///
/// Make it first, while there is one thread: the signals are blocked in every thread made later, which is
/// also what lets PID 1 of a container be stopped at all.
class StopSignal {
 public:
  StopSignal();

  /// Waits for TERM or INT, then requests a stop of token(). From then on the process has 0.8 s: whatever
  /// still blocks it by then (a name server, a full pipe) is left behind, and it ends with status 0.
  void Wait();

  /// Stop is requested on it as soon as Wait has its signal. Thread-safe.
  [[nodiscard]] std::stop_token token() const { return source_.get_token(); }

 private:
  sigset_t signals_{};
  std::stop_source source_;
};

}  // namespace dockercoins
