#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "common/http_client.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/settings.h"
#include "common/span.h"

namespace dockercoins {

/// Sends spans by OTLP over HTTP, in JSON, to where the settings say. Thread-safe.
///
/// It disturbs nothing. At most 2,048 spans wait, and others are counted as dropped. One thread posts them
/// once a second. They wait on while the receiver cannot be reached or is busy. Each reason is one warning.
class Tracer {
 public:
  /// Off without a receiver (see ReadTraceSettings), or with a setting that cannot be used, which is a
  /// warning. Then there is no thread. All must outlive this.
  Tracer(Metrics& metrics, Log& log, std::stop_token stop);
  /// The last spans have 100 ms from the stop, or from now if there was none.
  ~Tracer();

  [[nodiscard]] bool IsOn() const { return settings_ != nullptr; }

  /// A span that begins now, in the trace of `parent` or in a new one. For a tracer that is on.
  [[nodiscard]] Span Begin(std::string name, Span::Kind kind, const std::optional<SpanContext>& parent);
  /// Sends `span`, if its trace is recorded.
  void Add(Span span);

 private:
  void Run();
  void Send(HttpClient& client, std::vector<Span>& spans);
  uint64_t RandomId() { return random_() | 1; }  // Not 0.

  Log& log_;
  const Counter dropped_;
  std::unique_ptr<const TraceSettings> settings_;  ///< Null: off.
  bool has_failed_ = false;                        ///< The last request, without a response.
  std::set<std::string> warned_;                   ///< The reasons of the warnings.
  std::mutex mutex_;                               ///< Guards these four:
  std::mt19937_64 random_;
  std::vector<Span> spans_;
  size_t in_flight_ = 0;  ///< So many others are being sent.
  bool closed_ = false;   ///< There will be no more.
  std::condition_variable_any changed_;
  std::stop_source interrupt_;  ///< Ends a request.
  const std::stop_token stop_;
  std::atomic<Span::Clock::time_point> stopped_ = Span::Clock::time_point::max();
  const std::stop_callback<std::function<void()>> on_stop_;
  std::future<void> sending_;
};

}  // namespace dockercoins
