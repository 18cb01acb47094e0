#include "common/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <csignal>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "common/unique_fd.h"
#include "tests/unit/captured_log.h"

namespace dockercoins {
namespace {

TEST(LogTest, WritesTheLevelsAsTheOriginalWorkerDoes) {
  for (const bool debug : {false, true}) {
    CapturedLog log("worker", debug);
    EXPECT_EQ(log.log().WritesDebug(), debug);
    log.log().Debug("No coin found");
    log.log().Info("4 units of work done, updating hash counter");
    log.log().Warning("No admin port");
    log.log().Error("In work loop: a\r\nINFO:worker:forged");
    log.log().Line("RNG running on port 80");
    EXPECT_EQ(log.Text(), std::string(debug ? "DEBUG:worker:No coin found\n" : "") +
                              "INFO:worker:4 units of work done, updating hash counter\n"
                              "WARNING:worker:No admin port\n"
                              "ERROR:worker:In work loop: a\\x0d\\x0aINFO:worker:forged\n"
                              "RNG running on port 80\n");
  }
}

TEST(LogTest, KeepsTheLinesOfThreadsApartEvenIfSignalsInterruptThem) {
  constexpr size_t kThreads = 4;
  constexpr size_t kLinesEach = 20;
  // Longer than a pipe: such a line needs several writes.
  constexpr size_t kLineSize = 100'000;
  struct sigaction interrupting{};
  interrupting.sa_handler = [](int) {};
  ::sigaction(SIGUSR1, &interrupting, nullptr);
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  Log log("rng", false, write_end.get());

  std::map<std::string, size_t> expected;
  std::atomic<size_t> writing = kThreads;
  std::vector<std::jthread> writers;
  for (size_t i = 0; i < kThreads; ++i) {
    const std::string line(kLineSize, static_cast<char>('a' + i));
    expected[line] = kLinesEach;
    writers.emplace_back([&log, &writing, line] {
      for (size_t n = 0; n < kLinesEach; ++n) log.Line(line);
      --writing;
    });
  }
  std::stringstream text;
  std::jthread reader([&] {
    std::array<char, 65536> buffer{};
    ssize_t count = 0;
    while ((count = ::read(read_end.get(), buffer.data(), buffer.size())) > 0)
      text.write(buffer.data(), count);
  });
  while (writing > 0) {
    for (std::jthread& writer : writers) ::pthread_kill(writer.native_handle(), SIGUSR1);
  }
  writers.clear();
  write_end.Reset();
  reader.join();

  std::map<std::string, size_t> lines;
  for (std::string line; std::getline(text, line);) ++lines[line];
  EXPECT_TRUE(lines == expected) << "lines are mixed or lost";
}

TEST(EscapedTest, WritesControlCharactersAndWhatIsNotAsciiAsHex) {
  EXPECT_EQ(Escaped("GET /a b~ HTTP/1.1"), "GET /a b~ HTTP/1.1");
  EXPECT_EQ(Escaped("\n\t\x1b\x1f\x7f"), "\\x0a\\x09\\x1b\\x1f\\x7f");
  EXPECT_EQ(Escaped("\xc3\xa4\xff"), "\\xc3\\xa4\\xff");
  EXPECT_EQ(Escaped(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(Escaped(""), "");
}

}  // namespace
}  // namespace dockercoins
