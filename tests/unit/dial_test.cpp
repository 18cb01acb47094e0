#include "common/dial.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/unit/eventually.h"
#include "tests/unit/fake_resolver.h"
#include "tests/unit/gate.h"
#include "tests/unit/sockets.h"
#include "tests/unit/stopwatch.h"

namespace dockercoins {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Why Dial fails; empty when it does not.
std::string Failure(const Endpoint& server, milliseconds timeout, std::stop_token stop = {}) {
  try {
    (void)Dial(server, timeout, std::move(stop));
  } catch (const UnreachableError& error) {
    return error.what();
  }
  return "";
}

/// What `make` makes; it may fail a few times, because it needs a port to be free on several addresses.
template <typename Make>
auto Retried(Make make) {
  for (int tries = 0;; ++tries) {
    try {
      return make();
    } catch (const std::runtime_error&) {
      if (tries == 20) throw;
    }
  }
}

/// The last number of the IPv4 address that `fd` is connected to.
int LastNumberOfPeer(const UniqueFd& fd) {
  sockaddr_in peer{};
  socklen_t size = sizeof(peer);
  ::getpeername(fd.get(), reinterpret_cast<sockaddr*>(&peer), &size);
  return static_cast<int>(ntohl(peer.sin_addr.s_addr) & 0xff);
}

TEST(DialTest, ConnectsToAnAddress) {
  const ListenSocket listener = Listen("127.0.0.1", 0);
  const UniqueFd fd = Dial({.host = "127.0.0.1", .port = listener.port}, seconds(5), {});
  ASSERT_TRUE(fd);
  EXPECT_EQ(::fcntl(fd.get(), F_GETFL) & O_NONBLOCK, 0) << "a blocking socket is promised";
  EXPECT_NE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0);
  const UniqueFd accepted(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(accepted);
  EXPECT_TRUE(Send(accepted, "x"));
  EXPECT_EQ(Receive(fd, 1), "x");
}

TEST(DialTest, ConnectsToAName) {
  const ListenSocket listener = Listen("127.0.0.1", 0);
  const FakeResolver resolver("rng", [] { return std::vector<std::string>{"127.0.0.1"}; });
  EXPECT_TRUE(Dial({.host = "rng", .port = listener.port}, seconds(5), {}));
}

TEST(DialTest, SaysWhoRefused) {
  const ClosedPort closed;
  EXPECT_EQ(Failure({.host = "127.0.0.1", .port = closed.port()}, seconds(5)),
            "127.0.0.1:" + std::to_string(closed.port()) + ": connection refused");
}

TEST(DialTest, SaysWhichNetworkCannotBeReached) {
  // TCP knows no broadcast.
  EXPECT_EQ(Failure({.host = "255.255.255.255", .port = 80}, seconds(5)),
            "255.255.255.255:80: network is unreachable");
}

TEST(DialTest, SaysWhichNameIsNotKnown) {
  const FakeResolver resolver("rng", [] { return std::vector<std::string>(); });
  EXPECT_EQ(Failure({.host = "rng", .port = 80}, seconds(5)), "rng:80: name or service not known");
}

TEST(DialTest, GivesUpWhenItsTimeIsOver) {
  const FullListener full;
  const Stopwatch watch;
  EXPECT_EQ(Failure({.host = "127.0.0.1", .port = full.port()}, milliseconds(150)),
            "127.0.0.1:" + std::to_string(full.port()) + ": connection timed out");
  EXPECT_GE(watch.Elapsed(), milliseconds(150));
}

TEST(DialTest, GivesUpOnALookupWhenItsTimeIsOver) {
  const auto gate = std::make_shared<Gate>();
  const FakeResolver resolver("rng", [gate] {
    gate->Pass();
    return std::vector<std::string>{"127.0.0.1"};
  });
  EXPECT_EQ(Failure({.host = "rng", .port = 80}, milliseconds(50)), "rng:80: name resolution timed out");
  gate->Open();
}

TEST(DialTest, AStopInterruptsTheConnecting) {
  const FullListener full;
  std::stop_source stop;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(milliseconds(50));  // So that it has begun; the outcome is the same if not.
    stop.request_stop();
  });
  const Stopwatch watch;
  EXPECT_EQ(Failure({.host = "127.0.0.1", .port = full.port()}, kPatience, stop.get_token()),
            "127.0.0.1:" + std::to_string(full.port()) + ": interrupted");
  EXPECT_LT(watch.Elapsed(), kPatience / 2);
}

TEST(DialTest, AStopLeavesALookupBehind) {
  const auto gate = std::make_shared<Gate>();
  const FakeResolver resolver("rng", [gate] {
    gate->Pass();
    return std::vector<std::string>{"127.0.0.1"};
  });
  std::stop_source stop;
  std::jthread stopper([&] {
    if (gate->AwaitArrived(1)) stop.request_stop();
  });
  const Stopwatch watch;
  EXPECT_EQ(Failure({.host = "rng", .port = 80}, kPatience, stop.get_token()), "rng:80: interrupted");
  EXPECT_LT(watch.Elapsed(), kPatience / 2);
  gate->Open();
}

TEST(DialTest, DoesNotBeginOnceStopped) {
  const ListenSocket listener = Listen("127.0.0.1", 0);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(Failure({.host = "127.0.0.1", .port = listener.port}, seconds(5), stop.get_token()),
            "127.0.0.1:" + std::to_string(listener.port) + ": interrupted");
}

TEST(DialTest, LooksTheNameUpAnewEachTime) {
  const ListenSocket listener = Listen("127.0.0.1", 0);
  const auto lookups = std::make_shared<std::atomic<int>>(0);
  const FakeResolver resolver("rng", [lookups] {
    ++*lookups;
    return std::vector<std::string>{"127.0.0.1"};
  });
  for (int i = 1; i <= 3; ++i) {
    EXPECT_TRUE(Dial({.host = "rng", .port = listener.port}, seconds(5), {}));
    EXPECT_EQ(*lookups, i);
  }
}

TEST(DialTest, GivesEveryReplicaItsShareWhateverTheResolversOrder) {
  const auto replicas = Retried([] {
    std::array<ListenSocket, 3> sockets;
    sockets[0] = Listen("127.0.0.1", 0);
    sockets[1] = Listen("127.0.0.2", sockets[0].port);
    sockets[2] = Listen("127.0.0.3", sockets[0].port);
    return sockets;
  });
  const FakeResolver resolver("rng",
                              [] { return std::vector<std::string>{"127.0.0.1", "127.0.0.2", "127.0.0.3"}; });
  std::map<int, int> connections;
  // 40 of 120 are expected for each; fewer than 10 practically never happens.
  for (int i = 0; i < 120; ++i) {
    ++connections[LastNumberOfPeer(Dial({.host = "rng", .port = replicas[0].port}, seconds(5), {}))];
  }
  EXPECT_GE(connections[1], 10);
  EXPECT_GE(connections[2], 10);
  EXPECT_GE(connections[3], 10);
}

TEST(DialTest, TriesTheNextAddressWhenOneRefuses) {
  const auto [listener, first, second] = Retried([] {
    ListenSocket socket = Listen("127.0.0.3", 0);
    ClosedPort one("127.0.0.1", socket.port);
    ClosedPort another("127.0.0.2", socket.port);
    return std::tuple(std::move(socket), std::move(one), std::move(another));
  });
  const FakeResolver resolver("rng",
                              [] { return std::vector<std::string>{"127.0.0.1", "127.0.0.2", "127.0.0.3"}; });
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(LastNumberOfPeer(Dial({.host = "rng", .port = listener.port}, seconds(5), {})), 3);
  }
}

TEST(DialTest, ADeadReplicaDoesNotUseUpTheTimeOfTheOthers) {
  const auto [dead, alive] = Retried([] {
    FullListener full("127.0.0.1");
    ListenSocket listening = Listen("127.0.0.2", full.port());
    return std::pair(std::move(full), std::move(listening));
  });
  const FakeResolver resolver("rng", [] { return std::vector<std::string>{"127.0.0.1", "127.0.0.2"}; });
  // The dead one comes first every second time.
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(LastNumberOfPeer(Dial({.host = "rng", .port = dead.port()}, milliseconds(300), {})), 2);
  }
}

TEST(DialTest, LeavesNoDescriptorBehind) {
  const ClosedPort closed;
  const int before = ::dup(0);
  ::close(before);
  for (int i = 0; i < 5; ++i)
    EXPECT_NE(Failure({.host = "127.0.0.1", .port = closed.port()}, seconds(5)), "");
  const int after = ::dup(0);
  ::close(after);
  EXPECT_EQ(after, before);
}

TEST(ErrorTextTest, IsInLowerCase) { EXPECT_EQ(ErrorText(ECONNREFUSED), "connection refused"); }

}  // namespace
}  // namespace dockercoins
