#include "hasher/sha256.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace dockercoins {
namespace {

std::string DigestOf(std::string_view data) {
  Sha256 sha256;
  sha256.Update(data.data(), data.size());
  return sha256.HexDigest();
}

std::string FromHex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

/// NIST's examples for FIPS 180-4, and the two longer messages of its predecessor, FIPS 180-2.
TEST(Sha256Test, ComputesThePublishedDigests) {
  EXPECT_EQ(DigestOf(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(DigestOf("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(DigestOf("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(
      DigestOf(
          "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrs"
          "mnopqrstnopqrstu"),
      "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  EXPECT_EQ(DigestOf(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/// From SHA256ShortMsg.rsp of NIST's Cryptographic Algorithm Validation Program.
TEST(Sha256Test, ComputesTheDigestsOfTheValidationProgram) {
  EXPECT_EQ(DigestOf(FromHex("d3")), "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1");
  EXPECT_EQ(DigestOf(FromHex("11af")), "5ca7133fa735326081558ac312c620eeca9970d1e70a4b95533d956f072d1f98");
  EXPECT_EQ(DigestOf(FromHex("b4190e")), "dff2e73091f6c05e528896c4c831b9448653dc2ff043528f6769437bc7b975c2");
  EXPECT_EQ(DigestOf(FromHex("74ba2521")),
            "b16aa56be3880d18cd41e68384cf1ec8c17680c45a02b1575dc1518923ae8b0e");
}

TEST(Sha256Test, TakesTheDataInPieces) {
  const std::string data(1'000'000, 'a');
  for (const size_t piece : {size_t{1000}, size_t{63}, size_t{64}, size_t{65}}) {
    Sha256 sha256;
    for (size_t at = 0; at < data.size(); at += piece) {
      const auto part = std::string_view(data).substr(at, piece);
      sha256.Update(part.data(), part.size());
      sha256.Update(nullptr, 0);
    }
    EXPECT_EQ(sha256.HexDigest(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
        << piece;
  }
}

TEST(Sha256Test, TakesAnyBytes) {
  EXPECT_EQ(DigestOf(std::string(4, '\0')),
            "df3f619804a92fdb4057192dc43dd748ea778adc52bc498ce80524c014b81119");
  EXPECT_EQ(DigestOf("\xff"), "a8100ae6aa1940d0b663bb31cd466142ebbdbd5187131b92d93818987832eb89");
}

}  // namespace
}  // namespace dockercoins
