#include "common/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <iterator>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/sleep.h"
#include "tests/unit/captured_log.h"
#include "tests/unit/eventually.h"
#include "tests/unit/gate.h"
#include "tests/unit/http_answer.h"
#include "tests/unit/samples.h"
#include "tests/unit/sockets.h"
#include "tests/unit/stopwatch.h"

namespace dockercoins {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

/// Paths that begin with "/held" wait at the gate, whatever is cut; "/until-cut" waits for the cut. A POST is
/// answered with the size of its body.
class FakeHandler final : public HttpHandler {
 public:
  [[nodiscard]] std::string_view AllowedMethods(std::string_view path) const override {
    if (path == "/") return "GET, HEAD, POST";
    return path == "/nowhere" ? "" : "GET, HEAD";
  }

  [[nodiscard]] uint64_t MaxBodyBytes() const override { return 10'000'000; }
  [[nodiscard]] std::vector<std::string> Routes() const override { return {"/", "/page", "/held"}; }
  [[nodiscard]] std::string_view Route(std::string_view path) const override { return path; }

  void Serve(const HttpRequest& request, HttpResponse& response, const BodyReader& body,
             std::stop_token cut) override {
    const int now = ++in_service_;
    {
      const std::lock_guard lock(mutex_);
      paths_.push_back(request.path);
      most_in_service_ = std::max(most_in_service_, now);
    }
    uint64_t bytes = 0;
    if (request.path.starts_with("/held")) gate_.Pass();
    if (request.method == "POST") {
      body([&](const char* /*data*/, size_t size) {
        bytes += size;
        return true;
      });
    }
    response.SetContent(request.method == "POST" ? std::to_string(bytes) : request.path, "text/plain");
    if (request.path == "/until-cut" && !SleepFor(kPatience, std::move(cut))) response.SetStopping();
    --in_service_;
  }

  [[nodiscard]] Gate& gate() { return gate_; }

  [[nodiscard]] std::vector<std::string> Paths() {
    const std::lock_guard lock(mutex_);
    return paths_;
  }

  [[nodiscard]] int MostInService() {
    const std::lock_guard lock(mutex_);
    return most_in_service_;
  }

 private:
  Gate gate_;
  std::atomic<int> in_service_ = 0;
  std::mutex mutex_;
  std::vector<std::string> paths_;
  int most_in_service_ = 0;
};

std::string Get(const std::string& path) { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"; }

/// Nearly as large as a head may be; an empty line completes it.
const std::string kLargeHalf = [] {
  std::string half = "GET /large HTTP/1.1\r\n";
  for (int i = 0; i < 4; ++i) half += "X: " + std::string(4000, 'x') + "\r\n";
  return half;
}();

HttpAnswer AnswerOn(const UniqueFd& client) { return ParseAnswer(ReceiveAll(client).value_or("")); }

/// Gives the process room for `files` descriptors, or as many as it may have.
class FileLimit {
 public:
  explicit FileLimit(rlim_t files) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    now_ = {.rlim_cur = std::min(files, before_.rlim_max), .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &now_);
  }
  FileLimit(const FileLimit&) = delete;
  FileLimit& operator=(const FileLimit&) = delete;
  ~FileLimit() { ::setrlimit(RLIMIT_NOFILE, &before_); }

  [[nodiscard]] rlim_t files() const { return now_.rlim_cur; }

 private:
  rlimit before_{};
  rlimit now_{};
};

auto OpenDescriptors() {
  const std::filesystem::directory_iterator descriptors("/proc/self/fd");
  return std::distance(begin(descriptors), end(descriptors));
}

class HttpServerTest : public ::testing::Test {
 protected:
  ~HttpServerTest() override { handler_.gate().Open(); }

  void Start(const HttpServer::Options& options = {}, const std::string& address = "127.0.0.1") {
    server_ = std::make_unique<HttpServer>(Listen(address, 0), options, handler_, log_.log());
    server_->Start();
  }

  [[nodiscard]] uint16_t port() const { return server_->port(); }

  /// A connection whose request is in service, and stays there until the gate opens.
  UniqueFd Hold(const std::string& path = "/held") {
    const size_t before = handler_.gate().Arrived();
    UniqueFd client = ConnectTo(port());
    Deliver(client, Get(path));
    EXPECT_TRUE(handler_.gate().AwaitArrived(before + 1));
    return client;
  }

  /// Waits until the server has seen everything that was delivered: it takes connections in their order.
  void Settle() const { EXPECT_EQ(Ask(port(), "nonsense\r\n\r\n").status, 400); }

  [[nodiscard]] std::vector<std::string> AwaitLogLines(size_t count) const {
    EXPECT_TRUE(Eventually([&] { return log_.Lines().size() >= count; }));
    return log_.Lines();
  }

  CapturedLog log_;
  FakeHandler handler_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, Answers) {
  Start();
  const HttpAnswer answer = Ask(port(), Get("/a"));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "/a");
  EXPECT_EQ(answer.Header("Connection"), "close");
}

TEST_F(HttpServerTest, ServesInTheOrderInWhichRequestsBecameComplete) {
  Start({.threads = 1});
  const UniqueFd held = Hold();
  const UniqueFd half_sent = ConnectTo(port());
  Deliver(half_sent, "GET /half-sent-first HTTP/1.1\r\n");
  std::vector<std::string> expected = {"/held"};
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 20; ++i) {
    expected.push_back("/" + std::to_string(i));
    clients.push_back(ConnectTo(port()));
    Deliver(clients.back(), Get(expected.back()));
  }
  Settle();
  Deliver(half_sent, "Host: x\r\n\r\n");
  expected.emplace_back("/half-sent-first");
  handler_.gate().Open();
  for (const UniqueFd& client : clients) EXPECT_EQ(AnswerOn(client).status, 200);
  EXPECT_EQ(AnswerOn(half_sent).status, 200);
  EXPECT_EQ(handler_.Paths(), expected);
  EXPECT_EQ(handler_.MostInService(), 1);
}

TEST_F(HttpServerTest, ServesAsManyAtATimeAsItHasThreads) {
  Start({.threads = 3});
  const UniqueFd first = Hold();
  const UniqueFd second = Hold();
  const UniqueFd third = Hold();
  handler_.gate().Open();
  EXPECT_EQ(AnswerOn(third).status, 200);
  EXPECT_EQ(handler_.MostInService(), 3);
}

TEST_F(HttpServerTest, IdleAndHalfSentConnectionsHoldNobodyUp) {
  Start({.threads = 1});
  std::vector<UniqueFd> others;
  for (const char* text : {"", "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r",
                           "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345"}) {
    for (int i = 0; i < 20; ++i) {
      others.push_back(ConnectTo(port()));
      Deliver(others.back(), text);
    }
  }
  EXPECT_EQ(Ask(port(), Get("/a")).status, 200);
  Deliver(others.back(), "67890");
  EXPECT_EQ(AnswerOn(others.back()).body, "10");
}

TEST_F(HttpServerTest, TakesARequestByteByByte) {
  Start();
  const UniqueFd client = ConnectTo(port());
  for (const char c : std::string("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"))
    Deliver(client, {&c, 1});
  EXPECT_EQ(AnswerOn(client).body, "2");
}

TEST_F(HttpServerTest, LargeBodiesOnTheirWayLeaveThreadsToTheOthers) {
  Start({.threads = 2});
  const std::string head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";
  std::vector<UniqueFd> slow;
  for (int i = 0; i < 5; ++i) {
    slow.push_back(ConnectTo(port()));
    Deliver(slow.back(), head + "begin");
  }
  EXPECT_EQ(Ask(port(), Get("/a")).status, 200);
  for (const UniqueFd& client : slow) {
    Send(client, std::string(100'000 - 5, 'x'));
    EXPECT_EQ(AnswerOn(client).body, "100000");
  }
}

TEST_F(HttpServerTest, TakesBodiesOfAnySizeAndForm) {
  Start();
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{16'000}, size_t{16'384}, size_t{16'385}, size_t{1'000'000}}) {
    const std::string head =
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n";
    EXPECT_EQ(Ask(port(), head + std::string(size, 'x')).body, std::to_string(size));
  }
  EXPECT_EQ(
      Ask(port(), "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
          .body,
      "3");
}

TEST_F(HttpServerTest, CallsForABodyThatItsClientHoldsBack) {
  Start();
  const UniqueFd client = ConnectTo(port());
  Deliver(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(Receive(client, 25), "HTTP/1.1 100 Continue\r\n\r\n");
  Send(client, "abc");
  EXPECT_EQ(AnswerOn(client).body, "3");
}

TEST_F(HttpServerTest, AnswersOneRequestAConnection) {
  Start();
  const HttpAnswer answer = Ask(port(), Get("/a") + Get("/b"));
  EXPECT_EQ(answer.body, "/a");
  EXPECT_THAT(handler_.Paths(), ElementsAre("/a"));
}

TEST_F(HttpServerTest, RefusesWhatIsNoRequest) {
  Start();
  EXPECT_EQ(Ask(port(), "GET / HTTP/1.1\n\n").status, 400);
  EXPECT_EQ(Ask(port(), "\x16\x03\x01\r\n\r\n").status, 400);
  EXPECT_EQ(Ask(port(), std::string(9000, 'a')).status, 414);
  EXPECT_EQ(Ask(port(), "GET / HTTP/1.1\r\nX: " + std::string(17'000, 'a')).status, 431);
  const HttpAnswer answer = Ask(port(), "GET / HTTP/1.1\r\nno header\r\n\r\n");
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.body, "400 Bad Request: a line of the request head is not a header\n");
  EXPECT_EQ(answer.Header("Content-Length"), std::to_string(answer.body.size()));
  EXPECT_EQ(answer.Header("Connection"), "close");
  EXPECT_THAT(handler_.Paths(), IsEmpty());
  EXPECT_THAT(AwaitLogLines(5).back(),
              EndsWith("\"GET / HTTP/1.1\" 400 " + std::to_string(answer.body.size())));
}

TEST_F(HttpServerTest, RefusesAHeadRequestWithoutABody) {
  Start();
  const HttpAnswer answer = Ask(port(), "HEAD / HTTP/1.1\r\nno header\r\n\r\n");
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.body, "");
}

TEST_F(HttpServerTest, ARefusalReachesAClientThatIsStillSending) {
  Start();
  const std::string body(5'000'000, 'x');
  const std::string length = "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  EXPECT_EQ(Ask(port(), "POST /nowhere HTTP/1.1\r\nHost: x\r\n" + length + body).status, 404);
  EXPECT_EQ(Ask(port(), "POST /a HTTP/1.1\r\nHost: x\r\n" + length + body).status, 405);
  EXPECT_EQ(Ask(port(), "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000001\r\n\r\n" + body).status, 413);
  EXPECT_EQ(Ask(port(), "POST / HTTP/1.1\r\nno header\r\n" + length + body).status, 400);
}

TEST_F(HttpServerTest, ForgetsAClientThatDoesNotCloseASecondAfterItsAnswer) {
  Start();
  const UniqueFd client = ConnectTo(port());
  Send(client, Get("/a"));
  EXPECT_EQ(AnswerOn(client).status, 200);
  const Stopwatch watch;
  // Once the server has closed its end, sending is answered with a reset.
  EXPECT_TRUE(Eventually([&] { return !Send(client, "x"); }));
  EXPECT_GE(watch.Elapsed(), milliseconds(900));
  EXPECT_LT(watch.Elapsed(), seconds(5));
}

TEST_F(HttpServerTest, PassesOverClientsThatLeftBeforeTheirTurn) {
  Start({.threads = 1, .skip_clients_that_left = true});
  const UniqueFd held = Hold();
  UniqueFd closed = ConnectTo(port());
  Deliver(closed, Get("/closed"));
  closed.Reset();
  const UniqueFd half_closed = ConnectTo(port());
  Deliver(half_closed, Get("/half-closed"));
  ::shutdown(half_closed.get(), SHUT_WR);
  const UniqueFd stays = ConnectTo(port());
  Deliver(stays, Get("/stays"));
  handler_.gate().Open();
  EXPECT_EQ(AnswerOn(stays).status, 200);
  EXPECT_EQ(AnswerOn(half_closed).raw, "");
  EXPECT_THAT(handler_.Paths(), ElementsAre("/held", "/stays"));
  EXPECT_THAT(AwaitLogLines(4), ElementsAre(EndsWith(" 200 5"), EndsWith(R"("GET /closed HTTP/1.1" - -)"),
                                            EndsWith(R"("GET /half-closed HTTP/1.1" - -)"),
                                            EndsWith(R"("GET /stays HTTP/1.1" 200 6)")));
}

TEST_F(HttpServerTest, AnswersClientsThatClosedTheirSideUnlessToldToPassThemOver) {
  Start();
  const UniqueFd client = ConnectTo(port());
  Send(client, Get("/a"));
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_EQ(AnswerOn(client).status, 200);
}

TEST_F(HttpServerTest, WritesAnAccessLineForEveryRequest) {
  Start();
  Ask(port(), Get("/a"));
  Ask(port(), "HEAD /b HTTP/1.0\r\n\r\n");
  EXPECT_THAT(AwaitLogLines(2),
              ElementsAre(EndsWith(R"("GET /a HTTP/1.1" 200 2)"), EndsWith(R"("HEAD /b HTTP/1.0" 200 0)")));
}

TEST_F(HttpServerTest, WritesIpv4ClientsAsSuchThoughItListensOnIpv6) {
  Start({}, "::");
  Ask(port(), Get("/a"));
  EXPECT_THAT(AwaitLogLines(1), ElementsAre(StartsWith("127.0.0.1 - - [")));
}

TEST_F(HttpServerTest, WritesNoLineForAConnectionThatSaidNothing) {
  Start();
  {
    const UniqueFd silent = ConnectTo(port());
    const UniqueFd half_sent = ConnectTo(port());
    Deliver(half_sent, "GET");
  }
  Ask(port(), Get("/a"));
  server_->Stop();
  EXPECT_THAT(log_.Lines(), ElementsAre(EndsWith(R"("GET /a HTTP/1.1" 200 2)")));
}

TEST_F(HttpServerTest, WritesNoAccessLinesUnlessAskedTo) {
  Start({.threads = 1, .log_access = false});
  EXPECT_EQ(Ask(port(), Get("/a")).status, 200);
  EXPECT_EQ(Ask(port(), "nonsense\r\n\r\n").status, 400);
  server_->Stop();
  EXPECT_THAT(log_.Lines(), IsEmpty());
}

TEST_F(HttpServerTest, CountsEveryRequestOfWhichItWritesALine) {
  Metrics metrics;
  const HttpMetrics http_metrics(metrics, handler_);
  Start({.threads = 1, .skip_clients_that_left = true, .metrics = &http_metrics});
  Ask(port(), Get("/page"));
  Ask(port(), Get("/%70age?x=y"));
  Ask(port(), Get("http://host/page"));
  Ask(port(), "HEAD /page HTTP/1.0\r\n\r\n");
  Ask(port(), "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + std::string(20'000, 'x'));
  Ask(port(), "PUT /page HTTP/1.1\r\nHost: x\r\n\r\n");
  Ask(port(), Get("/nowhere"));
  Ask(port(), "nonsense\r\n\r\n");
  Ask(port(), "GET /page HTTP/1.1\r\nno header\r\n\r\n");
  {
    const UniqueFd silent = ConnectTo(port());
  }
  const UniqueFd held = Hold();
  {
    const UniqueFd leaves = ConnectTo(port());
    Deliver(leaves, Get("/page"));
    Settle();
  }
  handler_.gate().Open();
  EXPECT_EQ(AwaitLogLines(12).size(), 12U);
  const UniqueFd cut = ConnectTo(port());
  Deliver(cut, Get("/until-cut"));
  const UniqueFd waits = ConnectTo(port());
  Deliver(waits, Get("/page?x=y"));
  Settle();
  server_->Stop();

  std::map<std::string, double> counted;
  double sum = 0;
  for (const auto& [name, value] : Samples(metrics)) {
    if (!name.starts_with("http_requests_total")) continue;
    counted[name.substr(name.find('{'))] = value;
    sum += value;
  }
  EXPECT_EQ(sum, static_cast<double>(log_.Lines().size()));
  EXPECT_THAT(counted, UnorderedElementsAre(Pair(R"({route="/page",method="GET",status="200"})", 3),
                                            Pair(R"({route="/page",method="HEAD",status="200"})", 1),
                                            Pair(R"({route="/",method="POST",status="200"})", 1),
                                            Pair(R"({route="/page",method="PUT",status="405"})", 1),
                                            Pair(R"({route="other",method="GET",status="404"})", 1),
                                            Pair(R"({route="other",method="other",status="400"})", 3),
                                            Pair(R"({route="/page",method="GET",status="400"})", 1),
                                            Pair(R"({route="/page",method="GET",status="503"})", 1),
                                            Pair(R"({route="/page",method="GET",status="none"})", 1),
                                            Pair(R"({route="/held",method="GET",status="200"})", 1),
                                            Pair(R"({route="other",method="GET",status="503"})", 1)));
}

TEST_F(HttpServerTest, MeasuresTheTimeInLineAndTheTimeInService) {
  Metrics metrics;
  const HttpMetrics http_metrics(metrics, handler_);
  Start({.threads = 1, .metrics = &http_metrics});
  const Stopwatch watch;
  const UniqueFd held = Hold();
  const UniqueFd waits = ConnectTo(port());
  Deliver(waits, Get("/page"));
  Settle();
  SleepFor(milliseconds(100), {});
  handler_.gate().Open();
  EXPECT_EQ(AnswerOn(waits).status, 200);
  server_->Stop();
  const double took = std::chrono::duration<double>(watch.Elapsed()).count();
  const auto samples = Samples(metrics);
  EXPECT_EQ(samples.at("http_request_queue_seconds_count"), 2);
  EXPECT_GE(samples.at("http_request_queue_seconds_sum"), 0.1);
  EXPECT_LE(samples.at("http_request_queue_seconds_sum"), took);
  EXPECT_GE(samples.at(R"(http_request_service_seconds_sum{route="/held"})"), 0.1);
  EXPECT_LT(samples.at(R"(http_request_service_seconds_sum{route="/page"})"), 0.1);
  EXPECT_GE(samples.at(R"(http_request_duration_seconds_sum{route="/page"})"), 0.1);
  EXPECT_LE(samples.at(R"(http_request_duration_seconds_sum{route="/held"})"), took);
}

TEST_F(HttpServerTest, StopRefusesWhatWaits) {
  Start({.threads = 1});
  const UniqueFd held = Hold();
  std::vector<UniqueFd> waiting;
  for (int i = 0; i < 300; ++i) {
    waiting.push_back(ConnectTo(port()));
    Deliver(waiting.back(), Get("/waiting"));
  }
  Settle();
  EXPECT_EQ(handler_.Paths().size(), 1U);
  server_->Stop();
  for (const UniqueFd& client : waiting) {
    const HttpAnswer answer = AnswerOn(client);
    EXPECT_EQ(answer.status, 503);
    EXPECT_EQ(answer.body, "503 Service Unavailable: the service is stopping\n");
  }
  EXPECT_EQ(handler_.Paths().size(), 1U);
}

TEST_F(HttpServerTest, StopClosesWhatIsNotComplete) {
  Start();
  const UniqueFd idle = ConnectTo(port());
  const UniqueFd half_sent = ConnectTo(port());
  Deliver(half_sent, "GET / HTTP/1.1\r\n");
  EXPECT_EQ(Ask(port(), Get("/a")).status, 200);
  server_->Stop();
  EXPECT_TRUE(AwaitClosed(idle));
  EXPECT_TRUE(AwaitClosed(half_sent));
  EXPECT_FALSE(Connect(TcpSocket(), port()));
}

TEST_F(HttpServerTest, StopLetsFinishWhatTakesLessThanHalfASecond) {
  Start();
  const UniqueFd held = Hold();
  const UniqueFd idle = ConnectTo(port());
  std::jthread stopper([this] { server_->Stop(); });
  ASSERT_TRUE(AwaitClosed(idle)) << "the stop has begun";
  handler_.gate().Open();
  EXPECT_EQ(AnswerOn(held).status, 200);
}

TEST_F(HttpServerTest, StopCutsOffWhatTakesLonger) {
  Start();
  const UniqueFd client = ConnectTo(port());
  Deliver(client, Get("/until-cut"));
  ASSERT_TRUE(Eventually([this] { return handler_.Paths().size() == 1; }));
  const Stopwatch watch;
  server_->Stop();
  EXPECT_GE(watch.Elapsed(), milliseconds(450));
  EXPECT_LT(watch.Elapsed(), seconds(2));
  EXPECT_EQ(AnswerOn(client).status, 503);
}

TEST_F(HttpServerTest, StopEndsThoughAHandlerDoesNot) {
  Start();
  const UniqueFd held = Hold();
  const Stopwatch watch;
  server_->Stop();
  EXPECT_LT(watch.Elapsed(), seconds(2));
  EXPECT_TRUE(AwaitClosed(held));
}

TEST_F(HttpServerTest, StopEndsThoughAClientDoesNotSendItsBody) {
  Start();
  const UniqueFd client = ConnectTo(port());
  Deliver(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nbegin");
  ASSERT_TRUE(Eventually([this] { return handler_.Paths().size() == 1; }));
  const Stopwatch watch;
  server_.reset();  // Waits for the thread that reads, too.
  EXPECT_LT(watch.Elapsed(), seconds(3));
  EXPECT_TRUE(AwaitClosed(client));
}

TEST_F(HttpServerTest, ItsEndIsAStop) {
  Start();
  const UniqueFd idle = ConnectTo(port());
  EXPECT_EQ(Ask(port(), Get("/a")).status, 200);
  server_.reset();
  EXPECT_TRUE(AwaitClosed(idle));
}

TEST_F(HttpServerTest, RefusesMoreBytesOfWaitingRequestsThanMemoryIsFor) {
  Start({.threads = 1});
  const UniqueFd held = Hold();
  const std::string large = kLargeHalf + "\r\n";
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(ConnectTo(port()));
    Deliver(clients.back(), large);
  }
  const HttpAnswer refused = AnswerOn(clients.back());
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.body, "503 Service Unavailable: too many requests wait\n");
  handler_.gate().Open();
  const auto served = std::count_if(clients.begin(), clients.end() - 1,
                                    [](const UniqueFd& client) { return AnswerOn(client).status == 200; });
  EXPECT_GE(served, 2'000'000 / static_cast<int64_t>(large.size()));
  EXPECT_LE(served, 2 * 1024 * 1024 / static_cast<int64_t>(large.size()) + 1);
}

TEST_F(HttpServerTest, ClosesTheOldestHalfSentRequestsWhenTheyHoldTooMuchMemory) {
  Start();
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 200; ++i) clients.push_back(ConnectTo(port()));
  Settle();
  for (const UniqueFd& client : clients) Deliver(client, kLargeHalf);
  Settle();
  EXPECT_EQ(AnswerOn(clients.front()).raw, "") << "closed, not timed out";
  Deliver(clients.back(), "\r\n");
  EXPECT_EQ(AnswerOn(clients.back()).status, 200);
  const auto closed = std::count_if(clients.begin(), clients.end() - 1,
                                    [](const UniqueFd& client) { return IsReadable(client); });
  EXPECT_LE(closed, 200 - 2'000'000 / static_cast<int64_t>(kLargeHalf.size()));
}

TEST_F(HttpServerTest, ClosesTheOldestConnectionsWhenThereAreTooMany) {
  constexpr size_t kMany = 2100;
  const FileLimit limit(3 * kMany);
  if (limit.files() < 2 * kMany + 100) GTEST_SKIP() << "too few descriptors are allowed";
  Start();
  std::vector<UniqueFd> clients;
  for (size_t i = 0; i < kMany; ++i) clients.push_back(ConnectTo(port()));
  EXPECT_TRUE(AwaitClosed(clients.front()));
  Deliver(clients.back(), Get("/a"));
  EXPECT_EQ(AnswerOn(clients.back()).status, 200);
  const auto closed = std::count_if(clients.begin(), clients.end() - 1,
                                    [](const UniqueFd& client) { return IsReadable(client); });
  EXPECT_LE(closed, 100) << "2,000 browsers are to have room";
}

TEST_F(HttpServerTest, GoesOnAfterItRanOutOfDescriptors) {
  Start({.threads = 2});
  // UBSan needs a descriptor for a look at each class that it has not seen yet: so it is to see them before.
  const auto before = OpenDescriptors();
  EXPECT_EQ(Ask(port(), Get("/a")).status, 200);
  ASSERT_TRUE(Eventually([&] { return OpenDescriptors() == before; }));
  const UniqueFd idle = ConnectTo(port());
  const UniqueFd held = Hold();  // It came later, so the idle one has been accepted.
  const UniqueFd client = TcpSocket();
  const int lowest_free = ::dup(client.get());
  ::close(lowest_free);
  const FileLimit no_more(static_cast<rlim_t>(lowest_free));
  ASSERT_TRUE(Connect(client, port()));
  Deliver(client, Get("/a"));
  EXPECT_EQ(AnswerOn(client).status, 200);
  EXPECT_TRUE(AwaitClosed(idle)) << "it makes room for one that has something to say";
}

}  // namespace
}  // namespace dockercoins
