#include <sys/socket.h>

#include <cerrno>
#include <mutex>
#include <utility>

#include "common/dial.h"
#include "tests/fuzz/fuzz.h"

// Takes the place of common/dial.cpp, so that thousands of connections a second need neither ports nor
// threads.
namespace dockercoins {
namespace {

std::mutex mutex;                           // Of what follows.
std::vector<std::string> next_connections;  // In reverse order.
std::vector<UniqueFd> servers;              // They take what they are sent.

}  // namespace

void SetConnections(std::vector<std::string> connections) {
  const std::lock_guard lock(mutex);
  servers.clear();
  next_connections = {connections.rbegin(), connections.rend()};
}

struct Dialer::Name {};
struct Dialer::Lookups {};

Dialer::Dialer(Endpoint server, const Dialer* /*sibling*/) : server_(std::move(server)) {}
Dialer::~Dialer() = default;

UniqueFd Dialer::Dial(std::chrono::milliseconds /*timeout*/, const std::stop_token& /*stop*/) {
  const std::lock_guard lock(mutex);
  if (next_connections.empty()) throw UnreachableError(server_, ErrorText(ECONNREFUSED));
  const std::string text = std::move(next_connections.back());
  next_connections.pop_back();
  // Packets, so that a read ends where one does. It has room for any packet that is not larger than this.
  constexpr size_t kPacket = 4096;
  int ends[2] = {-1, -1};
  Require(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0, "there are sockets");
  const UniqueFd& server = servers.emplace_back(ends[1]);
  for (const std::string& packet : Split(text, kCut)) {
    for (size_t at = 0; at < packet.size(); at += kPacket) {
      const std::string_view piece = std::string_view(packet).substr(at, kPacket);
      (void)::send(server.get(), piece.data(), piece.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
  }
  ::shutdown(server.get(), SHUT_WR);
  return UniqueFd(ends[0]);
}

std::string ErrorText(int error) { return "error " + std::to_string(error); }

}  // namespace dockercoins
