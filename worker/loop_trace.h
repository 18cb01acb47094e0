#pragma once

#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/trace.h"

namespace dockercoins {

/// The spans of the worker's loops. A span lasts as long as the call that it is about, and has failed if that
/// throws. For one thread.
class LoopTrace {
 public:
  /// Records nothing.
  LoopTrace() = default;
  /// `tracer` must outlive this. Records nothing if it is off.
  explicit LoopTrace(Tracer& tracer) : tracer_(tracer.IsOn() ? &tracer : nullptr) {}

  /// Calls `call()` in the first span of a new trace.
  template <typename Call>
  void Loop(const Call& call) {
    if (tracer_ != nullptr) loop_ = tracer_->Begin("loop", Span::Kind::kInternal, std::nullopt);
    Record(loop_, [&](Span* /*span*/) { call(); });
  }

  /// Calls `call(span)` in a span below that of the loop, and returns what it returns. `span` takes
  /// attributes; it is null when the loop is not recorded.
  template <typename Call>
  auto Step(std::string_view name, Span::Kind kind, const Call& call) {
    if (loop_) step_ = tracer_->Begin(std::string(name), kind, loop_->context);
    if (loop_) step_->epoch = loop_->epoch;
    return Record(step_, call);
  }

  /// The `traceparent` header of a request in this step; empty when there is none.
  [[nodiscard]] std::string Traceparent() const { return step_ ? step_->context.Traceparent() : ""; }

 private:
  /// Ends a span when it goes.
  struct Ending {
    ~Ending() {
      if (!span) return;
      span->ended = Span::Clock::now();
      tracer->Add(*std::move(span));
      span.reset();
    }
    Tracer* tracer;
    std::optional<Span>& span;
  };

  template <typename Call>
  auto Record(std::optional<Span>& span, const Call& call) {
    const Ending ending{tracer_, span};
    try {
      return call(span && span->context.sampled ? &*span : nullptr);
    } catch (const std::exception& error) {
      if (span) Fail(*span, error.what());
      throw;
    }
  }

  static void Fail(Span& span, const char* reason) {
    span.error = reason;
    const bool has_type =
        !span.attributes.empty() && std::string_view(span.attributes.back().key) == "error.type";
    if (!has_type) span.attributes.push_back({"error.type", "_OTHER"});
  }

  Tracer* tracer_ = nullptr;
  std::optional<Span> loop_, step_;
};

}  // namespace dockercoins
