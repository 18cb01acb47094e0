// A response of rng or hasher, as the worker reads it. kCut ends a packet.
#include <stdexcept>

#include "tests/fuzz/fuzz.h"
#include "worker/http_upstream.h"

namespace dockercoins {
namespace {

/// What `ask` returns; empty when it throws what the worker expects.
template <typename Ask>
std::string Result(std::string_view response, Ask ask) {
  SetConnections({std::string(response)});
  try {
    return ask();
  } catch (const std::runtime_error&) {
    return {};
  }
}

/// Whether the characters of `part` are in `whole`, in that order.
bool HasInOrder(std::string_view whole, std::string_view part) {
  size_t from = 0;
  for (const char c : part) {
    const size_t at = whole.find(c, from);
    if (at == std::string_view::npos) return false;
    from = at + 1;
  }
  return true;
}

}  // namespace
}  // namespace dockercoins

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace dockercoins;
  const std::string_view response = Text(data, size);
  static LoopTrace off;
  static HttpServices services(HttpUrl::Parse("http://rng"), HttpUrl::Parse("http://hasher/base"), off, {});
  std::string whole(response);
  std::erase(whole, kCut);
  const bool in_chunks = LowerCase(whole).find("chunked") != std::string::npos;

  const std::string bytes = Result(response, [] { return services.Draw(); });
  Require(bytes.empty() || bytes.size() == 32, "rng's response has 32 bytes", bytes);
  Require(in_chunks ? HasInOrder(whole, bytes) : whole.find(bytes) != std::string::npos,
          "the bytes are rng's", bytes);
  const std::string digest = Result(response, [] { return services.Hash(std::string(32, 'x')); });
  Require(digest.empty() || digest.size() == 64, "a digest has 64 digits", digest);
  Require(digest.find_first_not_of("0123456789abcdef") == std::string::npos, "a digest is hexadecimal",
          digest);
  Require((bytes.empty() && digest.empty()) || whole.find(" 200") != std::string::npos, "only 200 is mined",
          whole);
  return 0;
}
