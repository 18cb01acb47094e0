#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "common/errors.h"
#include "common/url.h"

namespace dockercoins {

/// Where a service listens.
struct ListenSettings {
  std::string address;       ///< BIND_ADDRESS
  uint16_t port = 0;         ///< PORT; 0 takes a free one. Worker has none.
  uint16_t admin_port = 0;   ///< ADMIN_PORT; 0: none.
  bool admin_asked = false;  ///< ADMIN_PORT was set, so that it must be free.
};

/// Where traces go, and which of them.
struct TraceSettings {
  HttpUrl receiver;                               ///< Its path is that of traces.
  std::map<std::string, std::string> attributes;  ///< The resource's: `service.name` and others.
  bool follows_parent = true;                     ///< What another service has begun is as that has decided.
  double ratio = 1;                               ///< Of the other traces, so many are recorded.
};

// Each of these reads one variable (or a few that belong together) from the environment, or returns its
// default. They throw SettingError, which names the variable, its value and what is allowed. Call them before
// there is a second thread.

/// BIND_ADDRESS, ADMIN_PORT and PORT, for rng, hasher and webui.
ListenSettings ReadListenSettings();
/// BIND_ADDRESS and ADMIN_PORT, for worker.
ListenSettings ReadAdminSettings();
/// DELAY_MS: how long the simulated work takes.
std::chrono::milliseconds ReadDelay();
/// CONCURRENCY: how many requests rng serves at a time.
size_t ReadConcurrency();
/// FAIL_PERCENT: how many of 100 requests are to fail.
unsigned ReadFailPercent();
/// The `http://` URL in `variable`.
HttpUrl ReadHttpUrl(const char* variable, const char* default_value);
/// REDIS_URL.
RedisUrl ReadRedisUrl();
/// OTEL_...: none without a receiver, or when OTEL_SDK_DISABLED. `service` is the default name. As
/// OpenTelemetry's specification says, an empty value counts as unset.
std::optional<TraceSettings> ReadTraceSettings(const std::string& service);
/// The folder in `variable`. Does not check that it exists.
std::filesystem::path ReadFolder(const char* variable, const char* default_value);
/// Whether `variable` (DEBUG, IGNORE_TERM) begins with y or Y. Never fails.
bool ReadSwitch(const char* variable);

}  // namespace dockercoins
