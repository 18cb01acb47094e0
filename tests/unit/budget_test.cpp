// What the stages of the server count is held against what the allocator gave.
#include "common/budget.h"

#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/socket.h>

#include <array>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/http/arriving_requests.h"
#include "common/http/lingering_connections.h"
#include "common/http/outgoing_responses.h"
#include "common/http/waiting_clients.h"
#include "httplib.h"
#include "tests/unit/captured_log.h"
#include "tests/unit/sockets.h"

namespace dockercoins {
namespace {

size_t Allocated() {
  const struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

class IgnoringSink final : public BodySink {
 public:
  void Take(const char* /*data*/, size_t /*size*/) override {}
  std::string Finish() override { return {}; }
};

Routes TestRoutes() {
  Routes routes;
  const auto serve = [](const httplib::Request&, httplib::Response&) {};
  routes.Post("/", 1'000'000, std::make_unique<IgnoringSink>, serve);
  routes.Get("/:rest", serve);
  return routes;
}

class BudgetTest : public ::testing::Test {
 protected:
  static constexpr size_t kClients = 200;

  void SetUp() override {
    if (Allocated() == 0) GTEST_SKIP() << "a sanitizer has an allocator of its own";
    // What the loop and this test keep for each is there before.
    clients_.reserve(kClients);
    requests_.reserve(kClients);
  }

  /// The server's end of a new connection, whose client has sent `text`.
  WatchedFd Connection(std::string_view text) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
    clients_.emplace_back(ends[0]);
    Send(clients_.back(), text);
    return {loop_, UniqueFd(ends[1])};
  }

  /// Expects that `add`, called for each client, counts about what it allocates.
  template <typename Add>
  void ExpectCounted(const std::string& what, Add add) {
    const size_t before = Allocated();
    for (size_t i = 0; i < kClients; ++i) {
      add();
      loop_.Wake();
      loop_.Poll();
    }
    const double ratio = static_cast<double>(budget_.used()) / static_cast<double>(Allocated() - before);
    EXPECT_GT(ratio, 0.8) << what;
    EXPECT_LT(ratio, 1.7) << what;
    arriving_.CloseAll();
    waiting_.CloseAll();
    while (outgoing_.CutOffSlowest()) {
    }
    lingering_.CloseAll();
    requests_.clear();
    clients_.clear();
    EXPECT_EQ(budget_.used(), 0U) << what;
  }

  CapturedLog log_;
  EventLoop loop_;
  Budget budget_{std::numeric_limits<size_t>::max()};
  const Routes routes_ = TestRoutes();
  std::vector<UniqueFd> clients_;
  std::vector<std::unique_ptr<Request>> requests_;
  const WaitingClient::Left left_;
  Stage<WaitingClient> waiting_;
  LingeringConnections lingering_{loop_, budget_, {}};
  OutgoingResponses outgoing_{loop_, budget_, {}, log_.log(), [](OutgoingResponse&, bool) {}};
  ArrivingRequests arriving_{
      loop_,
      budget_,
      routes_,
      {},
      [this](WatchedFd fd, std::unique_ptr<Request> request, bool) {
        waiting_.Add(std::make_unique<WaitingClient>(loop_, budget_, std::move(fd), *request, false, left_));
        requests_.push_back(std::move(request));
      },
      [](WatchedFd, RequestRecord, const Refusal&) { FAIL() << "refused"; }};
};

TEST_F(BudgetTest, ArrivingAndWaitingRequestsCountWhatTheyHold) {
  const auto head = [](int count, size_t size) {
    std::string text = "GET /32 HTTP/1.0\r\n";
    for (int i = 0; i < count; ++i)
      text += "Name-" + std::to_string(i) + ": " + std::string(size, 'x') + "\r\n";
    return text;
  };
  const std::string long_line = "GET /" + std::string(7'000, 'x');
  for (const std::string& text :
       {std::string(), long_line, head(0, 0), head(4, 10), head(99, 1), head(4, 3'900),
        head(0, 0) + "X: " + std::string(15'000, 'x'), head(0, 0) + "\r\n", head(4, 10) + "\r\n",
        head(99, 1) + "\r\n", head(4, 3'900) + "\r\n", long_line + " HTTP/1.0\r\n\r\n",
        std::string("POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n12345")})
    ExpectCounted(text.substr(0, 200), [&] { arriving_.Add(Connection(text), "192.168.178.101"); });
}

TEST_F(BudgetTest, ResponsesAndWhatLingersCountWhatTheyHold) {
  const auto respond = [this](const auto& set) {
    WatchedFd fd = Connection("");
    while (::send(fd.get(), "xxxxxxxx", 8, 0) > 0) {
    }
    httplib::Response response;
    set(response);
    outgoing_.Add(std::move(fd), {.client = "192.168.178.101", .request_line = "GET /"}, std::move(response),
                  true, false);
  };
  ExpectCounted("a response with a provider", [&] {
    respond([](httplib::Response& response) {
      response.set_content_provider(1'000'000, "text/plain",
                                    [](size_t, size_t size, httplib::DataSink& sink) {
                                      return sink.write(std::string(size, 'x').data(), size);
                                    });
    });
  });
  for (const size_t size : {0U, 1'000U, 100'000U}) {
    ExpectCounted("a response of " + std::to_string(size), [&] {
      respond([&](httplib::Response& response) {
        response.set_header("Content-Security-Policy", std::string(200, 'x'));
        response.set_content(std::string(size, 'x'), "text/plain");
      });
    });
  }
  ExpectCounted("a lingering connection", [&] { lingering_.Add(Connection("")); });
}

}  // namespace
}  // namespace dockercoins
