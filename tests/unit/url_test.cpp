#include "common/url.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace dockercoins {
namespace {

TEST(EndpointTest, IsWrittenWithItsPort) {
  EXPECT_EQ((Endpoint{.host = "rng", .port = 80}.ToString()), "rng:80");
  EXPECT_EQ((Endpoint{.host = "127.0.0.1", .port = 8001}.ToString()), "127.0.0.1:8001");
  EXPECT_EQ((Endpoint{.host = "::1", .port = 80}.ToString()), "[::1]:80");
}

struct HttpCase {
  const char* text;
  const char* host;
  uint16_t port;
  const char* path;
};

TEST(HttpUrlTest, TakesHostPortAndPath) {
  for (const auto& [text, host, port, path] : {
           HttpCase{"http://rng", "rng", 80, ""},
           HttpCase{"http://rng/", "rng", 80, ""},
           HttpCase{"http://rng:8001", "rng", 8001, ""},
           HttpCase{"http://rng:65535//", "rng", 65535, ""},
           HttpCase{"http://rng.dockercoins.svc.cluster.local", "rng.dockercoins.svc.cluster.local", 80, ""},
           HttpCase{"http://my_rng-2:80/a/b/", "my_rng-2", 80, "/a/b"},
           HttpCase{"http://127.0.0.1:8001/a%20b", "127.0.0.1", 8001, "/a%20b"},
           HttpCase{"http://[::1]", "::1", 80, ""},
           HttpCase{"http://[fe80::1%eth0]:8001/x", "fe80::1%eth0", 8001, "/x"},
       }) {
    const HttpUrl url = HttpUrl::Parse(text);
    EXPECT_EQ(url.server.host, host) << text;
    EXPECT_EQ(url.server.port, port) << text;
    EXPECT_EQ(url.path, path) << text;
  }
}

TEST(HttpUrlTest, RefusesAnotherForm) {
  for (const char* text : {"",
                           "rng",
                           "rng:80",
                           "//rng",
                           "https://rng",
                           "ftp://rng",
                           "http:/rng",
                           "http://",
                           "http:///",
                           "http://:80",
                           "http://rng:",
                           "http://rng:0",
                           "http://rng:65536",
                           "http://rng:+80",
                           "http://rng:-1",
                           "http://rng:80a",
                           "http://rng: 80",
                           "http://rng:80:81",
                           "http://r ng",
                           " http://rng",
                           "http://rng ",
                           "http://me@rng",
                           "http://rng?x=1",
                           "http://rng/?x=1",
                           "http://rng/#x",
                           "http://rng#x",
                           "http://rng/a b",
                           "http://rng/\x7f",
                           "http://rng/\xc3\xa4",
                           "http://r\xc3\xa4ng",
                           "http://rng/a\nb",
                           "http://::1",
                           "http://[::1",
                           "http://[]",
                           "http://[]:80",
                           "http://[::1]80",
                           "http://[::1]x",
                           "http://[::1/]"}) {
    EXPECT_THROW((void)HttpUrl::Parse(text), std::invalid_argument) << text;
  }
}

struct RedisCase {
  const char* text;
  const char* server;
  const char* user;
  const char* password;
  uint32_t database;
};

TEST(RedisUrlTest, TakesUserPasswordHostPortAndDatabase) {
  for (const auto& [text, server, user, password, database] : {
           RedisCase{"redis://redis", "redis:6379", "", "", 0},
           RedisCase{"redis://redis:6379", "redis:6379", "", "", 0},
           RedisCase{"redis://redis/", "redis:6379", "", "", 0},
           RedisCase{"redis://127.0.0.1:7000/0", "127.0.0.1:7000", "", "", 0},
           RedisCase{"redis://redis/15", "redis:6379", "", "", 15},
           RedisCase{"redis://redis/2147483647", "redis:6379", "", "", 2147483647},
           RedisCase{"redis://:secret@redis", "redis:6379", "", "secret", 0},
           RedisCase{"redis://me:secret@redis:1/2", "redis:1", "me", "secret", 2},
           RedisCase{"redis://m%65:%70%40%2f%3A@redis", "redis:6379", "me", "p@/:", 0},
           RedisCase{"redis://:a:b@redis", "redis:6379", "", "a:b", 0},
           RedisCase{"redis://:%C3%a4@redis", "redis:6379", "", "\xc3\xa4", 0},
           RedisCase{"redis://me:secret@[::1]:7000/1", "[::1]:7000", "me", "secret", 1},
       }) {
    const RedisUrl url = RedisUrl::Parse(text);
    EXPECT_EQ(url.server.ToString(), server) << text;
    EXPECT_EQ(url.user, user) << text;
    EXPECT_EQ(url.password, password) << text;
    EXPECT_EQ(url.database, database) << text;
  }
}

TEST(RedisUrlTest, TakesAPasswordThatNobodyEncoded) {
  const RedisUrl url = RedisUrl::Parse("redis://:p@ss/w:rd@redis:7000/3");
  EXPECT_EQ(url.password, "p@ss/w:rd");
  EXPECT_EQ(url.server.ToString(), "redis:7000");
  EXPECT_EQ(url.database, 3U);
}

TEST(RedisUrlTest, RefusesAnotherForm) {
  for (const char* text : {"",
                           "redis",
                           "redis:6379",
                           "rediss://redis",
                           "http://redis",
                           "redis://",
                           "redis:///0",
                           "redis://:6379",
                           "redis://redis:",
                           "redis://redis:0",
                           "redis://redis:65536",
                           "redis://redis:tcp",
                           "redis://redis/x",
                           "redis://redis/-1",
                           "redis://redis/1/2",
                           "redis://redis/2147483648",
                           "redis://redis/4294967296",
                           "redis://redis?db=1",
                           "redis://redis/1?x",
                           "redis://me@redis",
                           "redis://:secret@",
                           "redis://:%4@redis",
                           "redis://:%@redis",
                           "redis://:%zz@redis",
                           "redis://:%4g@redis",
                           "redis://r edis",
                           "redis://[::1"}) {
    EXPECT_THROW((void)RedisUrl::Parse(text), std::invalid_argument) << text;
  }
}

}  // namespace
}  // namespace dockercoins
