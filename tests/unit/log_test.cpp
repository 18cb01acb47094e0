#include "common/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>

#include "common/unique_fd.h"
#include "common/wait.h"
#include "tests/unit/timing.h"

namespace dockercoins {
namespace {

/// A log on a pipe that nobody reads yet.
class UnreadLog {
 public:
  explicit UnreadLog(int flags) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    reader_ = UniqueFd(ends[0]);
    writer_ = UniqueFd(ends[1]);
    EXPECT_EQ(::fcntl(writer_.get(), F_SETFL, flags), 0);
    log_ = std::make_unique<Log>("rng", false, writer_.get());
  }

  /// Logs these numbers, each in a line of `kLine` bytes.
  void Write(int from, int to) {
    for (int number = from; number < to; ++number) Line(Numbered(number));
  }
  void Line(const std::string& text) { log_->Line(text); }
  void End() { log_.reset(); }

  /// Reads up to and including the line that ends so.
  std::string ReadTo(const std::string& end) {
    std::string text;
    std::array<char, 4096> buffer{};
    while (!text.ends_with(end + "\n") &&
           PollUntil(reader_.get(), POLLIN, Stopwatch::Clock::now() + kPatience) != 0) {
      const ssize_t count = ::read(reader_.get(), buffer.data(), buffer.size());
      if (count <= 0) break;
      text.append(buffer.data(), static_cast<size_t>(count));
    }
    return text;
  }

  static constexpr int kLine = 5000;  ///< More than a pipe takes at once.
  static std::string Numbered(int number) {
    std::string digits = std::to_string(number);
    return std::string(kLine - 1 - digits.size(), '.') + digits;
  }

  static std::string Lines(int from, int to) {
    std::string lines;
    for (int number = from; number < to; ++number) lines += Numbered(number) + "\n";
    return lines;
  }

 private:
  UniqueFd reader_;
  UniqueFd writer_;
  std::unique_ptr<Log> log_;
};

TEST(LogTest, KeepsWhatThereIsNoRoomForAndNobodyWaits) {
  for (const int flags : {O_NONBLOCK, 0}) {
    UnreadLog log(flags);
    const Stopwatch watch;
    log.Write(0, 60);  // A pipe holds 64 KiB.
    EXPECT_LT(watch.Elapsed(), kPatience / 2);
    ASSERT_EQ(log.ReadTo("59"), UnreadLog::Lines(0, 60));
    log.Write(60, 70);
    EXPECT_EQ(log.ReadTo("69"), UnreadLog::Lines(60, 70)) << "and it goes on as before";
    log.Write(70, 200);
    log.End();
    EXPECT_LT(watch.Elapsed(), kPatience) << "its end waits for nobody";
  }
}

TEST(LogTest, SaysHowManyLinesItCouldNotKeep) {
  for (const int flags : {O_NONBLOCK, 0}) {
    UnreadLog log(flags);
    log.Write(0, 200);
    const std::string text = log.ReadTo("it was not read");
    const auto kept = static_cast<int>(text.find("WARNING")) / UnreadLog::kLine;
    EXPECT_GE(kept, 256 * 1024 / UnreadLog::kLine);
    EXPECT_LE(kept, (256 + 64) * 1024 / UnreadLog::kLine + 1);
    EXPECT_EQ(text, UnreadLog::Lines(0, kept) + "WARNING:rng:" + std::to_string(200 - kept) +
                        " lines of this log are lost: it was not read\n");
    for (const int lost : {1, 2}) {
      log.Write(0, 20);
      log.Line(std::string(300 * 1024, '.'));
      if (lost == 2) log.Line("There is room for this one, but its place is behind the other.");
      EXPECT_EQ(log.ReadTo("it was not read"), UnreadLog::Lines(0, 20) +
                                                   "WARNING:rng:" + std::to_string(lost) +
                                                   " lines of this log are lost: it was not read\n");
    }
  }
}

}  // namespace
}  // namespace dockercoins
