#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/http_server.h"
#include "common/sleep.h"
#include "tests/unit/captured_log.h"
#include "tests/unit/eventually.h"
#include "tests/unit/gate.h"
#include "tests/unit/http_answer.h"
#include "tests/unit/sockets.h"

namespace dockercoins {

/// Answers with the path, once the body has come, unless the path says what else is to happen.
class FakeHandler final : public HttpHandler {
 public:
  [[nodiscard]] std::string_view AllowedMethods(std::string_view path) const override {
    if (path == "/") return "GET, HEAD, POST";
    if (path == "/odd") return "FORGET, GETTER";
    return path.starts_with("/") && path != "/nowhere" ? "GET, HEAD" : "";
  }

  [[nodiscard]] uint64_t MaxBodyBytes() const override { return 2'000'000; }
  [[nodiscard]] std::vector<std::string> Routes() const override { return {"/", "/page", "/held"}; }
  [[nodiscard]] std::string_view Route(std::string_view path) const override { return path; }

  void Serve(const HttpRequest& request, HttpResponse& response, const BodyReader& body,
             std::stop_token cut) override {
    {
      const std::lock_guard lock(mutex_);
      paths_.push_back(request.path);
    }
    Answer(request, response, body, std::move(cut));
    if (request.path == "/fail") throw std::runtime_error("out of luck");
  }

  [[nodiscard]] Gate& gate() { return gate_; }

  /// Of all requests that it was given.
  [[nodiscard]] std::vector<std::string> Paths() {
    const std::lock_guard lock(mutex_);
    return paths_;
  }

 private:
  void Answer(const HttpRequest& request, HttpResponse& response, const BodyReader& body,
              std::stop_token cut) {
    response.SetContent(request.path, "text/html");
    if (request.path.starts_with("/held")) gate_.Pass();
    if (request.path == "/headers") response.headers.emplace_back("X-Fake", "yes");
    if (request.path == "/until-cut" && !SleepFor(kPatience, std::move(cut))) response.SetStopping();
    if (request.path.starts_with("/status/")) response.SetError(std::stoi(request.path.substr(8)), "so");
    if (request.path == "/stream") response.SetSource(300'000, "text/plain", Fill);
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
    server_ = std::make_unique<HttpServer>(std::move(socket), options, handler_, log_.log());
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
  std::unique_ptr<HttpServer> server_;
};

}  // namespace dockercoins
