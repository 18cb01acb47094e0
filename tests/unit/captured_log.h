#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <sstream>
#include <string>
#include <vector>

#include "common/log.h"
#include "common/unique_fd.h"

namespace dockercoins {

/// A log whose lines a test can read. Thread-safe.
class CapturedLog {
 public:
  explicit CapturedLog(const std::string& name = "test", bool debug = false)
      : log_(name, debug, file_.get()) {}

  [[nodiscard]] Log& log() { return log_; }

  /// The whole log.
  [[nodiscard]] std::string Text() const {
    std::string text;
    std::array<char, 4096> buffer{};
    ssize_t count = 0;
    while ((count = ::pread(file_.get(), buffer.data(), buffer.size(), static_cast<off_t>(text.size()))) >
           0) {
      text.append(buffer.data(), static_cast<size_t>(count));
    }
    return text;
  }

  /// Without line ends.
  [[nodiscard]] std::vector<std::string> Lines() const {
    std::vector<std::string> lines;
    std::istringstream text(Text());
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    return lines;
  }

 private:
  const UniqueFd file_{::memfd_create("log", MFD_CLOEXEC)};
  Log log_;
};

}  // namespace dockercoins
