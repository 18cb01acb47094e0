#include "common/access_log.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <ctime>

namespace dockercoins {
namespace {

/// 21 November 2026, 07:08:51 UTC.
const auto kTime = std::chrono::system_clock::from_time_t(1'795'244'931);

TEST(AccessLogTest, WritesTheContractsLine) {
  const AccessRecord record{
      .client = "172.19.0.5", .request_line = "GET /32 HTTP/1.1", .status = 200, .body_bytes = 32};
  EXPECT_EQ(FormatAccessLine(record, kTime),
            R"(172.19.0.5 - - [21/Nov/2026:07:08:51 +0000] "GET /32 HTTP/1.1" 200 32)");
}

TEST(AccessLogTest, WritesDashesForWhatIsNotKnown) {
  EXPECT_EQ(FormatAccessLine({}, kTime), R"(- - - [21/Nov/2026:07:08:51 +0000] "-" - -)");
}

TEST(AccessLogTest, WritesZeroBytesAsZero) {
  const AccessRecord record{
      .client = "::1", .request_line = "HEAD / HTTP/1.0", .status = 200, .body_bytes = 0};
  EXPECT_EQ(FormatAccessLine(record, kTime),
            R"(::1 - - [21/Nov/2026:07:08:51 +0000] "HEAD / HTTP/1.0" 200 0)");
}

TEST(AccessLogTest, WritesBytesBeyondFourGigabytes) {
  const AccessRecord record{.client = "c", .request_line = "r", .status = 200, .body_bytes = 5'000'000'000};
  EXPECT_EQ(FormatAccessLine(record, kTime), R"(c - - [21/Nov/2026:07:08:51 +0000] "r" 200 5000000000)");
}

TEST(AccessLogTest, EscapesQuotesAndBackslashesSoThatTheRequestStaysOneField) {
  const AccessRecord record{
      .client = "c", .request_line = R"(GET /"a\b HTTP/1.1)", .status = 404, .body_bytes = 7};
  EXPECT_EQ(FormatAccessLine(record, kTime),
            R"(c - - [21/Nov/2026:07:08:51 +0000] "GET /\"a\\b HTTP/1.1" 404 7)");
}

TEST(AccessLogTest, KnowsTheTwelveMonths) {
  constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  for (size_t month = 0; month < kMonths.size(); ++month) {
    std::tm date{};
    date.tm_year = 100;
    date.tm_mon = static_cast<int>(month);
    date.tm_mday = 5;
    const auto time = std::chrono::system_clock::from_time_t(::timegm(&date));
    EXPECT_EQ(FormatAccessLine({}, time),
              "- - - [05/" + std::string(kMonths.at(month)) + "/2000:00:00:00 +0000] \"-\" - -");
  }
}

TEST(AccessLogTest, WritesUtcWhateverTheMachinesTimeZone) {
  ::setenv("TZ", "EST5", 1);
  ::tzset();
  const std::string line = FormatAccessLine({}, kTime);
  ::unsetenv("TZ");
  ::tzset();
  EXPECT_EQ(line, R"(- - - [21/Nov/2026:07:08:51 +0000] "-" - -)");
}

}  // namespace
}  // namespace dockercoins
