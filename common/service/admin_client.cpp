#include "common/service/admin_client.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>
#include <thread>

#include "common/dial.h"
#include "common/log.h"
#include "common/unique_fd.h"
#include "common/wait.h"
#include "httplib.h"

namespace dockercoins {
namespace {

constexpr auto kTimeout = std::chrono::seconds(2);

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
  constexpr auto kLimit = std::chrono::seconds(1);
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) throw StartError(Escaped(url) + ": http://host[:port][/path] is expected");
  const size_t path = std::min(url.find('/', kScheme.size()), url.size());
  httplib::Client client(url.substr(0, path));
  client.set_connection_timeout(kLimit);
  const std::jthread timer([&client, kLimit](const std::stop_token& answered) {
    if (SleepFor(kLimit, answered)) client.stop();
  });
  const auto answer = client.Get(path == url.size() ? "/" : url.substr(path));
  if (!answer) throw StartError(Escaped(url) + ": no response within a second");
  if (answer->status / 100 != 2)
    throw StartError(Escaped(url) + ": its response is " + std::to_string(answer->status));
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
