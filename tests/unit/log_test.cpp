#include "common/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <csignal>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "common/unique_fd.h"
#include "tests/unit/captured_log.h"
#include "tests/unit/sockets.h"

namespace dockercoins {
namespace {

using ::testing::ElementsAre;

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

Pipe MakePipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  return {.read_end = UniqueFd(ends[0]), .write_end = UniqueFd(ends[1])};
}

TEST(LogTest, WritesTheLevelsAsTheOriginalWorkerDoes) {
  CapturedLog log("worker", /*debug=*/true);
  log.log().Debug("No coin found");
  log.log().Info("4 units of work done, updating hash counter");
  log.log().Warning("No admin port");
  log.log().Error("In work loop: redis:6379: connection refused");
  EXPECT_THAT(log.Lines(), ElementsAre("DEBUG:worker:No coin found",
                                       "INFO:worker:4 units of work done, updating hash counter",
                                       "WARNING:worker:No admin port",
                                       "ERROR:worker:In work loop: redis:6379: connection refused"));
}

TEST(LogTest, WritesNoDebugLinesUnlessAskedTo) {
  CapturedLog log("worker");
  log.log().Debug("Doing one unit of work");
  EXPECT_EQ(log.Text(), "");
}

TEST(LogTest, WritesPlainLinesWithoutLevelAndName) {
  CapturedLog log("rng");
  log.log().Line("RNG running on port 80");
  EXPECT_EQ(log.Text(), "RNG running on port 80\n");
}

TEST(LogTest, KeepsAnEventOnOneLine) {
  CapturedLog log("worker");
  log.log().Error("a\r\nINFO:worker:forged");
  EXPECT_EQ(log.Text(), "ERROR:worker:a\\x0d\\x0aINFO:worker:forged\n");
}

TEST(LogTest, HasWrittenTheLineWhenTheCallReturns) {
  const Pipe pipe = MakePipe();
  Log log("rng", false, pipe.write_end.get());
  log.Line("now");
  ASSERT_TRUE(IsReadable(pipe.read_end));
  std::array<char, 16> buffer{};
  EXPECT_EQ(::read(pipe.read_end.get(), buffer.data(), buffer.size()), 4);
  EXPECT_STREQ(buffer.data(), "now\n");
}

TEST(LogTest, KeepsTheLinesOfThreadsApart) {
  constexpr size_t kThreads = 4;
  constexpr size_t kLinesEach = 20;
  // Longer than what a pipe takes at once: such a line needs several writes.
  constexpr size_t kLineSize = 100'000;
  Pipe pipe = MakePipe();
  Log log("rng", false, pipe.write_end.get());

  std::string text;
  std::jthread reader([&] {
    std::array<char, 65536> buffer{};
    ssize_t count = 0;
    while ((count = ::read(pipe.read_end.get(), buffer.data(), buffer.size())) > 0) {
      text.append(buffer.data(), static_cast<size_t>(count));
    }
  });
  {
    std::vector<std::jthread> writers;
    for (size_t i = 0; i < kThreads; ++i) {
      writers.emplace_back([&log, i] {
        const std::string line(kLineSize, static_cast<char>('a' + i));
        for (size_t n = 0; n < kLinesEach; ++n) log.Line(line);
      });
    }
  }
  pipe.write_end.Reset();
  reader.join();

  std::map<std::string, size_t> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    ++lines[text.substr(begin, end - begin)];
    begin = end + 1;
  }
  std::map<std::string, size_t> expected;
  for (size_t i = 0; i < kThreads; ++i)
    expected[std::string(kLineSize, static_cast<char>('a' + i))] = kLinesEach;
  EXPECT_TRUE(lines == expected) << "lines are mixed";
}

TEST(LogTest, GoesOnWhenNobodyReadsAnyMore) {
  std::signal(SIGPIPE, SIG_IGN);
  Pipe pipe = MakePipe();
  Log log("rng", false, pipe.write_end.get());
  pipe.read_end.Reset();
  log.Line("nobody hears this");
  log.Info("nor this");
}

TEST(EscapedTest, WritesControlCharactersAndWhatIsNotAsciiAsHex) {
  EXPECT_EQ(Escaped("GET /a b~ HTTP/1.1"), "GET /a b~ HTTP/1.1");
  EXPECT_EQ(Escaped("\n\t\x1b\x7f"), "\\x0a\\x09\\x1b\\x7f");
  EXPECT_EQ(Escaped("\xc3\xa4\xff"), "\\xc3\\xa4\\xff");
  EXPECT_EQ(Escaped(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(Escaped(""), "");
}

}  // namespace
}  // namespace dockercoins
