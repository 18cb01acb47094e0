#include "common/access_log.h"

#include <array>
#include <cstdio>
#include <ctime>

namespace dockercoins {
namespace {

std::string_view OrDash(std::string_view text) { return text.empty() ? "-" : text; }

std::string FormatTime(std::chrono::system_clock::time_point time) {
  // Not strftime's %b: its month names depend on the locale.
  static constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%02d/%s/%04d:%02d:%02d:%02d +0000", utc.tm_mday,
                kMonths.at(static_cast<size_t>(utc.tm_mon)), utc.tm_year + 1900, utc.tm_hour, utc.tm_min,
                utc.tm_sec);
  return text.data();
}

std::string Milliseconds(std::chrono::steady_clock::duration time) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f ms", std::chrono::duration<double, std::milli>(time).count());
  return text.data();
}

/// The path of a request that has not been parsed, as it came.
std::string_view RawPath(std::string_view request_line) {
  const size_t space = request_line.find(' ');
  if (space == std::string_view::npos) return "";
  request_line.remove_prefix(space + 1);
  return request_line.substr(0, request_line.find_first_of(" ?"));
}

}  // namespace

std::string FormatAccessLine(const AccessRecord& record, std::chrono::system_clock::time_point time) {
  std::string line(OrDash(record.client));
  line += " - - [" + FormatTime(time) + "] \"";
  for (const char c : OrDash(record.request_line)) {
    if (c == '"' || c == '\\') line += '\\';
    line += c;
  }
  line += "\" ";
  line += record.status ? std::to_string(*record.status) : "-";
  line += ' ';
  line += record.body_bytes ? std::to_string(*record.body_bytes) : "-";
  return line;
}

void AccessLog::Write(const Connection& connection, const Entry& entry) const {
  if (log_ == nullptr) return;
  const auto now = std::chrono::steady_clock::now();
  if (metrics_ != nullptr) {
    const std::string_view path = entry.path.empty() ? RawPath(entry.request_line) : entry.path;
    // In this order: whoever sees a request counted finds its times, too.
    if (entry.begun) {
      metrics_->ObserveService(path, *entry.begun - connection.queued, now - *entry.begun);
    }
    metrics_->Count(entry.request_line.substr(0, entry.request_line.find(' ')), path, entry.status);
  }
  log_->Line(FormatAccessLine({.client = connection.client,
                               .request_line = entry.request_line,
                               .status = entry.status,
                               .body_bytes = entry.body_bytes},
                              std::chrono::system_clock::now()));
  if (entry.begun && log_->WritesDebug()) {
    log_->Debug("That request waited " + Milliseconds(*entry.begun - connection.queued) +
                " in line and was served in " + Milliseconds(now - *entry.begun));
  }
}

}  // namespace dockercoins
