#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "common/errors.h"
#include "common/url.h"

namespace dockercoins {

/// A variable of the environment.
struct Setting {
  const char* name;
  const char* default_value;  ///< Empty: unset.
  const char* text;           ///< For --help.
};

/// Every variable. docs/reference.md has them, too.
namespace setting {
inline constexpr Setting kPort = {"PORT", "80", "port to listen on, 0 picks a free one"};
inline constexpr Setting kBindAddress = {"BIND_ADDRESS", "::", "address to listen on"};
inline constexpr Setting kAdminPort = {"ADMIN_PORT", "9797",
                                       "port for /healthz, /readyz and /metrics, 0: none"};
inline constexpr Setting kDelay = {"DELAY_MS", "100", "simulated work, milliseconds"};
inline constexpr Setting kConcurrency = {"CONCURRENCY", "1", "requests served at a time"};
inline constexpr Setting kFailPercent = {"FAIL_PERCENT", "0", "percentage of requests that fail"};
inline constexpr Setting kRngUrl = {"RNG_URL", "http://rng", "URL of rng"};
inline constexpr Setting kHasherUrl = {"HASHER_URL", "http://hasher", "URL of hasher"};
inline constexpr Setting kRedisUrl = {"REDIS_URL", "redis://redis:6379",
                                      "redis://[[user]:password@]host[:port][/db]"};
inline constexpr Setting kFilesDir = {"FILES_DIR", "/files", "folder of the dashboard's files"};
inline constexpr Setting kAssetsDir = {"ASSETS_DIR", "/usr/share/javascript", "folder of the chart library"};
inline constexpr Setting kIgnoreTerm = {"IGNORE_TERM", "", "y: TERM and INT are ignored"};
inline constexpr Setting kDebug = {"DEBUG", "", "y: debug log"};
}  // namespace setting

/// Where a service listens.
struct ListenSettings {
  std::string address;       ///< BIND_ADDRESS
  uint16_t port = 0;         ///< PORT; 0 takes a free one. Worker has none.
  uint16_t admin_port = 0;   ///< ADMIN_PORT; 0: none.
  bool admin_asked = false;  ///< ADMIN_PORT was set, so that it must be free.
};

// Each of these reads one variable (or a few that belong together) from the environment, or returns its
// default. They throw SettingError, which names the variable, its value and what is allowed. Call them before
// there is a second thread.

/// BIND_ADDRESS, ADMIN_PORT and PORT, for rng, hasher and webui.
ListenSettings ReadListenSettings();
/// BIND_ADDRESS and ADMIN_PORT, for worker. An ADMIN_PORT that Kubernetes injected (`tcp://10.0.0.1:80`)
/// counts as unset.
ListenSettings ReadAdminSettings();
/// DELAY_MS: how long the simulated work takes.
std::chrono::milliseconds ReadDelay();
/// CONCURRENCY: how many requests rng serves at a time.
size_t ReadConcurrency();
/// FAIL_PERCENT: how many of 100 requests are to fail.
unsigned ReadFailPercent();
/// RNG_URL or HASHER_URL.
HttpUrl ReadHttpUrl(const Setting& setting);
/// REDIS_URL.
RedisUrl ReadRedisUrl();
/// FILES_DIR or ASSETS_DIR. Does not check that the folder exists.
std::filesystem::path ReadFolder(const Setting& setting);
/// Whether DEBUG or IGNORE_TERM begins with y or Y. Never fails.
bool ReadSwitch(const Setting& setting);

}  // namespace dockercoins
