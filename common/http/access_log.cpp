#include "common/http/access_log.h"

#include <array>
#include <cstdio>
#include <ctime>
#include <string_view>

namespace dockercoins {
namespace {

std::string_view OrDash(std::string_view text) { return text.empty() ? "-" : text; }

std::string FormatTime(std::chrono::system_clock::time_point time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 64> text{};
  // No locale is ever set: the month's name is English.
  std::strftime(text.data(), text.size(), "%d/%b/%Y:%H:%M:%S +0000", &utc);
  return text.data();
}

std::string Milliseconds(std::chrono::steady_clock::duration time) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f ms", std::chrono::duration<double, std::milli>(time).count());
  return text.data();
}

}  // namespace

std::string FormatAccessLine(const RequestRecord& record, std::chrono::system_clock::time_point time) {
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

void AccessLog::Write(const RequestRecord& record) const {
  if (log_ == nullptr) return;
  if (metrics_ != nullptr) metrics_->Count(record);
  log_->Line(FormatAccessLine(record, std::chrono::system_clock::now()));
  if (record.begun && log_->WritesDebug()) {
    log_->Debug("That request waited " + Milliseconds(record.Waited()) + " in the queue and was served in " +
                Milliseconds(record.Served()));
  }
}

}  // namespace dockercoins
