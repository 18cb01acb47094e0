#include "common/listen.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <fstream>

#include "common/settings.h"
#include "tests/unit/sockets.h"

namespace dockercoins {
namespace {

/// Why Listen fails; empty when it does not.
std::string Failure(const std::string& address, uint16_t port) {
  try {
    (void)Listen(address, port);
  } catch (const StartError& error) {
    return error.what();
  }
  return "";
}

TEST(ListenTest, TakesAFreePortOfTheAddressThatIsAskedFor) {
  const ListenSocket first = Listen("127.0.0.1", 0);
  EXPECT_NE(Listen("127.0.0.1", 0).port, first.port);
  EXPECT_TRUE(Connect(TcpSocket(), first.port));
  EXPECT_FALSE(Connect(TcpSocket(), Listen("127.0.0.2", 0).port));
}

TEST(ListenTest, NeverSharesAPort) {
  const ListenSocket first = Listen("::", 0);
  const std::string port = std::to_string(first.port);
  EXPECT_EQ(Failure("::", first.port), "cannot listen on port " + port + " of ::: Address already in use");
  EXPECT_EQ(Failure("0.0.0.0", first.port),
            "cannot listen on port " + port + " of 0.0.0.0: Address already in use");
  EXPECT_EQ(Failure("192.0.2.1", 0), "cannot listen on port 0 of 192.0.2.1: Cannot assign requested address");
  int shared = -1;
  socklen_t size = sizeof(shared);
  ::getsockopt(first.fd.get(), SOL_SOCKET, SO_REUSEPORT, &shared, &size);
  EXPECT_EQ(shared, 0);
}

TEST(ListenTest, MayListenAgainOnAPortWhoseOldConnectionsLinger) {
  ListenSocket first = Listen("127.0.0.1", 0);
  const UniqueFd client = ConnectTo(first.port);
  UniqueFd served(::accept4(first.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(served);
  // The side that closes first keeps the port in TIME_WAIT.
  served.Reset();
  EXPECT_TRUE(AwaitClosed(client));
  first.fd.Reset();
  EXPECT_EQ(Listen("127.0.0.1", first.port).port, first.port);
}

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
