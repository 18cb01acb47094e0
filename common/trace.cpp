#include "common/trace.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

namespace dockercoins {
namespace {

/// The defaults of OpenTelemetry's own exporters.
constexpr size_t kMaxSpans = 2048;
constexpr auto kPostTime = std::chrono::seconds(10);
constexpr auto kInterval = std::chrono::seconds(1);
/// The last spans delay a stop by no more.
constexpr auto kStopTime = std::chrono::milliseconds(100);
/// A receiver may say in so many bytes what it has not taken.
constexpr size_t kMaxResponse = 4096;
constexpr size_t kMaxWarnings = 20;

std::string IdText(uint64_t id) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016" PRIx64, id);
  return text.data();
}

std::string HeaderText(unsigned version, const SpanContext& context, unsigned flags) {
  const std::string ids = IdText(context.trace_high) + IdText(context.trace_low) + "-" + IdText(context.span);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%02x-%s-%02x", version, ids.c_str(), flags);
  return text.data();
}

std::string Text(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

nlohmann::json Json(const Span::Attribute& attribute) {
  const char* type = attribute.is_number ? "intValue" : "stringValue";
  return {{"key", attribute.key}, {"value", {{type, attribute.value}}}};
}

/// https://github.com/open-telemetry/opentelemetry-proto: trace.proto, in the JSON of docs/specification.md.
nlohmann::json Json(const Span& span) {
  const auto nanoseconds = [&](Span::Clock::time_point time) {
    return std::to_string(std::chrono::nanoseconds(time.time_since_epoch() + span.epoch).count());
  };
  nlohmann::json json = {{"traceId", IdText(span.context.trace_high) + IdText(span.context.trace_low)},
                         {"spanId", IdText(span.context.span)},
                         {"name", span.name},
                         {"kind", static_cast<int>(span.kind)},
                         {"startTimeUnixNano", nanoseconds(span.begun)},
                         {"endTimeUnixNano", nanoseconds(span.ended)}};
  if (span.parent != 0) json["parentSpanId"] = IdText(span.parent);
  for (const auto& attribute : span.attributes) json["attributes"].push_back(Json(attribute));
  constexpr int kError = 2;
  if (span.error) json["status"] = {{"code", kError}, {"message", *span.error}};
  return json;
}

httplib::Request ToRequest(const std::vector<Span>& spans, const TraceSettings& settings) {
  nlohmann::json resource = nlohmann::json::array();
  for (const auto& [key, value] : settings.attributes) resource.push_back(Json({key.c_str(), value}));
  const nlohmann::json scope = {{"name", "dockercoins"}, {"version", DOCKERCOINS_VERSION}};
  httplib::Request request;
  request.method = "POST";
  request.path = settings.receiver.path;
  request.set_header("Content-Type", "application/json");
  request.body = R"({"resourceSpans":[{"resource":{"attributes":)" + Text(resource) +
                 R"(},"scopeSpans":[{"scope":)" + Text(scope) + R"(,"spans":[)";
  // One by one: the tree of all of them would take megabytes.
  for (const Span& span : spans) request.body += Text(Json(span)) + ',';
  request.body.replace(request.body.size() - 1, 1, "]}]}]}");
  return request;
}

}  // namespace

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

Tracer::Tracer(Metrics& metrics, Log& log, std::stop_token stop)
    : log_(log),
      dropped_(metrics.AddCounter("dockercoins_spans_dropped_total",
                                  "Spans lost: too many waited, or the receiver did not take them.")),
      stop_(std::move(stop)),
      on_stop_(stop_, [this] { stopped_ = Span::Clock::now(); }) {
  try {
    settings_ = ReadTraceSettings(log.name());
  } catch (const SettingError& error) {
    log.Warning(std::string("No traces: ") + error.what());
  }
  if (!settings_) return;
  client_.emplace(settings_->receiver.server);
  sending_ = std::async(std::launch::async, [this] { Run(); });
}

Tracer::~Tracer() {
  if (!IsOn()) return;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
  sending_.wait_until(std::min(stopped_.load(), Span::Clock::now()) + kStopTime);
  interrupt_.request_stop();
  sending_.wait();
}

Span Tracer::Begin(std::string name, Span::Kind kind, const std::optional<SpanContext>& parent) {
  Span span{.name = std::move(name), .kind = kind, .begun = Span::Clock::now()};
  span.epoch = std::chrono::system_clock::now().time_since_epoch() - span.begun.time_since_epoch();
  const std::lock_guard lock(mutex_);
  SpanContext& context = span.context;
  context = parent ? *parent : SpanContext{.trace_high = RandomId(), .trace_low = RandomId()};
  span.parent = std::exchange(context.span, RandomId());
  // By the trace's id (53 bits are what a double holds), so that all services agree.
  if (!parent || !settings_->follows_parent)
    context.sampled = static_cast<double>(context.trace_low >> 11) * 0x1p-53 < settings_->ratio;
  return span;
}

void Tracer::Add(Span span) {
  if (!span.context.sampled) return;
  const std::lock_guard lock(mutex_);
  if (spans_.size() + in_flight_ < kMaxSpans) {
    spans_.push_back(std::move(span));
  } else {
    dropped_.Increment();
  }
}

void Tracer::Run() {
  const auto is_closed = [this] { return closed_; };
  std::unique_lock lock(mutex_);
  for (bool is_last = false; !is_last;) {
    // A stop is a time to send what there is, and then the rest.
    if (stop_.stop_requested()) {
      changed_.wait(lock, is_closed);
    } else {
      changed_.wait_for(lock, stop_, kInterval, is_closed);
    }
    is_last = closed_;
    std::vector<Span> sent = std::exchange(spans_, {});
    in_flight_ = sent.size();
    lock.unlock();
    if (!sent.empty()) Send(sent);
    lock.lock();
    in_flight_ = 0;
    std::ranges::move(spans_, std::back_inserter(sent));
    spans_ = std::move(sent);
  }
}

/// Leaves those that should be sent again.
void Tracer::Send(std::vector<Span>& spans) {
  std::string reason;
  bool is_done = false, is_busy = false;
  try {
    const auto response = client_->Send(ToRequest(spans, *settings_),
                                        {.time = kPostTime, .body = kMaxResponse}, interrupt_.get_token());
    const int status = response.status;
    is_done = status / 100 == 2;
    // The specification's list of those after which a client tries again.
    is_busy = status == 429 || status == 502 || status == 503 || status == 504;
    if (!is_done || response.body.find("rejectedSpans") != std::string::npos) {
      reason = client_->Server().ToString() + ": it responded with status " + std::to_string(status) + " " +
               response.body;
    }
  } catch (const UnreachableError& error) {
    is_busy = true;
    reason = error.what();
  } catch (const std::exception& error) {
    reason = error.what();
  }
  const bool is_told = reason.empty() || interrupt_.stop_requested() || warned_.size() == kMaxWarnings;
  if (!is_told && warned_.insert(reason).second) log_.Warning("Traces: " + reason);
  if (is_busy) return;
  for (size_t lost = is_done ? 0 : spans.size(); lost > 0; --lost) dropped_.Increment();
  spans.clear();
}

}  // namespace dockercoins
