#include "common/log.h"

#include <cerrno>
#include <utility>

namespace dockercoins {

std::string Escaped(std::string_view text) {
  constexpr std::string_view kHexDigits = "0123456789abcdef";
  std::string escaped;
  escaped.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) {
      escaped += "\\x";
      escaped += kHexDigits[byte >> 4];
      escaped += kHexDigits[byte & 0xf];
    } else {
      escaped += c;
    }
  }
  return escaped;
}

Log::Log(std::string name, bool debug, int fd) : name_(std::move(name)), debug_(debug), fd_(fd) {}

void Log::Line(std::string_view text) {
  std::string line = Escaped(text);
  line += '\n';
  const std::lock_guard lock(mutex_);
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t written = ::write(fd_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return;  // Nobody reads the log any more. The service continues.
    rest.remove_prefix(static_cast<size_t>(written));
  }
}

void Log::Level(const std::string& level, std::string_view text) {
  Line(level + ":" + name_ + ":" + std::string(text));
}

void Log::Debug(std::string_view text) {
  if (debug_) Level("DEBUG", text);
}
void Log::Info(std::string_view text) { Level("INFO", text); }
void Log::Warning(std::string_view text) { Level("WARNING", text); }
void Log::Error(std::string_view text) { Level("ERROR", text); }

}  // namespace dockercoins
