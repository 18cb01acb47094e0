#pragma once

#include <unistd.h>

#include <chrono>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

namespace dockercoins {

/// Writes the service's log: one line per event, flushed at once. Thread-safe.
///
/// Nobody waits for a reader that is slow, whether or not the descriptor is non-blocking: what there is no
/// room for is kept, up to 256 KiB, and written by a thread as soon as there is. Lines beyond that are lost,
/// and one line says how many.
class Log {
 public:
  /// `name` is the service's, as in `INFO:worker:...`; `debug` lets Debug write. `fd` is not owned.
  explicit Log(std::string name, bool debug = false, int fd = STDOUT_FILENO);

  /// Writes `text` with control characters escaped, so that one event stays one line.
  void Line(std::string_view text);

  /// The service's name.
  [[nodiscard]] const std::string& name() const { return name_; }

  /// Whether Debug writes. If not, its text need not be made.
  [[nodiscard]] bool WritesDebug() const { return debug_; }

  /// Write `LEVEL:name:text`.
  void Debug(std::string_view text);
  void Info(std::string_view text);
  void Warning(std::string_view text);
  void Error(std::string_view text);

 private:
  void Level(const std::string& level, std::string_view text);
  size_t WriteSome(std::string_view text, std::chrono::milliseconds wait) const;
  void Keep(std::unique_lock<std::mutex> lock, std::string_view rest);
  void WriteKept(const std::stop_token& stop);

  const std::string name_;
  const bool debug_;
  const int fd_;
  std::mutex mutex_;
  std::string kept_;  ///< What there was no room for. If there is any, writer_ is at work.
  size_t lost_ = 0;   ///< Lines, since the last of kept_.
  std::jthread writer_;
};

/// `text` with control characters and bytes beyond ASCII as `\xNN`.
std::string Escaped(std::string_view text);

}  // namespace dockercoins
