#include "common/dial.h"

#include <gtest/gtest.h>
#include <netdb.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/file_limit.h"
#include "tests/unit/sockets.h"
#include "tests/unit/timing.h"

namespace dockercoins {
namespace {

using std::chrono::milliseconds;
using Addresses = std::vector<std::string>;

using LookUp = std::function<Addresses()>;

std::mutex mutex;
/// The names that the tests resolve: to numeric addresses in getaddrinfo's order, or to none for "no such
/// name".
std::map<std::string, LookUp> names;

/// From now on `look_up` resolves this name. Each test has its own names.
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

/// A listener that never answers a connection attempt, because its queue is full.
class FullListener {
 public:
  FullListener() {
    Require(::listen(socket_.fd.get(), 0) == 0, "listen");
    for (UniqueFd& fd : waiting_) {
      fd = TcpSocket(SOCK_NONBLOCK);
      (void)Connect(fd, port());
      // Wait for the kernel's reply. A connection without one by then gets none.
      (void)PollUntil(fd.get(), POLLOUT, Stopwatch::Clock::now() + milliseconds(20));
    }
  }
  [[nodiscard]] uint16_t port() const { return socket_.port; }

 private:
  const ListenSocket socket_ = Listen("127.0.0.1", 0);
  std::array<UniqueFd, 8> waiting_;
};

/// Why a Dialer fails; empty if it does not.
std::string Failure(Dialer& dialer, milliseconds timeout = kPatience, const std::stop_token& stop = {}) {
  try {
    (void)dialer.Dial(timeout, stop);
  } catch (const UnreachableError& error) {
    return error.what();
  }
  return "";
}

std::string Failure(const Endpoint& server, milliseconds timeout = kPatience) {
  Dialer dialer(server);
  return Failure(dialer, timeout);
}

TEST(DialTest, NamesTheServerAndTheReasonAndLeaksNoDescriptor) {
  const Endpoint refusing{.host = "127.0.0.1", .port = 1};
  const rlim_t before = LowestFreeDescriptor();
  const Stopwatch watch;
  EXPECT_EQ(Failure(refusing), refusing.ToString() + ": connection refused");
  EXPECT_LT(watch.Elapsed(), kPatience / 2) << "it tries no address twice";
  // TCP has no broadcast.
  EXPECT_EQ(Failure({.host = "255.255.255.255", .port = 80}), "255.255.255.255:80: network is unreachable");
  EXPECT_EQ(Failure(Name("nobody", 80, [] { return Addresses(); })), "nobody:80: name or service not known");
  EXPECT_EQ(LowestFreeDescriptor(), before);
  EXPECT_EQ(ErrorText(ECONNRESET), "connection reset by peer");
}

TEST(DialTest, AStopEndsAnAttempt) {
  const FullListener silent;
  Dialer dialer({.host = "127.0.0.1", .port = silent.port()});
  ExpectTime(milliseconds(100), milliseconds(900), [&] {
    std::stop_source stop;
    std::jthread stopper([&stop] {
      std::this_thread::sleep_for(milliseconds(100));
      stop.request_stop();
    });
    EXPECT_EQ(Failure(dialer, kPatience, stop.get_token()), dialer.Server().ToString() + ": interrupted");
  });
}

TEST(DialTest, AHangingLookupRunsOnceAndItsLateResultIsUsed) {
  const ListenSocket listener = Listen("127.0.0.1", 0);
  const auto gate = std::make_shared<Gate>();
  const Endpoint hanging =
      Name("hanging", listener.port, [gate] { return gate->Pass(), Addresses{"127.0.0.1"}; });
  Dialer dialer(hanging);
  const Stopwatch watch;
  EXPECT_EQ(Failure(dialer, milliseconds(50)), hanging.ToString() + ": name resolution timed out");
  std::stop_source stop;
  std::jthread stopper([&] {
    if (gate->AwaitArrived(1)) stop.request_stop();
  });
  EXPECT_EQ(Failure(dialer, kPatience, stop.get_token()), hanging.ToString() + ": interrupted");
  EXPECT_LT(watch.Elapsed(), kPatience / 2);
  gate->Open();
  EXPECT_EQ(Failure(dialer), "");
  EXPECT_EQ(gate->Arrived(), 1U);
}

TEST(DialTest, ALookupIsUsedForASecondAndKeepsItsThread) {
  const ListenSocket listener = Listen("127.0.0.1", 0);
  const auto threads = std::make_shared<std::vector<std::thread::id>>();
  Dialer dialer(Name("often", listener.port, [threads] {
    threads->push_back(std::this_thread::get_id());
    return Addresses{"127.0.0.1"};
  }));
  const Stopwatch watch;
  while (threads->size() < 3) {
    (void)dialer.Dial(kPatience, {});
    (void)Accept(listener);
  }
  EXPECT_GT(watch.Elapsed(), milliseconds(2000));
  EXPECT_EQ(std::set(threads->begin(), threads->end()).size(), 1U);
}

TEST(DialTest, SiblingsAreLookedUpTogetherWhileBothAreInUse) {
  const ListenSocket listener = Listen("127.0.0.1", 0);
  std::atomic<int> lookups = 0;
  std::set<std::thread::id> threads;
  const auto look_up = [&] {
    return ++lookups, threads.insert(std::this_thread::get_id()), Addresses{"127.0.0.1"};
  };
  Dialer first(Name("sibling-1", listener.port, look_up));
  Dialer second(Name("sibling-2", listener.port, look_up), &first);
  const auto dial = [&](Dialer& dialer) {
    (void)dialer.Dial(kPatience, {});
    (void)Accept(listener);
  };
  const auto pause = [] { std::this_thread::sleep_for(milliseconds(1100)); };
  dial(first);
  dial(second);
  pause();
  int before = lookups;
  dial(first);
  EXPECT_TRUE(Eventually([&] { return lookups == before + 2; }));
  dial(second);
  EXPECT_EQ(lookups, before + 2);
  pause();
  dial(first);
  EXPECT_TRUE(Eventually([&] { return lookups == before + 4; }));
  pause();
  before = lookups;
  dial(first);
  pause();
  EXPECT_EQ(lookups, before + 1) << "the second has not been in use";
  EXPECT_EQ(threads.size(), 1U);
}

TEST(DialTest, AnAttemptTakesAtMostASecondAndThenAnotherAddressIsTried) {
  const FullListener dead;
  const ListenSocket alive = Listen("127.0.0.2", dead.port());
  std::atomic<int> lookups = 0;
  const Endpoint replaced = Name("replaced", dead.port(), [&lookups] {
    return ++lookups == 1 ? Addresses{"127.0.0.1"} : Addresses{"127.0.0.1", "127.0.0.2"};
  });
  ExpectTime(milliseconds(1000), milliseconds(1900), [&] {
    lookups = 0;
    EXPECT_EQ(Failure(replaced), "");
    EXPECT_EQ(lookups, 2);
  });
  // The dead one comes first every second time. It must not use the other's time.
  for (int i = 0; i < 8; ++i) EXPECT_EQ(Failure(replaced, milliseconds(800)), "");
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
  // freeaddrinfo frees entry by entry, so lists may be joined.
  addrinfo** next = list;
  for (const std::string& address : look_up()) {
    if (const int error = __real_getaddrinfo(address.c_str(), service, hints, next); error != 0) return error;
    while (*next != nullptr) next = &(*next)->ai_next;
  }
  return *list == nullptr ? EAI_NONAME : 0;
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
