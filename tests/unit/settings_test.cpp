#include "common/settings.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace dockercoins {
namespace {

/// Reads a setting, as text.
using Read = std::function<std::string()>;
using Table = std::vector<std::pair<const char*, std::string>>;

/// What is read when the variable is unset and when it has those values; which other values are refused, and
/// how.
void Expect(const char* variable, const Read& read, const std::string& when_unset, const Table& results,
            const std::string& allowed, const std::vector<const char*>& refused) {
  ::clearenv();
  EXPECT_EQ(read(), when_unset);
  Table table = results;
  for (const char* value : refused)
    table.emplace_back(value, std::string(variable) + "=" + value + ": " + allowed);
  for (const auto& [value, expected] : table) {
    ::setenv(variable, value, 1);
    try {
      EXPECT_EQ(read(), expected) << value;
    } catch (const SettingError& error) {
      EXPECT_EQ(error.what(), expected);
    }
  }
}

TEST(SettingsTest, TakePortsAndSayWhatElseIsRefused) {
  const std::vector<const char*> no_ports = {
      "",    " ",   "abc", "-1",   "65536", "4294967376", "99999999999999999999999", "+80",
      " 80", "80 ", "80.", "0x50", "1e3",   "80,81",      "http://10.0.0.1:80"};
  Expect(
      "PORT", [] { return std::to_string(ReadListenSettings().port); }, "80",
      {{"0", "0"},
       {"1", "1"},
       {"65535", "65535"},
       {"8\n\x1b[31m", "PORT=8\\x0a\\x1b[31m: a port from 1 to 65535 is expected, or 0 for a free one"}},
      "a port from 1 to 65535 is expected, or 0 for a free one", no_ports);
  const auto admin = [] {
    const ListenSettings settings = ReadAdminSettings();
    return std::to_string(settings.admin_port) + (settings.admin_asked ? ", asked for" : "");
  };
  Expect("ADMIN_PORT", admin, "9797",
         {{"0", "0, asked for"},
          {"9797", "9797, asked for"},
          {"tcp://10.0.0.1:80", "9797"},
          {"udp://[fd00::1]:80", "9797"},
          {"sctp://10.0.0.1:80", "9797"}},
         "a port from 1 to 65535 is expected, or 0 for none", no_ports);
}

TEST(SettingsTest, TakeNumbersAddressesFoldersAndSwitchesAndSayWhatElseIsRefused) {
  Expect("BIND_ADDRESS", [] { return ReadAdminSettings().address; },
         "::", {{"::1", "::1"}, {"0.0.0.0", "0.0.0.0"}},
         "an IPv6 or IPv4 address is expected, such as :: or 127.0.0.1",
         {"", "localhost", "127.0.0.1:80", "[::]", "1.2.3", "256.0.0.1", "*", "fe80::1%lo"});
  Expect("DELAY_MS", [] { return std::to_string(ReadDelay().count()); }, "100",
         {{"0", "0"}, {"250", "250"}, {"31536000000", "31536000000"}},
         "whole milliseconds are expected, from 0 to a year",
         {"", "abc", "-1", "1.5", "100ms", "1e2", "31536000001", "18446744073709551616"});
  Expect("CONCURRENCY", [] { return std::to_string(ReadConcurrency()); }, "1", {{"1", "1"}, {"1000", "1000"}},
         "a whole number from 1 to 1000 is expected", {"", "0", "1001", "two"});
  Expect("FAIL_PERCENT", [] { return std::to_string(ReadFailPercent()); }, "0", {{"0", "0"}, {"100", "100"}},
         "a whole number from 0 to 100 is expected", {"", "-1", "101", "5%"});
  Expect("FILES_DIR", [] { return ReadFolder(setting::kFilesDir).string(); }, "/files",
         {{"/some/where else", "/some/where else"}}, "a folder is expected", {""});
  Expect("DEBUG", [] { return std::string(ReadSwitch(setting::kDebug) ? "on" : "off"); }, "off",
         {{"y", "on"}, {"Yes", "on"}, {"", "off"}, {"no", "off"}, {"1", "off"}, {" y", "off"}}, "", {});
}

TEST(SettingsTest, TakeUrlsAndNeverShowTheirPasswords) {
  const auto rng = [] {
    const HttpUrl url = ReadHttpUrl(setting::kRngUrl);
    return url.server.ToString() + url.path;
  };
  const std::string http = "http://host[:port][/path] is expected (";
  Expect("RNG_URL", rng, "rng:80",
         {{"http://127.0.0.1:8001/base/", "127.0.0.1:8001/base"},
          {"http://me:s3cret@rng", "RNG_URL=http://***@rng: " + http + "not a number)"}},
         http + "another scheme)", {"", "rng", "https://rng"});
  const auto redis = [] {
    const RedisUrl url = ReadRedisUrl();
    return url.user + " " + url.password + " " + url.server.ToString() + " " + std::to_string(url.database);
  };
  const std::string form = "redis://[[user]:password@]host[:port][/db] is expected (";
  Expect("REDIS_URL", redis, "  redis:6379 0",
         {{"redis://me:secret@[::1]:7/3", "me secret [::1]:7 3"},
          {"redis://:s3cret@redis:abc", "REDIS_URL=redis://***@redis:abc: " + form + "not a number)"},
          {"s3://cret@p@redis", "REDIS_URL=s3://***@redis: " + form + "another scheme)"},
          {":s3cret@redis", "REDIS_URL=***@redis: " + form + "another scheme)"},
          {"me:s3://cret@redis", "REDIS_URL=***@redis: " + form + "another scheme)"}},
         form + "another scheme)", {"", "redis:6379", "http://redis"});
}

}  // namespace
}  // namespace dockercoins
