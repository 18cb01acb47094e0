#pragma once

#include <chrono>
#include <stop_token>
#include <string>

#include "common/http_client.h"
#include "common/url.h"
#include "worker/loop_trace.h"
#include "worker/miner.h"

namespace dockercoins {

/// rng and hasher as the worker sees them. For one thread; a stop ends what it waits for.
class HttpUpstream {
 public:
  /// With 1,000 workers a reply of rng takes 100 s. The contract's limit ends a wait for a server that died
  /// silently, or sends a byte now and then.
  static constexpr std::chrono::milliseconds kTimeout = std::chrono::minutes(10);

  /// Each request is a step in `trace`, which must outlive this. Its name is looked up together with that of
  /// `sibling`, if there is one.
  HttpUpstream(HttpUrl url, LoopTrace& trace, std::stop_token stop,
               std::chrono::milliseconds timeout = kTimeout, const HttpUpstream* sibling = nullptr);

  /// The body of a 200 response of exactly `size` bytes; any other response is a std::runtime_error, and no
  /// connection an UnreachableError. Both name the server.
  std::string Get(const std::string& path, size_t size) { return Send("GET", path, "", size); }
  std::string Post(const std::string& path, const std::string& body, size_t size) {
    return Send("POST", path, body, size);
  }

  /// Throws std::runtime_error: the server's address, then `reason`.
  [[noreturn]] void Fail(const std::string& reason) const;

 private:
  std::string Send(const std::string& method, const std::string& path, const std::string& body, size_t size);
  /// The body of `response` if it is as expected.
  std::string Checked(httplib::Response response, size_t size) const;

  const std::string base_path_;
  HttpClient client_;
  LoopTrace& trace_;
  const std::stop_token stop_;
  const std::chrono::milliseconds timeout_;
};

/// rng and hasher over HTTP.
class HttpServices final : public Services {
 public:
  HttpServices(HttpUrl rng, HttpUrl hasher, LoopTrace& trace, const std::stop_token& stop);
  std::string Draw() override;
  std::string Hash(const std::string& bytes) override;

 private:
  HttpUpstream rng_;
  HttpUpstream hasher_;
};

}  // namespace dockercoins
