#include "common/trace.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <iterator>
#include <nlohmann/json.hpp>
#include <system_error>
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

/// Appends `text` as JSON.
void Append(std::string& json, std::string_view text) {
  const auto is_plain = [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; };
  const bool is_simple = std::ranges::all_of(text, is_plain);  // Then this is ten times as fast.
  json += is_simple ? '"' + std::string(text) + '"'
                    : nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void Append(std::string& json, std::string_view key, std::string_view value, bool is_number = false) {
  Append((json.back() == '[' ? json : json += ',') += R"({"key":)", key);
  Append(json += is_number ? R"(,"value":{"intValue":)" : R"(,"value":{"stringValue":)", value);
  json += "}}";
}

/// Appends it as trace.proto and docs/specification.md say
/// (https://github.com/open-telemetry/opentelemetry-proto). A tree would take ten times the CPU time, and
/// megabytes for all that may wait.
void Append(std::string& json, const Span& span) {
  const auto nanoseconds = [&](auto time) {
    return int64_t{std::chrono::nanoseconds(time.time_since_epoch() + span.epoch).count()};
  };
  constexpr const char* kForm =
      R"({"traceId":"%016lx%016lx","spanId":"%016lx","kind":%d,"startTimeUnixNano":"%ld","endTimeUnixNano":"%ld")";
  const auto& [high, low, id, sampled] = span.context;
  std::array<char, 256> head{};
  std::snprintf(head.data(), head.size(), kForm, high, low, id, static_cast<int>(span.kind),
                nanoseconds(span.begun), nanoseconds(span.ended));
  (json.back() == '[' ? json : json += ',') += head.data();
  if (span.parent != 0) ((json += R"(,"parentSpanId":")") += IdText(span.parent)) += '"';
  Append(json += R"(,"name":)", span.name);
  if (span.error) Append(json += R"(,"status":{"code":2,"message":)", *span.error), json += '}';
  json += R"(,"attributes":[)";
  for (const auto& [key, value, is_number] : span.attributes) Append(json, key, value, is_number);
  json += "]}";
}

httplib::Request ToRequest(const std::vector<Span>& spans, const TraceSettings& settings) {
  httplib::Request request;
  request.method = "POST";
  request.path = settings.receiver.path;
  request.set_header("Content-Type", "application/json");
  std::string& json = request.body = R"({"resourceSpans":[{"resource":{"attributes":[)";
  for (const auto& [key, value] : settings.attributes) Append(json, key, value);
  json +=
      R"(]},"scopeSpans":[{"scope":{"name":"dockercoins","version":")" DOCKERCOINS_VERSION R"("},"spans":[)";
  for (const Span& span : spans) Append(json, span);
  json += "]}]}]}";
  return request;
}

}  // namespace

Tracer::Tracer(Metrics& metrics, Log& log, std::stop_token stop)
    : log_(log),
      dropped_(metrics.AddCounter("dockercoins_spans_dropped_total",
                                  "Spans lost: too many waited, or the receiver did not take them.")),
      stop_(std::move(stop)),
      on_stop_(stop_, [this] { stopped_ = Span::Clock::now(); }) {
  try {
    if (auto read = ReadTraceSettings(log.name()))
      settings_ = std::make_unique<const TraceSettings>(*std::move(read));
  } catch (const SettingError& error) {
    log.Warning(std::string("No traces: ") + error.what());
  }
  if (!settings_) return;
  std::random_device device;
  random_.seed(uint64_t{device()} << 32 | device());
  try {
    sending_ = std::async(std::launch::async, [this] { Run(); });
  } catch (const std::system_error& error) {
    settings_.reset();
    log.Warning(std::string("No traces: ") + error.what());
  }
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
  HttpClient client(settings_->receiver.server);
  std::unique_lock lock(mutex_);
  for (bool is_last = false; !is_last;) {
    // At a stop what there is goes at once, and then the rest.
    changed_.wait_for(lock, stop_.stop_requested() ? std::stop_token() : stop_, kInterval, is_closed);
    is_last = closed_;
    std::vector<Span> sent = std::exchange(spans_, {});
    in_flight_ = sent.size();
    lock.unlock();
    if (!sent.empty()) Send(client, sent);
    lock.lock();
    in_flight_ = 0;
    std::ranges::move(spans_, std::back_inserter(sent));
    spans_ = std::move(sent);
  }
}

/// Leaves those that should be sent again.
void Tracer::Send(HttpClient& client, std::vector<Span>& spans) {
  std::string reason;
  bool is_done = false, is_busy = false;
  try {
    const auto response =
        client.Send(ToRequest(spans, *settings_), {.time = kPostTime, .body = kMaxResponse, .keep = true},
                    interrupt_.get_token());
    const int status = response.status;
    has_failed_ = false;
    is_done = status / 100 == 2;
    // The specification's list of those after which a client tries again.
    is_busy = status == 429 || status == 502 || status == 503 || status == 504;
    if (!is_done || response.body.find("rejectedSpans") != std::string::npos)
      reason = client.Server().ToString() + ": it responded with status " + std::to_string(status) + " " +
               response.body;
  } catch (const UnreachableError& error) {
    is_busy = true;
    reason = error.what();
  } catch (const std::exception& error) {
    is_busy = !std::exchange(has_failed_, true);  // The receiver may have closed a kept connection just now.
    if (!is_busy) reason = error.what();
  }
  const bool is_told = reason.empty() || interrupt_.stop_requested() || warned_.size() == kMaxWarnings;
  if (!is_told && warned_.insert(reason).second) log_.Warning("Traces: " + reason);
  if (is_busy) return;
  for (size_t lost = is_done ? 0 : spans.size(); lost > 0; --lost) dropped_.Increment();
  spans.clear();
}

}  // namespace dockercoins
