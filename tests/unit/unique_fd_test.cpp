#include "common/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace dockercoins {
namespace {

UniqueFd OpenNull() { return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

bool IsOpen(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(UniqueFdTest, MovesOwnershipAndClosesWhatItReplacesAndWhatItOwnsAtTheEnd) {
  UniqueFd first = OpenNull();
  UniqueFd second = OpenNull();
  const int replaced = first.get();
  const int kept = second.get();
  EXPECT_TRUE(first);
  EXPECT_TRUE(IsOpen(replaced));
  first = std::move(second);
  EXPECT_FALSE(second);  // NOLINT(bugprone-use-after-move,clang-analyzer-cplusplus.Move): it is promised
  EXPECT_FALSE(IsOpen(replaced));
  {
    const UniqueFd third(std::move(first));
    EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move,clang-analyzer-cplusplus.Move): it is promised
    EXPECT_EQ(third.get(), kept);
    EXPECT_TRUE(IsOpen(kept));
  }
  EXPECT_FALSE(IsOpen(kept));
}

TEST(UniqueFdTest, ReleaseLeavesItOpenAndResetClosesItOnce) {
  UniqueFd owner = OpenNull();
  const int fd = owner.Release();
  EXPECT_FALSE(owner);
  EXPECT_TRUE(IsOpen(fd));
  owner = UniqueFd(fd);
  owner.Reset();
  EXPECT_FALSE(owner);
  EXPECT_FALSE(IsOpen(fd));
  const UniqueFd reused = OpenNull();  // Most likely gets the same number.
  owner.Reset();
  EXPECT_TRUE(IsOpen(reused.get()));
}

}  // namespace
}  // namespace dockercoins
