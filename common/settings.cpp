#include "common/settings.h"

#include <arpa/inet.h>

#include <array>
#include <cstdlib>
#include <string_view>

#include "common/log.h"
#include "common/number.h"

namespace dockercoins {
namespace {

/// A year, far below the clocks' limits. A larger value is a typing error.
constexpr uint64_t kMaxDelayMs = 31'536'000'000;

bool IsOfAService(std::string_view value) {
  return value.starts_with("tcp://") || value.starts_with("udp://") || value.starts_with("sctp://");
}

std::optional<std::string> Variable(const Setting& setting) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread, as the header says.
  const char* value = std::getenv(setting.name);
  // Kubernetes sets ADMIN_PORT to tcp://10.0.0.1:80 where a Service is called admin.
  if (value == nullptr || (&setting == &setting::kAdminPort && IsOfAService(value))) return std::nullopt;
  return value;
}

std::string ValueOf(const Setting& setting) { return Variable(setting).value_or(setting.default_value); }

[[noreturn]] void Refuse(const Setting& setting, std::string_view value, const std::string& allowed) {
  throw SettingError(std::string(setting.name) + "=" + Escaped(value) + ": " + allowed);
}

uint64_t ReadNumber(const Setting& setting, uint64_t min, uint64_t max, const std::string& allowed) {
  const std::string value = ValueOf(setting);
  const auto number = ParseNumber(value);
  if (!number || *number < min || *number > max) Refuse(setting, value, allowed);
  return *number;
}

uint16_t ReadPort(const Setting& setting, const char* zero) {
  return static_cast<uint16_t>(ReadNumber(
      setting, 0, UINT16_MAX, std::string("a port from 1 to 65535 is expected, or 0 for ") + zero));
}

template <typename Url>
Url ReadUrl(const Setting& setting, const std::string& form) {
  const std::string value = ValueOf(setting);
  try {
    return Url::Parse(value);
  } catch (const std::invalid_argument& error) {
    Refuse(setting, WithoutPassword(value), form + " is expected (" + error.what() + ")");
  }
}

std::string ReadAddress() {
  std::string address = ValueOf(setting::kBindAddress);
  std::array<unsigned char, sizeof(in6_addr)> binary{};
  if (::inet_pton(AF_INET6, address.c_str(), binary.data()) != 1 &&
      ::inet_pton(AF_INET, address.c_str(), binary.data()) != 1) {
    Refuse(setting::kBindAddress, address, "an IPv6 or IPv4 address is expected, such as :: or 127.0.0.1");
  }
  return address;
}

}  // namespace

ListenSettings ReadAdminSettings() {
  return {.address = ReadAddress(),
          .port = 0,
          .admin_port = ReadPort(setting::kAdminPort, "none"),
          .admin_asked = Variable(setting::kAdminPort).has_value()};
}

ListenSettings ReadListenSettings() {
  ListenSettings settings = ReadAdminSettings();
  settings.port = ReadPort(setting::kPort, "a free one");
  return settings;
}

std::chrono::milliseconds ReadDelay() {
  return std::chrono::milliseconds(
      ReadNumber(setting::kDelay, 0, kMaxDelayMs, "whole milliseconds are expected, from 0 to a year"));
}

size_t ReadConcurrency() {
  return ReadNumber(setting::kConcurrency, 1, 1000, "a whole number from 1 to 1000 is expected");
}

unsigned ReadFailPercent() {
  return static_cast<unsigned>(
      ReadNumber(setting::kFailPercent, 0, 100, "a whole number from 0 to 100 is expected"));
}

HttpUrl ReadHttpUrl(const Setting& setting) { return ReadUrl<HttpUrl>(setting, "http://host[:port][/path]"); }

RedisUrl ReadRedisUrl() { return ReadUrl<RedisUrl>(setting::kRedisUrl, setting::kRedisUrl.text); }

std::filesystem::path ReadFolder(const Setting& setting) {
  const std::string value = ValueOf(setting);
  if (value.empty()) Refuse(setting, value, "a folder is expected");
  return value;
}

bool ReadSwitch(const Setting& setting) {
  const std::string value = ValueOf(setting);
  return value.starts_with('y') || value.starts_with('Y');
}

}  // namespace dockercoins
