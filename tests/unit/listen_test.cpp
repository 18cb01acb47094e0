#include "common/listen.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>

#include "common/settings.h"
#include "tests/unit/sockets.h"

namespace dockercoins {
namespace {

using ::testing::HasSubstr;

/// Why Listen fails; empty when it does not.
std::string Failure(const std::string& address, uint16_t port) {
  try {
    (void)Listen(address, port);
  } catch (const StartError& error) {
    return error.what();
  }
  return "";
}

bool HasIpv6() {
  const UniqueFd fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 loopback{};
  loopback.sin6_family = AF_INET6;
  loopback.sin6_addr = in6addr_loopback;
  return fd && ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&loopback), sizeof(loopback)) == 0;
}

TEST(ListenTest, TakesAFreePortAndSaysWhich) {
  const ListenSocket first = Listen("127.0.0.1", 0);
  const ListenSocket second = Listen("127.0.0.1", 0);
  EXPECT_NE(first.port, 0);
  EXPECT_NE(second.port, first.port);
  EXPECT_TRUE(Connect(TcpSocket(), first.port));
}

TEST(ListenTest, TakesThePortThatIsAskedFor) {
  uint16_t port = 0;
  {
    const ListenSocket free_one = Listen("127.0.0.1", 0);
    port = free_one.port;
  }
  const ListenSocket again = Listen("127.0.0.1", port);
  EXPECT_EQ(again.port, port);
  EXPECT_TRUE(Connect(TcpSocket(), port));
}

TEST(ListenTest, AllAddressesAreIpv4AndIpv6) {
  const ListenSocket all = Listen("::", 0);
  EXPECT_TRUE(Connect(TcpSocket(), all.port));
  if (!HasIpv6()) GTEST_SKIP() << "no IPv6 here";
  const UniqueFd ipv6(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  address.sin6_port = htons(all.port);
  EXPECT_EQ(::connect(ipv6.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
}

TEST(ListenTest, ListensOnTheOneAddressThatIsAskedFor) {
  const ListenSocket other = Listen("127.0.0.2", 0);
  EXPECT_FALSE(Connect(TcpSocket(), other.port));
}

TEST(ListenTest, SaysWhichPortIsTaken) {
  const ListenSocket taken = Listen("127.0.0.1", 0);
  EXPECT_EQ(Failure("127.0.0.1", taken.port),
            "cannot listen on port " + std::to_string(taken.port) + " of 127.0.0.1: Address already in use");
}

TEST(ListenTest, NeverSharesAPort) {
  const ListenSocket first = Listen("::", 0);
  EXPECT_NE(Failure("::", first.port), "");
  EXPECT_NE(Failure("0.0.0.0", first.port), "");
  int shared = -1;
  socklen_t size = sizeof(shared);
  ::getsockopt(first.fd.get(), SOL_SOCKET, SO_REUSEPORT, &shared, &size);
  EXPECT_EQ(shared, 0);
}

TEST(ListenTest, FailsOnAnAddressOfAnotherMachine) {
  EXPECT_THAT(Failure("192.0.2.1", 0), HasSubstr("of 192.0.2.1: Cannot assign requested address"));
}

TEST(ListenTest, MayListenAgainWhileOldConnectionsLinger) {
  ListenSocket first = Listen("127.0.0.1", 0);
  const uint16_t port = first.port;
  UniqueFd client = ConnectTo(port);
  UniqueFd served(::accept4(first.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(served);
  // The side that closes first keeps the port in TIME_WAIT.
  served.Reset();
  EXPECT_TRUE(AwaitClosed(client));
  client.Reset();
  first.fd.Reset();
  EXPECT_EQ(Failure("127.0.0.1", port), "");
}

TEST(ListenTest, DoesNotBlockWhenNobodyConnects) {
  const ListenSocket socket = Listen("127.0.0.1", 0);
  EXPECT_NE(::fcntl(socket.fd.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(::fcntl(socket.fd.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(ListenTest, KeepsAHundredConnectionsThatNobodyHasAcceptedYet) {
  const ListenSocket socket = Listen("127.0.0.1", 0);
  std::array<UniqueFd, 100> clients;
  for (UniqueFd& client : clients) client = ConnectTo(socket.port);
  for (size_t i = 0; i < clients.size(); ++i) {
    EXPECT_TRUE(UniqueFd(::accept4(socket.fd.get(), nullptr, nullptr, SOCK_CLOEXEC)));
  }
}

}  // namespace
}  // namespace dockercoins
