#include "common/span.h"

#include <array>
#include <cinttypes>
#include <cstdio>

namespace dockercoins {
namespace {

std::string HeaderText(unsigned version, const SpanContext& context, unsigned flags) {
  const std::string ids = IdText(context.trace_high) + IdText(context.trace_low) + "-" + IdText(context.span);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%02x-%s-%02x", version, ids.c_str(), flags);
  return text.data();
}

}  // namespace

std::string IdText(uint64_t id) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016" PRIx64, id);
  return text.data();
}

std::optional<SpanContext> SpanContext::Parse(std::string_view text) {
  const std::string known(text.substr(0, HeaderText(0, {}, 0).size()));
  const std::string_view more = text.substr(known.size());
  SpanContext context;
  unsigned version = 0, flags = 0;
  std::sscanf(known.c_str(), "%2x-%16" SCNx64 "%16" SCNx64 "-%16" SCNx64 "-%2x", &version,
              &context.trace_high, &context.trace_low, &context.span, &flags);
  context.sampled = (flags & 1) != 0;
  // Only a later version may have more, behind a further dash.
  if (!more.empty() && (version == 0 || more.front() != '-')) return std::nullopt;
  if ((context.trace_high | context.trace_low) == 0 || context.span == 0 || version == 0xff)
    return std::nullopt;
  return known == HeaderText(version, context, flags) ? std::optional(context) : std::nullopt;
}

std::string SpanContext::Traceparent() const { return HeaderText(0, *this, sampled ? 1 : 0); }

}  // namespace dockercoins
