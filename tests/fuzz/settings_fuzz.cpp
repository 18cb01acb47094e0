// The value of every setting.
#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>

#include "common/settings.h"
#include "tests/fuzz/fuzz.h"

namespace dockercoins {
namespace {

constexpr const char* kLettersAndDigits = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

bool IsPrintable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

bool IsHost(std::string_view text) {
  return !text.empty() && text.find_first_of("/@ []?#") == std::string_view::npos && IsPrintable(text);
}

/// What `read` returns for this value of `variable`; nothing when it refuses that in one line.
template <typename Read>
auto Accepted(const char* variable, const std::string& value, Read read) -> std::optional<decltype(read())> {
  ::setenv(variable, value.c_str(), 1);
  try {
    return read();
  } catch (const SettingError& error) {
    const std::string_view text = error.what();
    Require(text.starts_with(std::string(variable) + "=") && IsPrintable(text), "a bad value gets one line",
            text);
    return std::nullopt;
  }
}

/// A number is what its digits say.
template <typename Read>
void CheckNumber(const char* variable, const std::string& value, uint64_t min, uint64_t max, Read read) {
  const auto number = Accepted(variable, value, read);
  const bool digits = !value.empty() && value.find_first_not_of("0123456789") == std::string::npos;
  const std::string significant =
      digits ? value.substr(std::min(value.find_first_not_of('0'), value.size() - 1)) : "";
  const bool good =
      digits && significant.size() < 19 && std::stoull(significant) >= min && std::stoull(significant) <= max;
  Require(number.has_value() == good, "a number is accepted if it is in its range", value);
  Require(!number || std::to_string(*number) == significant, "a number is what its digits say", value);
  ::unsetenv(variable);
}

std::string PercentEncoded(std::string_view text) {
  std::string encoded;
  for (const char signed_c : text) {
    const auto c = static_cast<unsigned char>(signed_c);
    encoded += '%';
    encoded += "0123456789abcdef"[c / 16];
    encoded += "0123456789ABCDEF"[c % 16];
  }
  return encoded;
}

void CheckUrls(const std::string& value) {
  if (const auto url = Accepted("RNG_URL", value, [] { return ReadHttpUrl(setting::kRngUrl); })) {
    Require(IsHost(url->server.host) && url->server.port != 0 && IsPrintable(url->path),
            "a URL has its parts", value);
    const HttpUrl again = HttpUrl::Parse("http://" + url->server.ToString() + url->path);
    Require(again.server.host == url->server.host && again.server.port == url->server.port &&
                again.path == url->path,
            "a URL that is written is the same", value);
  }
  if (const auto url = Accepted("REDIS_URL", value, ReadRedisUrl)) {
    Require(IsHost(url->server.host) && url->server.port != 0, "a URL has its parts", value);
    const std::string secret = PercentEncoded(url->user) + ":" + PercentEncoded(url->password) + "@";
    const RedisUrl again = RedisUrl::Parse("redis://" + (secret == ":@" ? "" : secret) +
                                           url->server.ToString() + "/" + std::to_string(url->database));
    Require(again.user == url->user && again.password == url->password && again.database == url->database,
            "a URL that is written is the same", value);
  }
  const size_t at = value.rfind('@');
  const std::string shown = WithoutPassword(value);
  const std::string hidden = at == std::string::npos ? value : "***" + value.substr(at);
  const std::string scheme = value.substr(0, value.find_first_not_of(kLettersAndDigits)) + "://";
  Require(shown == hidden || shown == scheme + hidden, "what may be a password is not shown", shown);
}

}  // namespace
}  // namespace dockercoins

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dockercoins;
  const std::string value(Text(data, size).substr(0, Text(data, size).find('\0')));
  constexpr uint64_t kYearMs = 31'536'000'000;
  CheckNumber("PORT", value, 0, 65535, [] { return ReadListenSettings().port; });
  // What Kubernetes injects counts as unset.
  const bool injected =
      value.starts_with("tcp://") || value.starts_with("udp://") || value.starts_with("sctp://");
  if (!injected) CheckNumber("ADMIN_PORT", value, 0, 65535, [] { return ReadAdminSettings().admin_port; });
  CheckNumber("DELAY_MS", value, 0, kYearMs, [] { return ReadDelay().count(); });
  CheckNumber("CONCURRENCY", value, 1, 1000, ReadConcurrency);
  CheckNumber("FAIL_PERCENT", value, 0, 100, ReadFailPercent);
  Accepted("BIND_ADDRESS", value, ReadAdminSettings);
  ::unsetenv("BIND_ADDRESS");
  Accepted("FILES_DIR", value, [] { return ReadFolder(setting::kFilesDir); });
  CheckUrls(value);
  return 0;
}
