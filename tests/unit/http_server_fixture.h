#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/http/http_server.h"
#include "common/wait.h"
#include "tests/unit/captured_log.h"
#include "tests/unit/eventually.h"
#include "tests/unit/gate.h"
#include "tests/unit/http_answer.h"
#include "tests/unit/sockets.h"

namespace dockercoins {

/// Answers with the path, once the body has come, unless the path says what else is to happen.
class FakeHandler {
 public:
  /// "/" takes bodies; "/page" and "/held" are counted by their names, all others as one.
  [[nodiscard]] Routes MakeRoutes() {
    const Action serve = [this](const HttpRequest& request, HttpResponse& response, const BodyReader& body,
                                const std::stop_token& cut) {
      {
        const std::lock_guard lock(mutex_);
        paths_.push_back(request.path);
      }
      Answer(request, response, body, cut);
      if (request.path == "/fail") throw std::runtime_error("out of luck");
    };
    Route rest = Route::To("other", "GET, HEAD", serve);
    rest.matches = [](std::string_view path) { return path.starts_with("/") && path != "/nowhere"; };
    return {Route::To("/", "GET, HEAD, POST", serve, 2'000'000), Route::To("/page", "GET, HEAD", serve),
            Route::To("/held", "GET, HEAD", serve), std::move(rest)};
  }

  [[nodiscard]] Gate& gate() { return gate_; }

  /// Of all requests that it was given.
  [[nodiscard]] std::vector<std::string> Paths() {
    const std::lock_guard lock(mutex_);
    return paths_;
  }

 private:
  void Answer(const HttpRequest& request, HttpResponse& response, const BodyReader& body,
              const std::stop_token& cut) {
    response.SetContent(request.path, "text/html");
    if (request.path.starts_with("/held")) gate_.Pass();
    if (request.path == "/until-cut" && !SleepFor(kPatience, cut))
      response.SetError(kServiceUnavailable, kStopping);
    if (request.path.starts_with("/status/")) response.SetError(std::stoi(request.path.substr(8)), "so");
    if (request.path == "/endless") response.SetSource(1'000'000'000'000, "text/plain", Fill);
    if (request.method == "POST") {
      body([](const char* /*data*/, size_t /*size*/) { return true; });
    }
  }

  static size_t Fill(uint64_t /*offset*/, char* data, size_t size) {
    std::fill_n(data, size, 'x');
    return size;
  }

  Gate gate_;
  std::mutex mutex_;
  std::vector<std::string> paths_;
};

/// A server on loopback, with FakeHandler.
class HttpServerTest : public ::testing::Test {
 protected:
  ~HttpServerTest() override { handler_.gate().Open(); }

  void Start(const HttpServer::Options& options = {}, ListenSocket socket = Listen("127.0.0.1", 0)) {
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

  /// Waits until the server has seen everything that was delivered: it takes connections in their order.
  void Settle() const { EXPECT_EQ(Ask(port(), "nonsense\r\n\r\n").status, 400); }

  CapturedLog log_;
  FakeHandler handler_;
  const Routes routes_ = handler_.MakeRoutes();
  std::unique_ptr<HttpServer> server_;
};

}  // namespace dockercoins
