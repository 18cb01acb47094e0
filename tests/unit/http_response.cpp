#include "tests/unit/http_response.h"

#include <cstdlib>

namespace dockercoins {
namespace {

HttpResponse Parse(const std::string& raw) {
  HttpResponse response;
  response.raw = raw;
  if (!raw.starts_with("HTTP/1.1 ")) return response;
  response.status = std::atoi(raw.substr(9, 3).c_str());
  response.body = raw.substr(std::min(raw.size(), raw.find("\r\n\r\n") + 4));
  return response;
}

}  // namespace

HttpResponse ResponseOn(const UniqueFd& client) { return Parse(ReceiveAll(client).value_or("")); }

HttpResponse Ask(uint16_t port, std::string_view request) {
  const UniqueFd client = ConnectTo(port);
  Send(client, request);
  return ResponseOn(client);
}

std::string Get(const std::string& path) { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"; }

}  // namespace dockercoins
