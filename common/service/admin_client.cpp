#include "common/service/admin_client.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "common/dial.h"
#include "common/http_client.h"
#include "common/log.h"
#include "common/unique_fd.h"

namespace dockercoins {
namespace {

constexpr auto kTimeout = std::chrono::seconds(2);
constexpr auto kUrlTimeout = std::chrono::seconds(1);
constexpr size_t kMaxMetrics = size_t{1024} * 1024;

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

/// The body of the admin port's response to GET `path`.
std::string AskAdminPort(const std::string& program, const ListenSettings& settings, const char* path) {
  if (settings.admin_port == 0) throw StartError("ADMIN_PORT=0: there is no admin port to ask");
  const Endpoint server{.host = ReachableAddress(settings.address), .port = settings.admin_port};
  const std::string admin = "the admin port " + server.ToString();
  httplib::Response response;
  try {
    response = HttpClient(server).Get(path, {.time = kTimeout, .body = kMaxMetrics});
  } catch (const std::runtime_error& error) {
    throw StartError(std::string("the admin port ") + error.what());
  }
  // Programs may share a network: the containers of a pod do.
  const std::string owner = response.get_header_value("Server");
  if (owner != program) {
    throw StartError(admin + " is " + (owner.empty() ? "another program's" : Escaped(owner) + "'s") +
                     ", not " + program + "'s: each needs an ADMIN_PORT of its own");
  }
  if (response.status != 200) throw StartError(admin + " answers " + std::to_string(response.status));
  return std::move(response.body);
}

}  // namespace

std::string FetchMetrics(const std::string& program, const ListenSettings& settings) {
  return AskAdminPort(program, settings, "/metrics");
}

void CheckUrl(const std::string& url) {
  constexpr std::string_view kScheme = "http://";
  const std::string shown = Escaped(WithoutPassword(url));
  const size_t path = std::min(url.find('/', kScheme.size()), url.size());
  try {
    if (url.find_first_of(" \r\n") != std::string::npos)
      throw std::invalid_argument("a space or a line's end");
    HttpClient client(HttpUrl::Parse(url.substr(0, path)).server);
    const std::string target = path == url.size() ? "/" : url.substr(path);
    const int status = client.Get(target, {.time = kUrlTimeout}).status;
    if (status / 100 != 2) throw StartError(shown + ": its response is " + std::to_string(status));
  } catch (const std::invalid_argument& error) {
    throw StartError(shown + ": http://host[:port][/path] is expected (" + error.what() + ")");
  }
}

void CheckHealth(const std::string& program, const ListenSettings& settings, bool has_service_port) {
  AskAdminPort(program, settings, "/healthz");
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
