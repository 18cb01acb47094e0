#include "common/settings.h"

#include <arpa/inet.h>
#include <strings.h>

#include <algorithm>
#include <array>
#include <charconv>
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

/// One of OpenTelemetry's variables. Empty: unset.
constexpr Setting Otel(const char* name) { return {name, "", ""}; }

/// OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG.
void ReadSampler(TraceSettings& settings) {
  constexpr std::string_view kParentBased = "parentbased_";
  constexpr Setting kName = Otel("OTEL_TRACES_SAMPLER");
  constexpr Setting kArgument = Otel("OTEL_TRACES_SAMPLER_ARG");
  const std::string name = ValueOf(kName);
  std::string_view sampler = name.empty() ? "parentbased_always_on" : std::string_view(name);
  settings.follows_parent = sampler.starts_with(kParentBased);
  if (settings.follows_parent) sampler.remove_prefix(kParentBased.size());
  const std::string ratio = sampler == "always_on"      ? "1"
                            : sampler == "always_off"   ? "0"
                            : sampler == "traceidratio" ? ValueOf(kArgument)
                                                        : "no ratio";
  if (ratio == "no ratio")
    Refuse(kName, name, "always_on, always_off or traceidratio is expected, maybe after parentbased_");
  if (ratio.empty()) return;
  const char* end = ratio.data() + ratio.size();
  const auto [parsed, error] = std::from_chars(ratio.data(), end, settings.ratio);
  if (error != std::errc() || parsed != end || !(settings.ratio >= 0 && settings.ratio <= 1))
    Refuse(kArgument, ratio, "a number from 0 to 1 is expected");
}

/// OTEL_RESOURCE_ATTRIBUTES: `key=value,key=value`, with percent-encoded values, as in W3C Baggage.
void ReadResource(TraceSettings& settings) {
  constexpr Setting kName = Otel("OTEL_RESOURCE_ATTRIBUTES");
  const std::string value = ValueOf(kName);
  const auto trimmed = [](std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
    return text.substr(0, text.find_last_not_of(" \t") + 1);
  };
  for (std::string_view rest = value; !rest.empty();) {
    const std::string_view pair = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
    if (trimmed(pair).empty()) continue;
    const size_t equals = pair.find('=');
    const std::string_view key = trimmed(pair.substr(0, equals));
    try {
      if (key.empty() || equals == std::string::npos) throw std::invalid_argument("no key and value");
      settings.attributes[std::string(key)] = PercentDecoded(trimmed(pair.substr(equals + 1)));
    } catch (const std::invalid_argument& error) {
      Refuse(kName, value, std::string("key=value,key=value is expected (") + error.what() + ")");
    }
  }
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

std::optional<TraceSettings> ReadTraceSettings(const std::string& service) {
  constexpr Setting kEndpoint = Otel("OTEL_EXPORTER_OTLP_ENDPOINT");
  constexpr Setting kProtocol = Otel("OTEL_EXPORTER_OTLP_PROTOCOL");
  const std::string disabled = ValueOf(Otel("OTEL_SDK_DISABLED"));
  if (ValueOf(kEndpoint).empty() || ::strcasecmp(disabled.c_str(), "true") == 0) return std::nullopt;
  TraceSettings settings{.receiver = ReadHttpUrl(kEndpoint), .attributes = {{"service.name", service}}};
  settings.receiver.path += "/v1/traces";
  const std::string protocol = ValueOf(kProtocol);
  if (!protocol.empty() && protocol != "http/json") Refuse(kProtocol, protocol, "http/json is expected");
  ReadResource(settings);
  if (const std::string name = ValueOf(Otel("OTEL_SERVICE_NAME")); !name.empty())
    settings.attributes["service.name"] = name;
  ReadSampler(settings);
  return settings;
}

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
