#pragma once

#include <unistd.h>

#include <mutex>
#include <string>
#include <string_view>

namespace dockercoins {

/// Writes the service's log: one line per event, flushed at once. Thread-safe.
///
/// Blocks while a full pipe is not read. At a stop, StopSignal's deadline ends the process anyway.
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

  const std::string name_;
  const bool debug_;
  const int fd_;
  std::mutex mutex_;
};

/// `text` with control characters and bytes beyond ASCII as `\xNN`.
std::string Escaped(std::string_view text);

}  // namespace dockercoins
