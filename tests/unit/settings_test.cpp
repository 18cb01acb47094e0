#include "common/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <initializer_list>
#include <string>

namespace dockercoins {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// Begins and ends with none of the variables set.
class SettingsTest : public ::testing::Test {
 protected:
  SettingsTest() { Clear(); }
  ~SettingsTest() override { Clear(); }

  static void Set(const char* name, const char* value) { ::setenv(name, value, 1); }

  /// The message of the SettingError that `read` throws; empty when it throws none.
  template <typename Read>
  static std::string Refusal(Read read) {
    try {
      (void)read();
    } catch (const SettingError& error) {
      return error.what();
    }
    return "";
  }

 private:
  static void Clear() {
    for (const char* name :
         {"PORT", "BIND_ADDRESS", "ADMIN_PORT", "DELAY_MS", "RNG_URL", "REDIS_URL", "FILES_DIR", "DEBUG"}) {
      ::unsetenv(name);
    }
  }
};

TEST_F(SettingsTest, HaveTheContractsDefaults) {
  const ListenSettings settings = ReadListenSettings();
  EXPECT_EQ(settings.address, "::");
  EXPECT_EQ(settings.port, 80);
  EXPECT_EQ(settings.admin_port, 9797);
  EXPECT_FALSE(settings.admin_asked);
  EXPECT_EQ(ReadDelay(), milliseconds(100));
  EXPECT_EQ(ReadRedisUrl().server.ToString(), "redis:6379");
  EXPECT_EQ(ReadHttpUrl("RNG_URL", "http://rng").server.ToString(), "rng:80");
  EXPECT_EQ(ReadFolder("FILES_DIR", "/files"), "/files");
  EXPECT_FALSE(ReadDebug());
}

TEST_F(SettingsTest, TakeGoodPorts) {
  for (const int port : {0, 1, 80, 8001, 65535}) {
    Set("PORT", std::to_string(port).c_str());
    Set("ADMIN_PORT", std::to_string(port).c_str());
    const ListenSettings settings = ReadListenSettings();
    EXPECT_EQ(settings.port, port);
    EXPECT_EQ(settings.admin_port, port);
    EXPECT_TRUE(settings.admin_asked);
  }
}

TEST_F(SettingsTest, RefuseBadPorts) {
  // REDIS_PORT=tcp://... is what Kubernetes would inject if our names were chosen badly.
  for (const char* name : {"PORT", "ADMIN_PORT"}) {
    for (const char* value : {"", " ", "abc", "-1", "65536", "4294967376", "99999999999999999999999", "+80",
                              " 80", "80 ", "80.0", "0x50", "1e3", "80,81", "tcp://10.0.0.1:6379"}) {
      Set(name, value);
      EXPECT_THAT(Refusal(ReadListenSettings),
                  AllOf(StartsWith(std::string(name) + "=" + value + ": "),
                        HasSubstr("a port from 1 to 65535 is expected, or 0 for ")));
    }
    ::unsetenv(name);
  }
}

TEST_F(SettingsTest, SayThatAnAdminPortWasAskedForAlsoWhenItIsTheDefault) {
  Set("ADMIN_PORT", "9797");
  EXPECT_TRUE(ReadAdminSettings().admin_asked);
}

TEST_F(SettingsTest, TheWorkerDoesNotReadPort) {
  Set("PORT", "abc");
  EXPECT_EQ(ReadAdminSettings().admin_port, 9797);
}

TEST_F(SettingsTest, TakeAddressesOfBothFamilies) {
  for (const char* address :
       {"::", "::1", "0.0.0.0", "127.0.0.1", "192.0.2.7", "2001:db8::1", "::ffff:127.0.0.1"}) {
    Set("BIND_ADDRESS", address);
    EXPECT_EQ(ReadListenSettings().address, address);
    EXPECT_EQ(ReadAdminSettings().address, address);
  }
}

TEST_F(SettingsTest, RefuseWhatIsNoAddress) {
  for (const char* address :
       {"", "localhost", "127.0.0.1:80", "[::]", "1.2.3", "256.0.0.1", "*", "fe80::1%lo"}) {
    Set("BIND_ADDRESS", address);
    EXPECT_THAT(Refusal(ReadAdminSettings), AllOf(StartsWith("BIND_ADDRESS=" + std::string(address) + ": "),
                                                  HasSubstr("an IPv6 or IPv4 address is expected")));
  }
}

TEST_F(SettingsTest, TakeDelaysFromNoneToAYear) {
  for (const int64_t delay : {INT64_C(0), INT64_C(1), INT64_C(250), INT64_C(31'536'000'000)}) {
    Set("DELAY_MS", std::to_string(delay).c_str());
    EXPECT_EQ(ReadDelay(), milliseconds(delay));
  }
}

TEST_F(SettingsTest, RefuseOtherDelays) {
  for (const char* delay : {"", "abc", "-1", "1.5", "100ms", "1e2", "31536000001", "18446744073709551616"}) {
    Set("DELAY_MS", delay);
    EXPECT_EQ(Refusal(ReadDelay),
              "DELAY_MS=" + std::string(delay) + ": whole milliseconds are expected, from 0 to a year");
  }
}

TEST_F(SettingsTest, ReadUrlsFromTheirVariables) {
  Set("RNG_URL", "http://127.0.0.1:8001/base/");
  const HttpUrl rng = ReadHttpUrl("RNG_URL", "http://rng");
  EXPECT_EQ(rng.server.ToString(), "127.0.0.1:8001");
  EXPECT_EQ(rng.path, "/base");

  Set("REDIS_URL", "redis://me:secret@[::1]:7000/3");
  const RedisUrl redis = ReadRedisUrl();
  EXPECT_EQ(redis.server.ToString(), "[::1]:7000");
  EXPECT_EQ(redis.user, "me");
  EXPECT_EQ(redis.password, "secret");
  EXPECT_EQ(redis.database, 3U);
}

TEST_F(SettingsTest, RefuseUrlsOfAnotherForm) {
  for (const char* value : {"", "rng", "https://rng", "redis://rng", "http://", "http://rng:abc"}) {
    Set("RNG_URL", value);
    EXPECT_THAT(Refusal([] { return ReadHttpUrl("RNG_URL", "http://rng"); }),
                AllOf(StartsWith("RNG_URL=" + std::string(value) + ": "),
                      HasSubstr("http://host[:port][/path] is expected")));
  }
  for (const char* value :
       {"", "redis:6379", "http://redis", "rediss://redis", "redis://", "redis://redis/x"}) {
    Set("REDIS_URL", value);
    EXPECT_THAT(Refusal(ReadRedisUrl),
                AllOf(StartsWith("REDIS_URL=" + std::string(value) + ": "),
                      HasSubstr("redis://[[user]:password@]host[:port][/db] is expected")));
  }
}

TEST_F(SettingsTest, ReadFolders) {
  Set("FILES_DIR", "/some/where else");
  EXPECT_EQ(ReadFolder("FILES_DIR", "/files"), "/some/where else");
  Set("FILES_DIR", "");
  EXPECT_EQ(Refusal([] { return ReadFolder("FILES_DIR", "/files"); }), "FILES_DIR=: a folder is expected");
}

TEST_F(SettingsTest, DebugIsOnWhenItBeginsWithY) {
  for (const char* value : {"y", "Y", "yes", "YES", "yellow"}) {
    Set("DEBUG", value);
    EXPECT_TRUE(ReadDebug()) << value;
  }
  for (const char* value : {"", "n", "no", "1", "true", "on", " y", "oy"}) {
    Set("DEBUG", value);
    EXPECT_FALSE(ReadDebug()) << value;
  }
}

TEST_F(SettingsTest, ARefusalStaysOneLineWhateverTheValue) {
  Set("PORT", "80\nand\x1b[31m more");
  EXPECT_THAT(Refusal(ReadListenSettings), StartsWith("PORT=80\\x0aand\\x1b[31m more: "));
}

}  // namespace
}  // namespace dockercoins
