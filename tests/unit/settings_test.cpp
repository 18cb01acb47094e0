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

const Read kPort = [] { return std::to_string(ReadListenSettings().port); };
const Read kAdminPort = [] {
  const ListenSettings settings = ReadAdminSettings();
  return std::to_string(settings.admin_port) + (settings.admin_asked ? ", asked for" : "");
};
const Read kAddress = [] { return ReadAdminSettings().address; };
const Read kDelay = [] { return std::to_string(ReadDelay().count()); };
const Read kConcurrency = [] { return std::to_string(ReadConcurrency()); };
const Read kFailPercent = [] { return std::to_string(ReadFailPercent()); };
const Read kRng = [] {
  const HttpUrl url = ReadHttpUrl(setting::kRngUrl);
  return url.server.ToString() + url.path;
};
const Read kRedis = [] {
  const RedisUrl url = ReadRedisUrl();
  return url.user + " " + url.password + " " + url.server.ToString() + " " + std::to_string(url.database);
};
const Read kFolder = [] { return ReadFolder(setting::kFilesDir).string(); };
const Read kDebug = [] { return std::string(ReadSwitch(setting::kDebug) ? "on" : "off"); };

/// Starts and ends with none of the variables set.
class SettingsTest : public ::testing::Test {
 protected:
  SettingsTest() { Clear(); }
  ~SettingsTest() override { Clear(); }

  /// The setting when the variable has that value, or why it is refused.
  static std::string With(const char* variable, const char* value, const Read& read) {
    ::setenv(variable, value, 1);
    std::string result;
    try {
      result = read();
    } catch (const SettingError& error) {
      result = error.what();
    }
    ::unsetenv(variable);
    return result;
  }

  static void ExpectTaken(const char* variable, const Read& read, const std::string& when_unset,
                          const std::vector<std::pair<const char*, const char*>>& values_and_results) {
    EXPECT_EQ(read(), when_unset);
    for (const auto& [value, result] : values_and_results)
      EXPECT_EQ(With(variable, value, read), result) << value;
  }

  static void ExpectRefused(const char* variable, const Read& read, const std::string& allowed,
                            const std::vector<const char*>& values) {
    for (const char* value : values) {
      EXPECT_EQ(With(variable, value, read), std::string(variable) + "=" + value + ": " + allowed);
    }
  }

 private:
  static void Clear() {
    for (const char* variable : {"PORT", "ADMIN_PORT", "BIND_ADDRESS", "DELAY_MS", "CONCURRENCY",
                                 "FAIL_PERCENT", "RNG_URL", "REDIS_URL", "FILES_DIR", "DEBUG"}) {
      ::unsetenv(variable);
    }
  }
};

TEST_F(SettingsTest, HaveDefaultsAndAcceptWhatIsAllowed) {
  ExpectTaken("PORT", kPort, "80", {{"0", "0"}, {"1", "1"}, {"65535", "65535"}});
  ExpectTaken("ADMIN_PORT", kAdminPort, "9797",
              {{"0", "0, asked for"},
               {"9797", "9797, asked for"},
               {"tcp://10.0.0.1:80", "9797"},
               {"udp://[fd00::1]:80", "9797"},
               {"sctp://10.0.0.1:80", "9797"}});
  ExpectTaken("BIND_ADDRESS", kAddress, "::", {{"::1", "::1"}, {"0.0.0.0", "0.0.0.0"}});
  ExpectTaken("DELAY_MS", kDelay, "100", {{"0", "0"}, {"250", "250"}, {"31536000000", "31536000000"}});
  ExpectTaken("CONCURRENCY", kConcurrency, "1", {{"1", "1"}, {"1000", "1000"}});
  ExpectTaken("FAIL_PERCENT", kFailPercent, "0", {{"0", "0"}, {"100", "100"}});
  ExpectTaken("RNG_URL", kRng, "rng:80", {{"http://127.0.0.1:8001/base/", "127.0.0.1:8001/base"}});
  ExpectTaken("REDIS_URL", kRedis, "  redis:6379 0",
              {{"redis://me:secret@[::1]:7/3", "me secret [::1]:7 3"}});
  ExpectTaken("FILES_DIR", kFolder, "/files", {{"/some/where else", "/some/where else"}});
  ExpectTaken("DEBUG", kDebug, "off",
              {{"y", "on"}, {"Yes", "on"}, {"", "off"}, {"no", "off"}, {"1", "off"}, {" y", "off"}});
}

TEST_F(SettingsTest, RefuseEverythingElseWithOneLine) {
  const std::vector<const char*> no_ports = {
      "",    " ",   "abc", "-1",   "65536", "4294967376", "99999999999999999999999", "+80",
      " 80", "80 ", "80.", "0x50", "1e3",   "80,81",      "http://10.0.0.1:80"};
  ExpectRefused("PORT", kPort, "a port from 1 to 65535 is expected, or 0 for a free one", no_ports);
  ExpectRefused("ADMIN_PORT", kAdminPort, "a port from 1 to 65535 is expected, or 0 for none", no_ports);
  ExpectRefused("BIND_ADDRESS", kAddress, "an IPv6 or IPv4 address is expected, such as :: or 127.0.0.1",
                {"", "localhost", "127.0.0.1:80", "[::]", "1.2.3", "256.0.0.1", "*", "fe80::1%lo"});
  ExpectRefused("DELAY_MS", kDelay, "whole milliseconds are expected, from 0 to a year",
                {"", "abc", "-1", "1.5", "100ms", "1e2", "31536000001", "18446744073709551616"});
  ExpectRefused("CONCURRENCY", kConcurrency, "a whole number from 1 to 1000 is expected",
                {"", "0", "1001", "two"});
  ExpectRefused("FAIL_PERCENT", kFailPercent, "a whole number from 0 to 100 is expected",
                {"", "-1", "101", "5%"});
  ExpectRefused("RNG_URL", kRng, "http://host[:port][/path] is expected (another scheme)",
                {"", "rng", "https://rng"});
  ExpectRefused("REDIS_URL", kRedis,
                "redis://[[user]:password@]host[:port][/db] is expected (another scheme)",
                {"", "redis:6379", "http://redis"});
  const std::string redis = ": redis://[[user]:password@]host[:port][/db] is expected ";
  EXPECT_EQ(With("REDIS_URL", "redis://:s3cret@redis:abc", kRedis),
            "REDIS_URL=redis://***@redis:abc" + redis + "(not a number)");
  EXPECT_EQ(With("REDIS_URL", "s3://cret@p@redis", kRedis),
            "REDIS_URL=s3://***@redis" + redis + "(another scheme)");
  EXPECT_EQ(With("REDIS_URL", ":s3cret@redis", kRedis), "REDIS_URL=***@redis" + redis + "(another scheme)");
  EXPECT_EQ(With("REDIS_URL", "me:s3://cret@redis", kRedis),
            "REDIS_URL=***@redis" + redis + "(another scheme)");
  EXPECT_EQ(With("RNG_URL", "http://me:s3cret@rng", kRng),
            "RNG_URL=http://***@rng: http://host[:port][/path] is expected (not a number)");
  ExpectRefused("FILES_DIR", kFolder, "a folder is expected", {""});
  EXPECT_EQ(With("PORT", "80\nand\x1b[31m more", kPort),
            "PORT=80\\x0aand\\x1b[31m more: a port from 1 to 65535 is expected, or 0 for a free one");
}

}  // namespace
}  // namespace dockercoins
