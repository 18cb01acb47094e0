#include "tests/unit/http_answer.h"

#include <cstdlib>
#include <utility>

#include "tests/unit/sockets.h"

namespace dockercoins {

std::string HttpAnswer::Header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

HttpAnswer ParseAnswer(std::string raw) {
  constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  constexpr std::string_view kVersion = "HTTP/1.1 ";
  HttpAnswer answer;
  answer.raw = std::move(raw);
  std::string_view rest = answer.raw;
  if (rest.starts_with(kContinue)) rest.remove_prefix(kContinue.size());
  if (!rest.starts_with(kVersion)) return answer;
  const int status = std::atoi(std::string(rest.substr(kVersion.size(), 3)).c_str());
  rest.remove_prefix(std::min(rest.find("\r\n"), rest.size() - 2) + 2);
  while (!rest.starts_with("\r\n")) {
    const size_t colon = rest.find(": ");
    const size_t end = rest.find("\r\n");
    if (colon == std::string_view::npos || end == std::string_view::npos || colon > end) return answer;
    answer.headers.emplace(rest.substr(0, colon), rest.substr(colon + 2, end - colon - 2));
    rest.remove_prefix(end + 2);
  }
  answer.status = status;
  answer.body = rest.substr(2);
  return answer;
}

HttpAnswer Ask(uint16_t port, std::string_view request) {
  const UniqueFd client = ConnectTo(port);
  Send(client, request);
  return ParseAnswer(ReceiveAll(client).value_or(""));
}

}  // namespace dockercoins
