#include "common/listen.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <fstream>

namespace dockercoins {
namespace {

TEST(ListenTest, DoesNotBlockAndHasRoomForAThousandWorkersThatConnectTogether) {
  const ListenSocket socket = Listen("127.0.0.1", 0);
  EXPECT_NE(::fcntl(socket.fd.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(::fcntl(socket.fd.get(), F_GETFD) & FD_CLOEXEC, 0);
  uint32_t most = 0;
  std::ifstream("/proc/sys/net/core/somaxconn") >> most;
  tcp_info info{};
  socklen_t size = sizeof(info);
  ::getsockopt(socket.fd.get(), IPPROTO_TCP, TCP_INFO, &info, &size);
  EXPECT_EQ(info.tcpi_sacked, std::min(most, uint32_t{1024})) << "the backlog, for a socket that listens";
}

}  // namespace
}  // namespace dockercoins
