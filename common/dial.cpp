#include "common/dial.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "common/errors.h"
#include "common/wait.h"

namespace dockercoins {
namespace {

using Clock = std::chrono::steady_clock;

/// The contract: how long a lookup's result is used, and how long an address is tried.
constexpr auto kAnswerLife = std::chrono::seconds(1);
constexpr auto kAttempt = std::chrono::seconds(1);

/// The bytes of a sockaddr.
using SocketAddress = std::string;

void SetOption(int fd, int level, int option, int value) {
  ::setsockopt(fd, level, option, &value, sizeof(value));
}

/// Detects within half a minute that a peer has vanished. A peer that only hangs keeps its connection.
void KeepAlive(int fd) {
  SetOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, 10);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, 5);
  // In milliseconds. Also for unacknowledged data, during which there is no keep-alive.
  SetOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 25'000);
}

std::string LowerCaseFirst(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

/// getaddrinfo; returns its error code.
int LookUp(const Endpoint& server, int flags, std::vector<SocketAddress>& addresses) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(server.host.c_str(), std::to_string(server.port).c_str(), &hints, &list);
  if (error != 0) return error;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next)
    addresses.emplace_back(reinterpret_cast<const char*>(entry->ai_addr), entry->ai_addrlen);
  ::freeaddrinfo(list);
  return 0;
}

/// Waits until the connection attempt on `fd` ends; returns its errno, 0 for success.
int AwaitConnection(int fd, Clock::time_point deadline) {
  const short happened = PollUntil(fd, POLLOUT, deadline);
  if (happened == 0) return errno;
  int error = 0;
  socklen_t size = sizeof(error);
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  // A stop shuts the socket down: ready, without an error, and not connected.
  return error == 0 && (happened & POLLHUP) != 0 ? ECONNABORTED : error;
}

/// Connects to one address; returns no descriptor and sets `error` on failure.
UniqueFd Connect(const SocketAddress& address, Clock::time_point deadline, const std::stop_token& stop,
                 int& error) {
  const auto* socket_address = reinterpret_cast<const sockaddr*>(address.data());
  UniqueFd fd(::socket(socket_address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) {
    error = errno;
    return {};
  }
  error = 0;
  if (::connect(fd.get(), socket_address, static_cast<socklen_t>(address.size())) != 0) error = errno;
  if (error == EINPROGRESS) {
    const std::stop_callback interrupt(stop, [&fd] { ::shutdown(fd.get(), SHUT_RDWR); });
    error = AwaitConnection(fd.get(), deadline);
  }
  if (error != 0) return {};
  SetOption(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  KeepAlive(fd.get());
  const int flags = ::fcntl(fd.get(), F_GETFL);
  ::fcntl(fd.get(), F_SETFL, flags & ~O_NONBLOCK);
  return fd;
}

}  // namespace

/// A name, and what is known of it.
struct Dialer::Name {
  const Endpoint server;
  std::vector<SocketAddress> numeric{};  ///< For an address: it needs no lookup, and no thread.
  // The rest belongs to the mutex of its Lookups.
  bool wanted = false;  ///< Somebody waits for a lookup.
  bool used = false;    ///< Since the last lookup.
  int error = 0;
  std::vector<SocketAddress> addresses{};
  Clock::time_point answered{};
};

/// The lookups of some names, one at a time. Shared with the thread that does them, which may outlive its
/// Dialers.
struct Dialer::Lookups {
  /// The addresses in getaddrinfo's order; throws UnreachableError.
  static std::vector<SocketAddress> Find(const std::shared_ptr<Lookups>& lookups, Name& name,
                                         Clock::time_point deadline, const std::stop_token& stop);

  void Run();
  void Update(std::unique_lock<std::mutex>& lock,
              std::shared_ptr<Name> name);  // Its Dialer may end meanwhile.

  std::mutex mutex;
  std::condition_variable_any changed;
  bool has_thread = false;
  std::vector<std::shared_ptr<Name>> names;  ///< Of the Dialers that there are.
};

void Dialer::Lookups::Run() {
  using IsNext = bool (*)(const std::shared_ptr<Name>&);
  const IsNext is_wanted = [](const auto& name) { return name->wanted; };
  // Soon its result will be too old, and now all that a lookup needs is in the caches.
  const IsNext is_due = [](const auto& name) {
    return name->used && 2 * (Clock::now() - name->answered) > kAnswerLife;
  };
  std::unique_lock lock(mutex);
  for (;;) {
    changed.wait(lock, [&] { return names.empty() || std::ranges::any_of(names, is_wanted); });
    if (names.empty()) return;
    for (const IsNext is_next : {is_wanted, is_due}) {
      auto next = names.begin();
      while ((next = std::ranges::find_if(names, is_next)) != names.end()) Update(lock, *next);
    }
  }
}

void Dialer::Lookups::Update(std::unique_lock<std::mutex>& lock, std::shared_ptr<Name> name) {
  lock.unlock();
  std::vector<SocketAddress> found;
  const int error = LookUp(name->server, 0, found);
  lock.lock();
  name->error = error;
  name->addresses = std::move(found);
  name->answered = Clock::now();
  name->wanted = false;
  name->used = false;
  changed.notify_all();
}

std::vector<SocketAddress> Dialer::Lookups::Find(const std::shared_ptr<Lookups>& lookups, Name& name,
                                                 Clock::time_point deadline, const std::stop_token& stop) {
  if (!name.numeric.empty()) return name.numeric;
  std::unique_lock lock(lookups->mutex);
  name.used = true;
  const bool fresh = !name.addresses.empty() && Clock::now() - name.answered <= kAnswerLife;
  if (fresh) return name.addresses;
  if (!lookups->has_thread) {
    std::thread([lookups] { lookups->Run(); }).detach();
    lookups->has_thread = true;
  }
  name.wanted = true;
  lookups->changed.notify_all();
  lookups->changed.wait_until(lock, stop, deadline, [&] { return !name.wanted; });
  if (stop.stop_requested()) throw UnreachableError(name.server, "interrupted");
  if (name.wanted) throw UnreachableError(name.server, "name resolution timed out");
  if (name.error != 0) throw UnreachableError(name.server, LowerCaseFirst(::gai_strerror(name.error)));
  name.used = true;
  return name.addresses;
}

Dialer::Dialer(Endpoint server, const Dialer* sibling)
    : server_(std::move(server)),
      lookups_(sibling != nullptr ? sibling->lookups_ : std::make_shared<Lookups>()),
      name_(std::make_shared<Name>(Name{.server = server_})) {
  LookUp(server_, AI_NUMERICHOST, name_->numeric);
  const std::lock_guard lock(lookups_->mutex);
  lookups_->names.push_back(name_);
}

Dialer::~Dialer() {
  const std::lock_guard lock(lookups_->mutex);
  std::erase(lookups_->names, name_);
  lookups_->changed.notify_all();
}

UniqueFd Dialer::Dial(std::chrono::milliseconds timeout, const std::stop_token& stop) {
  const auto deadline = Clock::now() + timeout;
  std::vector<SocketAddress> tried;
  bool silence = false;
  int error = EADDRNOTAVAIL;
  for (;;) {
    std::vector<SocketAddress> addresses = Lookups::Find(lookups_, *name_, deadline, stop);
    std::erase_if(addresses,
                  [&](const SocketAddress& address) { return std::ranges::count(tried, address) > 0; });
    if (addresses.empty()) {
      if (!silence) throw UnreachableError(server_, ErrorText(error));
      tried.clear();
      silence = false;
      continue;
    }
    const auto now = Clock::now();
    // One dead replica must not use the others' time.
    const auto share =
        std::min<Clock::duration>(kAttempt, (deadline - now) / static_cast<int>(addresses.size()));
    const SocketAddress& address = addresses[random_() % addresses.size()];
    UniqueFd fd = Connect(address, now + share, stop, error);
    if (stop.stop_requested()) throw UnreachableError(server_, "interrupted");
    if (fd) return fd;
    if (error == ETIMEDOUT) silence = true;
    tried.push_back(address);
    if (Clock::now() >= deadline) throw UnreachableError(server_, ErrorText(error));
  }
}

std::string ErrorText(int error) { return LowerCaseFirst(SystemText(error)); }

}  // namespace dockercoins
