#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <sstream>
#include <string>
#include <vector>

#include "common/log.h"
#include "common/unique_fd.h"

namespace dockercoins {

/// A log whose lines a test can read. Thread-safe.
class CapturedLog {
 public:
  explicit CapturedLog(const std::string& name = "test") : log_(name, false, file_.get()) {}

  [[nodiscard]] Log& log() { return log_; }

  /// The whole log.
  [[nodiscard]] std::string Text() const {
    std::string text(static_cast<size_t>(::lseek(file_.get(), 0, SEEK_CUR)), '\0');
    text.resize(static_cast<size_t>(::pread(file_.get(), text.data(), text.size(), 0)));
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
