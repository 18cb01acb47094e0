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

/// Kubernetes sets this one to tcp://10.0.0.1:80 where a Service is called admin.
constexpr const char* kAdminPort = "ADMIN_PORT";

bool IsOfAService(std::string_view value) {
  return value.starts_with("tcp://") || value.starts_with("udp://") || value.starts_with("sctp://");
}

std::optional<std::string> Variable(const char* name) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread, as the header says.
  const char* value = std::getenv(name);
  if (value == nullptr || (name == kAdminPort && IsOfAService(value))) return std::nullopt;
  return value;
}

[[noreturn]] void Refuse(const char* name, std::string_view value, const std::string& allowed) {
  throw SettingError(std::string(name) + "=" + Escaped(value) + ": " + allowed);
}

uint64_t ReadNumber(const char* name, const char* default_value, uint64_t min, uint64_t max,
                    const std::string& allowed) {
  const std::string value = Variable(name).value_or(default_value);
  const auto number = ParseNumber(value);
  if (!number || *number < min || *number > max) Refuse(name, value, allowed);
  return *number;
}

uint16_t ReadPort(const char* name, const char* default_value, const char* zero) {
  return static_cast<uint16_t>(
      ReadNumber(name, default_value, 0, UINT16_MAX,
                 std::string("a port from 1 to 65535 is expected, or 0 for ") + zero));
}

template <typename Url>
Url ReadUrl(const char* name, const char* default_value, const std::string& form) {
  const std::string value = Variable(name).value_or(default_value);
  try {
    return Url::Parse(value);
  } catch (const std::invalid_argument& error) {
    Refuse(name, WithoutPassword(value), form + " is expected (" + error.what() + ")");
  }
}

std::string ReadAddress() {
  constexpr const char* kName = "BIND_ADDRESS";
  std::string address = Variable(kName).value_or("::");
  std::array<unsigned char, sizeof(in6_addr)> binary{};
  if (::inet_pton(AF_INET6, address.c_str(), binary.data()) != 1 &&
      ::inet_pton(AF_INET, address.c_str(), binary.data()) != 1) {
    Refuse(kName, address, "an IPv6 or IPv4 address is expected, such as :: or 127.0.0.1");
  }
  return address;
}

}  // namespace

ListenSettings ReadAdminSettings() {
  return {.address = ReadAddress(),
          .port = 0,
          .admin_port = ReadPort(kAdminPort, "9797", "none"),
          .admin_asked = Variable(kAdminPort).has_value()};
}

ListenSettings ReadListenSettings() {
  ListenSettings settings = ReadAdminSettings();
  settings.port = ReadPort("PORT", "80", "a free one");
  return settings;
}

std::chrono::milliseconds ReadDelay() {
  return std::chrono::milliseconds(
      ReadNumber("DELAY_MS", "100", 0, kMaxDelayMs, "whole milliseconds are expected, from 0 to a year"));
}

size_t ReadConcurrency() {
  return ReadNumber("CONCURRENCY", "1", 1, 1000, "a whole number from 1 to 1000 is expected");
}

unsigned ReadFailPercent() {
  return static_cast<unsigned>(
      ReadNumber("FAIL_PERCENT", "0", 0, 100, "a whole number from 0 to 100 is expected"));
}

HttpUrl ReadHttpUrl(const char* variable, const char* default_value) {
  return ReadUrl<HttpUrl>(variable, default_value, "http://host[:port][/path]");
}

RedisUrl ReadRedisUrl() {
  return ReadUrl<RedisUrl>("REDIS_URL", "redis://redis:6379", "redis://[[user]:password@]host[:port][/db]");
}

std::filesystem::path ReadFolder(const char* variable, const char* default_value) {
  const std::string value = Variable(variable).value_or(default_value);
  if (value.empty()) Refuse(variable, value, "a folder is expected");
  return value;
}

bool ReadSwitch(const char* variable) {
  const std::string value = Variable(variable).value_or("");
  return value.starts_with('y') || value.starts_with('Y');
}

}  // namespace dockercoins
