#include "common/http/chunked_body.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>

namespace dockercoins {
namespace {

/// The body in `bytes`, of which a read gives at most `at_once`, then [end], or [refused]; and what is left.
std::string Read(const std::string& text, size_t at_once = 1000) {
  std::string_view bytes = text;
  std::string body;
  const bool whole = ReadChunks(
      [&](char* data, size_t size) {
        const size_t count = bytes.copy(data, std::min(size, at_once));
        bytes.remove_prefix(count);
        return static_cast<ssize_t>(count);
      },
      [&](const char* data, size_t size) {
        body.append(data, size);
        return body != "stop";
      });
  return body + (whole ? "[end]" : "[refused]") + std::string(bytes);
}

TEST(ReadChunksTest, HandsOverTheBodyAndLeavesWhatFollowsIt) {
  for (const size_t at_once : {1U, 2U, 1000U}) {
    EXPECT_EQ(Read("5\r\nhello\r\n0\r\n\r\nmore", at_once), "hello[end]more");
    EXPECT_EQ(
        Read("00002\r\nhe\r\n3;a=\"b;c\";d\r\nl\r\n\r\n0 ;x\r\nX: y\r\nContent-Length: 3\r\n\r\n", at_once),
        "hel\r\n[end]");
  }
  EXPECT_EQ(Read("aB\r\n" + std::string(171, 'x') + "\r\n0\r\n\r\n"), std::string(171, 'x') + "[end]");
}

TEST(ReadChunksTest, RefusesWhatEndsEarlyOrIsNotWanted) {
  const std::string good = "5\r\nhello\r\n0\r\nX: y\r\n\r\n";
  for (size_t size = 0; size < good.size(); ++size)
    EXPECT_TRUE(Read(good.substr(0, size)).ends_with("[refused]")) << size;
  EXPECT_EQ(Read("4\r\nstop\r\n0\r\n\r\n"), "stop[refused]\r\n0\r\n\r\n");
}

TEST(ReadChunksTest, RefusesWhatCouldBeReadInTwoWays) {
  for (const char* size : {"", "x", "-5", "+5", "0x5", " 5", "5 ", "5 5", "5,5", "5\t", "5\r", "5;\x01",
                           "5;a\rb", "10000000000000000", "5\n", "5x\n"}) {
    EXPECT_EQ(Read(std::string(size) + "\r\nhello\r\n0\r\n\r\n").substr(0, 9), "[refused]") << size;
  }
  for (const char* size : {"", ";x", "10000000000000000"})
    EXPECT_EQ(Read(std::string(size) + "\r\n\r\n"), "[refused]\r\n") << size;
  for (const char* rest : {"5\r\nhello0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello!\r\n0\r\n\r\n",
                           "5\r\nhello\r\n0\r\nno header\r\n\r\n", "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
                           "5\r\nhello\r\n0\n\r\n"}) {
    EXPECT_EQ(Read(rest).substr(0, 14), "hello[refused]") << rest;
  }
}

TEST(ReadChunksTest, TakesAnyNumberOfChunksButLittleBesidesTheirSizes) {
  const auto repeated = [](size_t count, const std::string& text) {
    std::string all;
    for (size_t i = 0; i < count; ++i) all += text;
    return all;
  };
  EXPECT_TRUE(Read(repeated(20'000, "0000001\r\nx\r\n") + "0\r\n\r\n").ends_with("[end]"));
  EXPECT_TRUE(
      Read(repeated(10, "1;" + std::string(1'500, 'x') + "\r\nx\r\n") + "0\r\n\r\n").ends_with("[end]"));
  EXPECT_TRUE(Read("1;" + std::string(17'000, 'x') + "\r\nx\r\n0\r\n\r\n").starts_with("[refused]"));
  EXPECT_TRUE(
      Read(repeated(200, "1;" + std::string(100, 'x') + "\r\nx\r\n") + "0\r\n\r\n").find("[refused]") !=
      std::string::npos);
  EXPECT_EQ(Read("0\r\n" + repeated(100, "X: y\r\n") + "\r\n"), "[end]");
  EXPECT_TRUE(Read("0\r\n" + repeated(101, "X: y\r\n") + "\r\n").starts_with("[refused]"));
}

}  // namespace
}  // namespace dockercoins
