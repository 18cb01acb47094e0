#include "common/url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <limits>
#include <stdexcept>

#include "common/number.h"

namespace dockercoins {
namespace {

constexpr uint16_t kHttpPort = 80;
constexpr uint16_t kRedisPort = 6379;

[[noreturn]] void Refuse(const char* why) { throw std::invalid_argument(why); }

/// Takes `scheme` from the front of `text`.
void SkipScheme(std::string_view& text, std::string_view scheme) {
  if (!text.starts_with(scheme)) Refuse("another scheme");
  text.remove_prefix(scheme.size());
}

/// Cuts `text` before the first of `delimiters`. Returns the rest, delimiter included.
std::string_view CutBefore(std::string_view& text, std::string_view delimiters) {
  const size_t at = std::min(text.find_first_of(delimiters), text.size());
  const std::string_view rest = text.substr(at);
  text = text.substr(0, at);
  return rest;
}

/// A number that fits its type.
template <typename Number>
Number ReadNumber(std::string_view digits) {
  const auto number = ParseNumber(digits);
  if (!number || *number > std::numeric_limits<Number>::max()) Refuse("not a number");
  return static_cast<Number>(*number);
}

bool IsHostCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
         c == '_';
}

/// Whether `text` is an IPv6 address, maybe with a zone: fe80::1%eth0.
bool IsIpv6Address(const std::string& text) {
  const size_t zone = std::min(text.find('%'), text.size());
  std::array<unsigned char, sizeof(in6_addr)> binary{};
  return ::inet_pton(AF_INET6, text.substr(0, zone).c_str(), binary.data()) == 1 &&
         std::ranges::all_of(text.substr(std::min(zone + 1, text.size())), IsHostCharacter);
}

Endpoint ParseEndpoint(std::string_view text, uint16_t default_port) {
  Endpoint server{.host = "", .port = default_port};
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) Refuse("no closing bracket");
    server.host = text.substr(1, end - 1);
    if (!IsIpv6Address(server.host)) Refuse("not an address");
    text.remove_prefix(end + 1);
  } else {
    const std::string_view rest = CutBefore(text, ":");
    server.host = text;
    if (!std::all_of(server.host.begin(), server.host.end(), IsHostCharacter)) Refuse("not a host name");
    text = rest;
  }
  if (server.host.empty()) Refuse("no host");
  if (!text.empty()) {
    if (text.front() != ':') Refuse("unexpected text after the host");
    server.port = ReadNumber<uint16_t>(text.substr(1));
    if (server.port == 0) Refuse("port 0");
  }
  return server;
}

}  // namespace

std::string PercentDecoded(std::string_view text) {
  std::string decoded;
  while (!text.empty()) {
    size_t taken = 1;
    unsigned char byte = static_cast<unsigned char>(text.front());
    if (byte == '%') {
      constexpr size_t kEscape = 3;
      const std::string_view digits = text.substr(1, kEscape - 1);
      const auto [end, error] = std::from_chars(digits.begin(), digits.end(), byte, 16);
      taken = 1 + static_cast<size_t>(end - digits.begin());
      if (error != std::errc() || taken != kEscape) Refuse("a % without two hexadecimal digits");
    }
    decoded += static_cast<char>(byte);
    text.remove_prefix(taken);
  }
  return decoded;
}

std::string WithoutPassword(std::string_view url) {
  const size_t at = url.rfind('@');
  if (at == std::string_view::npos) return std::string(url);
  const size_t scheme = url.substr(0, at).find("://");
  // Another text before it may belong to the password.
  const bool is_scheme =
      scheme != std::string_view::npos && std::ranges::all_of(url.substr(0, scheme), IsHostCharacter);
  const std::string_view kept = is_scheme ? url.substr(0, scheme + 3) : "";
  return std::string(kept) + "***" + std::string(url.substr(at));
}

std::string Endpoint::HostText() const {
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

std::optional<std::string> PathOfTarget(std::string_view target) {
  constexpr std::string_view kScheme = "http://";
  const auto is_bad = [](unsigned char c) { return c <= ' ' || c == 0x7f || c == '#'; };
  if (target.empty() || std::ranges::any_of(target, is_bad)) return std::nullopt;
  try {
    (void)PercentDecoded(target);
    if (target.front() != '/' && target != "*") {
      if (!std::ranges::equal(target.substr(0, kScheme.size()), kScheme, {},
                              [](unsigned char c) { return std::tolower(c); }))
        return std::nullopt;
      target.remove_prefix(kScheme.size());
      const std::string_view host = target.substr(0, target.find_first_of("/?"));
      if (host.empty() || host.front() == ':' || host.find('%') != std::string_view::npos)
        return std::nullopt;
      target.remove_prefix(host.size());
    }
    const std::string_view path = target.substr(0, target.find('?'));
    return path.empty() ? "/" : PercentDecoded(path);
  } catch (const std::invalid_argument&) {
    return std::nullopt;
  }
}

HttpUrl HttpUrl::Parse(std::string_view text) {
  SkipScheme(text, "http://");
  std::string_view path = CutBefore(text, "/?#");
  if (path.find_first_of("?# ") != std::string_view::npos) Refuse("a query, a fragment or a space");
  if (std::any_of(path.begin(), path.end(), [](char c) { return c < 0x21 || c > 0x7e; })) Refuse("not ASCII");
  while (path.ends_with('/')) path.remove_suffix(1);
  return {.server = ParseEndpoint(text, kHttpPort), .path = std::string(path)};
}

RedisUrl RedisUrl::Parse(std::string_view text) {
  SkipScheme(text, "redis://");
  RedisUrl url;
  // A password may contain an @ or a slash that is not encoded: the last @ ends it.
  if (const size_t at = text.rfind('@'); at != std::string_view::npos) {
    std::string_view user = text.substr(0, at);
    const std::string_view password = CutBefore(user, ":");
    if (password.empty()) Refuse("a user without a password");
    url.user = PercentDecoded(user);
    url.password = PercentDecoded(password.substr(1));
    text.remove_prefix(at + 1);
  }
  std::string_view database = CutBefore(text, "/");
  url.server = ParseEndpoint(text, kRedisPort);
  if (!database.empty()) database.remove_prefix(1);
  if (!database.empty()) {
    url.database = ReadNumber<uint32_t>(database);
    if (url.database > std::numeric_limits<int32_t>::max()) Refuse("not a database");
  }
  return url;
}

}  // namespace dockercoins
