#include "tests/unit/http_answer.h"

#include <cstdlib>

namespace dockercoins {
namespace {

HttpAnswer Parse(const std::string& raw) {
  HttpAnswer answer;
  answer.raw = raw;
  if (!raw.starts_with("HTTP/1.1 ")) return answer;
  answer.status = std::atoi(raw.substr(9, 3).c_str());
  answer.body = raw.substr(std::min(raw.size(), raw.find("\r\n\r\n") + 4));
  return answer;
}

}  // namespace

HttpAnswer AnswerOn(const UniqueFd& client) { return Parse(ReceiveAll(client).value_or("")); }

HttpAnswer Ask(uint16_t port, std::string_view request) {
  const UniqueFd client = ConnectTo(port);
  Send(client, request);
  return AnswerOn(client);
}

std::string Get(const std::string& path) { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"; }

}  // namespace dockercoins
