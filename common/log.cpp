#include "common/log.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <system_error>
#include <utility>

namespace dockercoins {
namespace {

/// The contract.
constexpr size_t kMostKept = 256UL * 1024;
/// So long a stop may go unnoticed while nobody reads the log.
constexpr auto kStopCheck = std::chrono::milliseconds(50);

}  // namespace

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
  std::unique_lock lock(mutex_);
  std::string_view rest = line;
  while (kept_.empty() && !rest.empty()) {
    const size_t written = WriteSome(rest, {});
    if (written == 0) break;
    rest.remove_prefix(written);
  }
  if (!rest.empty()) Keep(std::move(lock), rest);
}

/// Writes the first bytes of `text` once there is room for them. Returns how many: none if there is no room.
size_t Log::WriteSome(std::string_view text, std::chrono::milliseconds wait) const {
  pollfd room{.fd = fd_, .events = POLLOUT, .revents = 0};
  if (::poll(&room, 1, static_cast<int>(wait.count())) <= 0) return 0;
  // A pipe with room takes this many at once.
  const ssize_t written = ::write(fd_, text.data(), std::min<size_t>(text.size(), PIPE_BUF));
  if (written >= 0) return static_cast<size_t>(written);
  if (errno == EAGAIN || errno == EINTR) return 0;
  return text.size();  // Nobody reads the log any more. The service continues.
}

void Log::Keep(std::unique_lock<std::mutex> lock, std::string_view rest) {
  const bool has_writer = !kept_.empty();
  if (lost_ > 0 || (has_writer && kept_.size() + rest.size() > kMostKept)) {
    ++lost_;
    return;
  }
  kept_ += rest;
  if (has_writer) return;
  try {
    writer_ = std::jthread([this](const std::stop_token& stop) { WriteKept(stop); });
  } catch (const std::system_error&) {
    // The system has no more threads. Better a wait than a torn line.
    lock.unlock();
    WriteKept({});
  }
}

void Log::WriteKept(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!kept_.empty()) {
    const std::string next = kept_.substr(0, PIPE_BUF);
    lock.unlock();
    const bool stopping = stop.stop_requested();
    const size_t written = WriteSome(next, stopping ? std::chrono::milliseconds() : kStopCheck);
    lock.lock();
    if (written == 0 && stopping) return;
    kept_.erase(0, written);
    if (kept_.empty() && lost_ > 0) {
      kept_ = "WARNING:" + name_ + ":" + std::to_string(std::exchange(lost_, 0)) +
              " lines of this log are lost: it was not read\n";
    }
  }
  kept_.shrink_to_fit();
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
