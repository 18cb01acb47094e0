#include "common/service/access_log.h"

#include <gtest/gtest.h>

namespace dockercoins {
namespace {

std::string Line(const RequestRecord& record, std::time_t time = 1'795'244'931) {
  return FormatAccessLine(record, std::chrono::system_clock::from_time_t(time));
}

TEST(AccessLogTest, WritesTheContractsLine) {
  const std::string begin = "c - - [21/Nov/2026:07:08:51 +0000] ";
  EXPECT_EQ(Line({.client = "c", .request_line = "GET /32 HTTP/1.1", .status = 200, .body_bytes = 0}),
            begin + R"("GET /32 HTTP/1.1" 200 0)");
  EXPECT_EQ(Line({.client = "c", .request_line = R"(GET /"a\b)", .status = 404, .body_bytes = 5'000'000'000}),
            begin + R"("GET /\"a\\b" 404 5000000000)");
  EXPECT_EQ(Line({}), R"(- - - [21/Nov/2026:07:08:51 +0000] "-" - -)");
}

TEST(AccessLogTest, KnowsTheTwelveMonthsAndGoesByUtc) {
  ::setenv("TZ", "EST5", 1);
  ::tzset();
  std::string months;
  for (int month = 0; month < 12; ++month) {
    std::tm date{};
    date.tm_year = 100;
    date.tm_mon = month;
    date.tm_mday = 5;
    months += Line({}, ::timegm(&date)).substr(7, 15);
  }
  ::unsetenv("TZ");
  ::tzset();
  EXPECT_EQ(months,
            "05/Jan/2000:00:05/Feb/2000:00:05/Mar/2000:00:05/Apr/2000:00:05/May/2000:00:05/Jun/2000:00:"
            "05/Jul/2000:00:05/Aug/2000:00:05/Sep/2000:00:05/Oct/2000:00:05/Nov/2000:00:05/Dec/2000:00:");
}

}  // namespace
}  // namespace dockercoins
