#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dockercoins {

/// A request as RFC 9112 and the contract read it: its framing, and what the product refuses besides llhttp.
/// Host may be missing or malformed, which no response depends on. Written apart from the product, to be
/// compared with it.
struct RfcRequest {
  enum class Verdict {
    kHeadIncomplete,
    kRefused,         ///< Its head can be read in two ways, or breaks the grammar.
    kBodyIncomplete,  ///< Its head is good.
    kBodyRefused,     ///< Its head is good.
    kRequest,
  };

  Verdict verdict = Verdict::kHeadIncomplete;
  std::string method;
  std::string target;
  bool in_chunks = false;
  bool expects_continue = false;
  std::string body;  ///< Of a POST.
};

/// Reads the request at the front of `bytes`.
[[nodiscard]] RfcRequest ReadRequest(std::string_view bytes);

/// A response, which CheckResponse found well-formed.
struct CheckedResponse {
  int status = 0;
  bool told_to_continue = false;  ///< "100 Continue" came first.
  std::string media_type;
  std::string body;
};

/// All that came on a connection. Ends the process unless it is one whole response, and nothing after it.
/// Nothing when nothing came. `is_head`: the response to HEAD has no body. `cut`: the client stopped reading.
[[nodiscard]] std::optional<CheckedResponse> CheckResponse(std::string_view bytes, bool is_head, bool cut);

}  // namespace dockercoins
