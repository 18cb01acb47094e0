#include "common/process_stats.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <vector>

#include "common/unique_fd.h"

namespace dockercoins {
namespace {

TEST(ProcessStatsTest, CountsOpenFileDescriptors) {
  const auto before = ReadProcessStats().open_fds;
  std::vector<UniqueFd> files;
  for (int i = 0; i < 5; ++i) files.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(before);
  EXPECT_EQ(ReadProcessStats().open_fds, *before + 5);
}

TEST(ProcessStatsTest, TellsTheMemoryThatIsInUse) {
  constexpr size_t kBytes = size_t{64} * 1024 * 1024;
  const auto before = ReadProcessStats().resident_bytes;
  const std::vector<char> memory(kBytes, 'x');
  const auto after = ReadProcessStats().resident_bytes;
  ASSERT_TRUE(before && after);
  EXPECT_GE(*after, *before + kBytes / 2);
}

TEST(ProcessStatsTest, CpuTimeGrowsWithWork) {
  const auto before = ReadProcessStats().cpu_time;
  EXPECT_GT(before.count(), 0);
  while (ReadProcessStats().cpu_time < before + std::chrono::milliseconds(20)) {
  }
}

}  // namespace
}  // namespace dockercoins
