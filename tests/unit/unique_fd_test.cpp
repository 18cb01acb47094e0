#include "common/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace dockercoins {
namespace {

int OpenNull() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

bool IsOpen(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(UniqueFdTest, ClosesAtTheEnd) {
  const int fd = OpenNull();
  {
    const UniqueFd owner(fd);
    EXPECT_TRUE(owner);
    EXPECT_EQ(owner.get(), fd);
    EXPECT_TRUE(IsOpen(fd));
  }
  EXPECT_FALSE(IsOpen(fd));
}

TEST(UniqueFdTest, MovesOwnership) {
  UniqueFd from(OpenNull());
  const int fd = from.get();
  const UniqueFd to(std::move(from));
  EXPECT_FALSE(from);  // NOLINT(bugprone-use-after-move,clang-analyzer-cplusplus.Move): it is promised
  EXPECT_EQ(to.get(), fd);
  EXPECT_TRUE(IsOpen(fd));
}

TEST(UniqueFdTest, ClosesWhatAnAssignmentReplaces) {
  UniqueFd owner(OpenNull());
  const int replaced = owner.get();
  UniqueFd other(OpenNull());
  const int kept = other.get();
  owner = std::move(other);
  EXPECT_FALSE(IsOpen(replaced));
  EXPECT_EQ(owner.get(), kept);
  EXPECT_TRUE(IsOpen(kept));
}

TEST(UniqueFdTest, ReleaseLeavesItOpen) {
  UniqueFd owner(OpenNull());
  const int fd = owner.Release();
  EXPECT_FALSE(owner);
  EXPECT_TRUE(IsOpen(fd));
  const UniqueFd closer(fd);
}

TEST(UniqueFdTest, ResetClosesNowAndOnce) {
  UniqueFd owner(OpenNull());
  const int fd = owner.get();
  owner.Reset();
  EXPECT_FALSE(owner);
  EXPECT_FALSE(IsOpen(fd));
  const UniqueFd reused(OpenNull());  // Most likely the same number.
  owner.Reset();
  EXPECT_TRUE(IsOpen(reused.get()));
}

}  // namespace
}  // namespace dockercoins
