#include "common/service/admin_client.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>

#include "common/dial.h"
#include "common/log.h"
#include "common/unique_fd.h"
#include "common/wait.h"
#include "httplib.h"

namespace dockercoins {
namespace {

constexpr auto kTimeout = std::chrono::seconds(2);
constexpr auto kUrlTimeout = std::chrono::seconds(1);

/// Whether the loopback interface has an IPv4 address. In some IPv6-only networks it has none.
bool HasIpv4Loopback() {
  const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return fd && ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

/// The address at which a process on this machine reaches one that listens on `bind_address`.
std::string ReachableAddress(const std::string& bind_address) {
  if (bind_address == "0.0.0.0") return "127.0.0.1";
  // `::` listens on IPv4, too, and becomes 0.0.0.0 where IPv6 is switched off.
  if (bind_address == "::") return HasIpv4Loopback() ? "127.0.0.1" : "::1";
  return bind_address;
}

/// The body of the admin port's answer to GET `path`.
std::string AskAdminPort(const ListenSettings& settings, const char* path) {
  if (settings.admin_port == 0) throw StartError("ADMIN_PORT=0: there is no admin port to ask");
  const std::string address = ReachableAddress(settings.address);

  httplib::Client client(address, settings.admin_port);
  client.set_connection_timeout(kTimeout);
  client.set_read_timeout(kTimeout);
  const auto answer = client.Get(path);
  const std::string admin = Endpoint{.host = address, .port = settings.admin_port}.ToString();
  if (!answer) throw StartError("no response from the admin port " + admin);
  if (answer->status != 200)
    throw StartError("the admin port " + admin + " answers " + std::to_string(answer->status));
  return answer->body;
}

}  // namespace

std::string FetchMetrics(const ListenSettings& settings) { return AskAdminPort(settings, "/metrics"); }

void CheckUrl(const std::string& url) {
  constexpr std::string_view kScheme = "http://";
  constexpr size_t kStatusAt = std::string_view("HTTP/1.1 ").size();
  const std::string shown = Escaped(WithoutPassword(url));
  const auto deadline = std::chrono::steady_clock::now() + kUrlTimeout;
  const size_t path = std::min(url.find('/', kScheme.size()), url.size());
  try {
    const Endpoint server = HttpUrl::Parse(url.substr(0, path)).server;
    const UniqueFd fd = Dialer(server).Dial(kUrlTimeout, {});
    const std::string request = "GET " + (path == url.size() ? "/" : url.substr(path)) +
                                " HTTP/1.1\r\nHost: " + server.ToString() + "\r\nConnection: close\r\n\r\n";
    (void)::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL);
    std::string answer;
    std::array<char, 64> buffer{};
    while (answer.size() < kStatusAt + 3 && PollUntil(fd.get(), POLLIN, deadline) != 0) {
      const ssize_t count = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
      if (count <= 0) break;
      answer.append(buffer.data(), static_cast<size_t>(count));
    }
    if (answer.size() < kStatusAt + 3) throw StartError(shown + ": no response within a second");
    if (answer[kStatusAt] != '2')
      throw StartError(shown + ": its response is " + Escaped(answer.substr(kStatusAt, 3)));
  } catch (const std::invalid_argument& error) {
    throw StartError(shown + ": http://host[:port][/path] is expected (" + error.what() + ")");
  }
}

void CheckHealth(const ListenSettings& settings, bool has_service_port) {
  AskAdminPort(settings, "/healthz");
  if (!has_service_port) return;
  if (settings.port == 0) throw StartError("PORT=0: the port that the service took is not known");
  try {
    // Connecting is enough: a connection that sends nothing does not enter the queue.
    (void)Dialer({.host = ReachableAddress(settings.address), .port = settings.port}).Dial(kTimeout, {});
  } catch (const UnreachableError& error) {
    throw StartError(error.what());
  }
}

}  // namespace dockercoins
