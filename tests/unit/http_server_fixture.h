#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "common/http/http_server.h"
#include "common/service/access_log.h"
#include "common/wait.h"
#include "httplib.h"
#include "tests/unit/captured_log.h"
#include "tests/unit/sockets.h"
#include "tests/unit/timing.h"

namespace dockercoins {

/// A response, as a client sees it.
struct HttpResponse {
  std::string raw;  ///< All bytes; empty if the connection was closed without a response, or reset.
  int status = 0;   ///< 0 if it is not a response.
  std::string body;
};

/// The response on `client`, until the server closes the connection.
inline HttpResponse ResponseOn(const UniqueFd& client) {
  HttpResponse response;
  response.raw = ReceiveAll(client).value_or("");
  if (!response.raw.starts_with("HTTP/1.1 ")) return response;
  response.status = std::stoi(response.raw.substr(9, 3));
  response.body = response.raw.substr(std::min(response.raw.size(), response.raw.find("\r\n\r\n") + 4));
  return response;
}

/// The response to `request` of a server on a port of 127.0.0.1.
inline HttpResponse Ask(uint16_t port, std::string_view request) {
  const UniqueFd client = ConnectTo(port);
  Send(client, request);
  return ResponseOn(client);
}

/// Request line and headers of a good request.
inline std::string Get(const std::string& path) { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"; }

/// Responds with the path, or with how many bytes a body had, unless the path says what else is to happen.
class FakeHandler {
 public:
  /// "/" takes bodies; "/page" and "/held" are counted by their names, all others as one.
  [[nodiscard]] Routes MakeRoutes() {
    const auto serve = [this](const httplib::Request& request, httplib::Response& response,
                              const Turn& turn) {
      {
        const std::lock_guard lock(mutex_);
        paths_.push_back(request.path);
      }
      Respond(request, response, turn.cut);
    };
    Routes routes;
    routes.Get("/", serve);
    routes.Post("/", 2'000'000, std::make_unique<CountingSink>, serve);
    routes.Get("/page", serve);
    routes.Get("/held", serve);
    routes.Get("/:other", serve).check = [](const httplib::Request& request) -> std::optional<Refusal> {
      if (request.path == "/check-fails") throw std::runtime_error("no luck");
      return std::nullopt;
    };
    return routes;
  }

  [[nodiscard]] Gate& gate() { return gate_; }

  /// Of all requests that it was given.
  [[nodiscard]] std::vector<std::string> Paths() {
    const std::lock_guard lock(mutex_);
    return paths_;
  }

 private:
  class CountingSink final : public BodySink {
   public:
    void Take(const char* /*data*/, size_t size) override { size_ += size; }
    std::string Finish() override { return std::to_string(size_); }

   private:
    size_t size_ = 0;
  };

  void Respond(const httplib::Request& request, httplib::Response& response, const std::stop_token& cut) {
    response.set_content(request.method == "POST" ? request.body : request.path, "text/html");
    if (request.path.starts_with("/held")) gate_.Pass();
    if (request.path == "/until-cut" && !SleepFor(kPatience, cut))
      SetError(response, httplib::ServiceUnavailable_503, kStopping);
    if (request.path.starts_with("/status/")) SetError(response, std::stoi(request.path.substr(8)), "so");
    if (request.path == "/endless") {
      response.set_content_provider(1'000'000'000'000, "text/plain",
                                    [](size_t /*offset*/, size_t size, httplib::DataSink& sink) {
                                      return sink.write(std::string(size, 'x').data(), size);
                                    });
    }
    if (request.path == "/fail") throw std::runtime_error("out of luck");
  }

  Gate gate_;
  std::mutex mutex_;
  std::vector<std::string> paths_;
};

/// A server on loopback, with FakeHandler.
class HttpServerTest : public ::testing::Test {
 protected:
  ~HttpServerTest() override { handler_.gate().Open(); }

  void Start(HttpServer::Options options = {}, ListenSocket socket = Listen("127.0.0.1", 0)) {
    options.record = [this](const RequestRecord& record) { access_log_.Write(record); };
    options.waiting = http_metrics_.Waiting();
    server_ = std::make_unique<HttpServer>(std::move(socket), options, routes_, log_.log());
    server_->Start();
  }

  [[nodiscard]] uint16_t port() const { return server_->port(); }

  [[nodiscard]] UniqueFd Delivered(std::string_view text) const {
    UniqueFd client = ConnectTo(port());
    Deliver(client, text);
    return client;
  }

  /// A connection whose request is in service, and stays there until the gate opens.
  UniqueFd Hold() {
    const size_t before = handler_.gate().Arrived();
    UniqueFd client = Delivered(Get("/held"));
    EXPECT_TRUE(handler_.gate().AwaitArrived(before + 1));
    return client;
  }

  /// Clients that all have sent `text`.
  [[nodiscard]] std::vector<UniqueFd> Many(size_t count, std::string_view text) const {
    std::vector<UniqueFd> clients;
    for (size_t i = 0; i < count; ++i) clients.push_back(Delivered(text));
    return clients;
  }

  /// Waits until the server has seen everything that was delivered: it takes connections in their order.
  void Settle() const { EXPECT_EQ(Ask(port(), "nonsense\r\n\r\n").status, 400); }

  CapturedLog log_;
  Metrics metrics_;
  const HttpMetrics http_metrics_{metrics_};
  const AccessLog access_log_{log_.log(), http_metrics_};
  FakeHandler handler_;
  const Routes routes_ = handler_.MakeRoutes();
  std::unique_ptr<HttpServer> server_;
};

}  // namespace dockercoins
