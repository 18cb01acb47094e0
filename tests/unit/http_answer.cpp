#include "tests/unit/http_answer.h"

#include <cstdlib>

namespace dockercoins {
namespace {

HttpAnswer Parse(const std::string& raw) {
  constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  HttpAnswer answer;
  answer.raw = raw;
  std::string_view rest = raw;
  if (rest.starts_with(kContinue)) rest.remove_prefix(kContinue.size());
  const auto take_line = [&rest] {
    const std::string line(rest.substr(0, rest.find("\r\n")));
    rest.remove_prefix(std::min(rest.size(), line.size() + 2));
    return line;
  };
  answer.status_line = take_line();
  if (!answer.status_line.starts_with("HTTP/1.1 ")) return answer;
  answer.status = std::atoi(answer.status_line.substr(9, 3).c_str());
  for (std::string line = take_line(); !line.empty(); line = take_line()) {
    const size_t colon = std::min(line.find(": "), line.size());
    answer.headers.emplace(line.substr(0, colon), line.substr(std::min(colon + 2, line.size())));
  }
  answer.body = rest;
  return answer;
}

}  // namespace

std::string HttpAnswer::Text() const {
  std::string text = status_line + "\n";
  for (const auto& [name, value] : headers) {
    if (name != "Server-Timing") text += name + ": " + value + "\n";
  }
  return text + "\n" + body;
}

HttpAnswer AnswerOn(const UniqueFd& client) { return Parse(ReceiveAll(client).value_or("")); }

HttpAnswer Ask(uint16_t port, std::string_view request) {
  const UniqueFd client = ConnectTo(port);
  Send(client, request);
  return AnswerOn(client);
}

std::string Get(const std::string& path) { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"; }

}  // namespace dockercoins
