#include "common/dial.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "tests/unit/eventually.h"
#include "tests/unit/gate.h"
#include "tests/unit/sockets.h"
#include "tests/unit/stopwatch.h"

namespace dockercoins {
namespace {

using std::chrono::milliseconds;
using Addresses = std::vector<std::string>;

using LookUp = std::function<Addresses()>;

std::mutex mutex;
/// The names that the tests answer for: with numeric addresses in getaddrinfo's order, or none for "no such
/// name".
std::map<std::string, LookUp> names;

/// From now on `look_up` answers for this name. Each test has names of its own.
Endpoint Name(const std::string& name, uint16_t port, LookUp look_up) {
  const std::lock_guard lock(mutex);
  names[name] = std::move(look_up);
  return {.host = name, .port = port};
}

LookUp Find(const char* name) {
  const std::lock_guard lock(mutex);
  const auto found = names.find(name);
  return found == names.end() ? nullptr : found->second;
}

/// Why a Dialer fails; empty when it does not.
std::string Failure(const Endpoint& server, milliseconds timeout = kPatience,
                    const std::stop_token& stop = {}) {
  try {
    (void)Dialer(server).Dial(timeout, stop);
  } catch (const UnreachableError& error) {
    return error.what();
  }
  return "";
}

/// The last number of the IPv4 address that it connects to.
int Reached(const Endpoint& server, milliseconds timeout = kPatience) {
  const UniqueFd fd = Dialer(server).Dial(timeout, {});
  sockaddr_in peer{};
  socklen_t size = sizeof(peer);
  ::getpeername(fd.get(), reinterpret_cast<sockaddr*>(&peer), &size);
  return static_cast<int>(ntohl(peer.sin_addr.s_addr) & 0xff);
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

TEST(DialTest, GivesABlockingSocket) {
  const ListenSocket listener = Listen("127.0.0.1", 0);
  const UniqueFd fd = Dialer({.host = "127.0.0.1", .port = listener.port}).Dial(kPatience, {});
  EXPECT_EQ(::fcntl(fd.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0);
  const UniqueFd accepted(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_TRUE(Send(accepted, "x"));
  EXPECT_EQ(Receive(fd, 1), "x");
}

TEST(DialTest, SaysWhoCannotBeReachedAndWhyAndLeavesNoDescriptorBehind) {
  const ClosedPort closed;
  const Endpoint refusing{.host = "127.0.0.1", .port = closed.port()};
  const int before = ::dup(0);
  ::close(before);
  EXPECT_EQ(Failure(refusing), refusing.ToString() + ": connection refused");
  // TCP knows no broadcast.
  EXPECT_EQ(Failure({.host = "255.255.255.255", .port = 80}), "255.255.255.255:80: network is unreachable");
  EXPECT_EQ(Failure(Name("nobody", 80, [] { return Addresses(); })), "nobody:80: name or service not known");
  EXPECT_EQ(::dup(0), before);
  ::close(before);
  EXPECT_EQ(ErrorText(ECONNRESET), "connection reset by peer");
}

TEST(DialTest, GivesUpWhenItsTimeIsOver) {
  const FullListener full;
  const Endpoint silent{.host = "127.0.0.1", .port = full.port()};
  const Stopwatch watch;
  EXPECT_EQ(Failure(silent, milliseconds(150)), silent.ToString() + ": connection timed out");
  EXPECT_GE(watch.Elapsed(), milliseconds(150));
  EXPECT_LT(watch.Elapsed(), kPatience / 2);
}

TEST(DialTest, AStopEndsTheConnectingAtOnce) {
  const FullListener full;
  const Endpoint silent{.host = "127.0.0.1", .port = full.port()};
  std::stop_source stop;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(milliseconds(50));  // So that it has begun; the outcome is the same if not.
    stop.request_stop();
  });
  const Stopwatch watch;
  EXPECT_EQ(Failure(silent, kPatience, stop.get_token()), silent.ToString() + ": interrupted");
  EXPECT_EQ(Failure(silent, kPatience, stop.get_token()), silent.ToString() + ": interrupted") << "already";
  EXPECT_LT(watch.Elapsed(), kPatience / 2);
}

TEST(DialTest, ALookupThatHangsIsLeftBehindAtAStopOrWhenTheTimeIsOver) {
  const auto gate = std::make_shared<Gate>();
  const Endpoint hanging = Name("hanging", 80, [gate] { return gate->Pass(), Addresses{"127.0.0.1"}; });
  const Stopwatch watch;
  EXPECT_EQ(Failure(hanging, milliseconds(50)), "hanging:80: name resolution timed out");
  std::stop_source stop;
  std::jthread stopper([&] {
    if (gate->AwaitArrived(1)) stop.request_stop();
  });
  EXPECT_EQ(Failure(hanging, kPatience, stop.get_token()), "hanging:80: interrupted");
  EXPECT_LT(watch.Elapsed(), kPatience / 2);
  gate->Open();
}

TEST(DialTest, AnAddressThatIsNewBehindANameIsSoonFound) {
  const auto [first, second] = Retried([] {
    ListenSocket socket = Listen("127.0.0.1", 0);
    return std::tuple(std::move(socket), Listen("127.0.0.2", socket.port));
  });
  const auto moved = std::make_shared<std::atomic<bool>>(false);
  const Endpoint moving =
      Name("moving", first.port, [moved] { return Addresses{*moved ? "127.0.0.2" : "127.0.0.1"}; });
  EXPECT_EQ(Reached(moving), 1);
  *moved = true;
  EXPECT_TRUE(Eventually([&] { return Reached(moving) == 2; }));
}

TEST(DialTest, ALookupServesASecondAndKeepsItsThread) {
  const ListenSocket listener = Listen("127.0.0.1", 0);
  const auto threads = std::make_shared<std::vector<std::thread::id>>();
  Dialer dialer(Name("often", listener.port, [threads] {
    threads->push_back(std::this_thread::get_id());
    return Addresses{"127.0.0.1"};
  }));
  const Stopwatch watch;
  while (threads->size() < 3) {
    (void)dialer.Dial(kPatience, {});
    (void)UniqueFd(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  EXPECT_GT(watch.Elapsed(), milliseconds(2000));
  EXPECT_EQ(std::set(threads->begin(), threads->end()).size(), 1U);
}

TEST(DialTest, AHangingLookupIsNotAskedAgainAndItsAnswerIsUsed) {
  const ListenSocket listener = Listen("127.0.0.1", 0);
  const auto gate = std::make_shared<Gate>();
  Dialer dialer(Name("slow", listener.port, [gate] { return gate->Pass(), Addresses{"127.0.0.1"}; }));
  for (int i = 0; i < 3; ++i) EXPECT_THROW(dialer.Dial(milliseconds(20), {}), UnreachableError);
  EXPECT_EQ(gate->Arrived(), 1U);
  gate->Open();
  EXPECT_TRUE(dialer.Dial(kPatience, {}));
  EXPECT_EQ(gate->Arrived(), 1U);
}

TEST(DialTest, AfterSilenceItLooksUpAgainAndTriesANewAddress) {
  const auto [dead, alive] = Retried([] {
    FullListener full("127.0.0.1");
    return std::tuple(std::move(full), Listen("127.0.0.2", full.port()));
  });
  const auto lookups = std::make_shared<std::atomic<int>>(0);
  const Endpoint replaced = Name("replaced", dead.port(), [lookups] {
    return ++*lookups == 1 ? Addresses{"127.0.0.1"} : Addresses{"127.0.0.1", "127.0.0.2"};
  });
  const Stopwatch watch;
  EXPECT_EQ(Reached(replaced), 2);
  EXPECT_EQ(*lookups, 2);
  EXPECT_GE(watch.Elapsed(), milliseconds(1000)) << "one attempt";
  EXPECT_LT(watch.Elapsed(), milliseconds(2500));
}

TEST(DialTest, GivesEveryReplicaItsShareWhateverTheResolversOrder) {
  const auto [first, second, third] = Retried([] {
    ListenSocket socket = Listen("127.0.0.1", 0);
    return std::tuple(std::move(socket), Listen("127.0.0.2", socket.port), Listen("127.0.0.3", socket.port));
  });
  const Endpoint shared =
      Name("shared", first.port, [] { return Addresses{"127.0.0.1", "127.0.0.2", "127.0.0.3"}; });
  std::map<int, int> connections;
  // 40 of 120 are expected for each; fewer than 10 practically never happens.
  for (int i = 0; i < 120; ++i) ++connections[Reached(shared)];
  for (const int replica : {1, 2, 3}) EXPECT_GE(connections[replica], 10) << replica;
}

TEST(DialTest, TriesTheNextAddressWhenOneRefuses) {
  const auto [listener, first, second] = Retried([] {
    ListenSocket socket = Listen("127.0.0.3", 0);
    return std::tuple(std::move(socket), ClosedPort("127.0.0.1", socket.port),
                      ClosedPort("127.0.0.2", socket.port));
  });
  const Endpoint refusing =
      Name("refusing", listener.port, [] { return Addresses{"127.0.0.1", "127.0.0.2", "127.0.0.3"}; });
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Reached(refusing), 3);
}

TEST(DialTest, ADeadReplicaDoesNotUseUpTheTimeOfTheOthers) {
  const auto [dead, alive] = Retried([] {
    FullListener full("127.0.0.1");
    return std::tuple(std::move(full), Listen("127.0.0.2", full.port()));
  });
  const Endpoint half_dead =
      Name("half-dead", dead.port(), [] { return Addresses{"127.0.0.1", "127.0.0.2"}; });
  std::vector<std::jthread> dialling;
  // The dead one comes first every second time.
  for (int i = 0; i < 10; ++i) {
    dialling.emplace_back([&half_dead] { EXPECT_EQ(Reached(half_dead, milliseconds(2500)), 2); });
  }
}

}  // namespace
}  // namespace dockercoins

// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the linker's names
extern "C" int __real_getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                                  addrinfo** list);

extern "C" int __wrap_getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                                  addrinfo** list) {
  const bool numeric = hints == nullptr || (hints->ai_flags & AI_NUMERICHOST) != 0;
  const auto look_up = numeric || node == nullptr ? nullptr : dockercoins::Find(node);
  if (!look_up) return __real_getaddrinfo(node, service, hints, list);
  // freeaddrinfo takes an entry after another, so that lists may be joined.
  addrinfo** next = list;
  for (const std::string& address : look_up()) {
    if (const int error = __real_getaddrinfo(address.c_str(), service, hints, next); error != 0) return error;
    while (*next != nullptr) next = &(*next)->ai_next;
  }
  return *list == nullptr ? EAI_NONAME : 0;
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
