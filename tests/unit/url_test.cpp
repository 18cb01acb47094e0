#include "common/url.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <utility>
#include <vector>

namespace dockercoins {
namespace {

/// Texts by their parsed form, or by the reason (in brackets) why they are refused.
using Table = std::vector<std::pair<const char*, std::vector<const char*>>>;

template <typename Url>
void Expect(const Table& table, std::string (*write)(const Url&)) {
  for (const auto& [expected, texts] : table) {
    for (const char* text : texts) {
      std::string result;
      try {
        result = write(Url::Parse(text));
      } catch (const std::invalid_argument& error) {
        result = "(" + std::string(error.what()) + ")";
      }
      EXPECT_EQ(result, expected) << text;
    }
  }
}

TEST(HttpUrlTest, HasHostPortAndPath) {
  const Table table = {
      {"rng 80 ", {"http://rng", "http://rng/", "http://rng:80//"}},
      {"rng 1 ", {"http://rng:1"}},
      {"rng 65535 ", {"http://rng:65535"}},
      {"azAZ09.my_rng-2.svc 80 /a/b", {"http://azAZ09.my_rng-2.svc:80/a/b/"}},
      {"127.0.0.1 8001 /!a%20b~", {"http://127.0.0.1:8001/!a%20b~"}},
      {"::1 80 ", {"http://[::1]"}},
      {"fe80::1%eth0 8001 /x", {"http://[fe80::1%eth0]:8001/x"}},
      {"(another scheme)", {"", "rng:80", "//rng", "https://rng", "http:/rng", " http://rng"}},
      {"(no host)", {"http://", "http:///", "http://:80", "http://::1"}},
      {"(not a number)",
       {"http://rng:", "http://rng:65536", "http://rng:+80", "http://rng:-1", "http://rng:80a",
        "http://rng: 80", "http://rng:80:81"}},
      {"(port 0)", {"http://rng:0"}},
      {"(not a host name)",
       {"http://r ng", "http://rng ", "http://me@rng", "http://r\xc3\xa4ng", "http://r`ng", "http://r{ng",
        "http://r[ng"}},
      {"(a query, a fragment or a space)",
       {"http://rng?x=1", "http://rng/?x=1", "http://rng/#x", "http://rng#x", "http://rng/a b"}},
      {"(not ASCII)", {"http://rng/\x7f", "http://rng/\xc3\xa4", "http://rng/a\nb"}},
      {"(no closing bracket)", {"http://[::1", "http://[::1/]"}},
      {"(not an address)",
       {"http://[]", "http://[]:80", "http://[::1 ]", "http://[::1@]", "http://[rng]", "http://[1:2]",
        "http://[fe80::1%%eth0]", "http://[fe80::1%et h0]"}},
      {"(unexpected text after the host)", {"http://[::1]80", "http://[::1]x"}},
  };
  Expect<HttpUrl>(table, [](const HttpUrl& url) {
    return url.server.host + " " + std::to_string(url.server.port) + " " + url.path;
  });
}

TEST(RedisUrlTest, HasUserPasswordHostPortAndDatabase) {
  const Table table = {
      {"  redis:6379 0", {"redis://redis", "redis://redis/", "redis://redis:6379/0"}},
      {"  127.0.0.1:7000 2147483647", {"redis://127.0.0.1:7000/2147483647"}},
      {" secret redis:6379 0", {"redis://:secret@redis"}},
      {"me secret [::1]:1 15", {"redis://me:secret@[::1]:1/15"}},
      {"me pO*:\xaf\xfa\t redis:6379 0", {"redis://m%65:%70%4f%2a%3A%AF%fa%09@redis"}},
      // Not encoded.
      {" p@ss/w:rd redis:7000 3", {"redis://:p@ss/w:rd@redis:7000/3"}},
      {"(another scheme)", {"", "redis:6379", "rediss://redis", "http://redis"}},
      {"(no host)", {"redis://", "redis:///0", "redis://:6379", "redis://:secret@"}},
      {"(not a number)",
       {"redis://redis:", "redis://redis:65536", "redis://redis:tcp", "redis://redis/x", "redis://redis/-1",
        "redis://redis/1/2", "redis://redis/4294967296", "redis://redis/1?x"}},
      {"(port 0)", {"redis://redis:0"}},
      {"(not a database)", {"redis://redis/2147483648"}},
      {"(not a host name)", {"redis://redis?db=1", "redis://r edis"}},
      {"(a user without a password)", {"redis://me@redis"}},
      {"(a % without two hexadecimal digits)",
       {"redis://:%4@redis", "redis://:%@redis", "redis://:%zz@redis", "redis://:%4g@redis",
        "redis://:%g4@redis", "redis://:%4/@redis", "redis://:%4:@redis", "redis://:%4`@redis",
        "redis://:%4G@redis"}},
      {"(no closing bracket)", {"redis://[::1"}},
  };
  Expect<RedisUrl>(table, [](const RedisUrl& url) {
    return url.user + " " + url.password + " " + url.server.ToString() + " " + std::to_string(url.database);
  });
}

}  // namespace
}  // namespace dockercoins
