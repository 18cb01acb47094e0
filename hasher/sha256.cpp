// The API of OpenSSL 1.1.1, which has SHA-256 alone. The newer one, EVP, links all of libcrypto: 5 MB more.
#define OPENSSL_API_COMPAT 10101

#include "hasher/sha256.h"

#include <array>
#include <stdexcept>
#include <string_view>

namespace dockercoins {
namespace {

void Check(int result) {
  if (result != 1) throw std::runtime_error("OpenSSL failed to compute SHA-256");
}

}  // namespace

Sha256::Sha256() { Check(SHA256_Init(&context_)); }

void Sha256::Update(const char* data, size_t size) { Check(SHA256_Update(&context_, data, size)); }

std::string Sha256::HexDigest() {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  Check(SHA256_Final(digest.data(), &context_));
  constexpr std::string_view kHexDigits = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : digest) {
    text += kHexDigits[byte >> 4];
    text += kHexDigits[byte & 0xf];
  }
  return text;
}

}  // namespace dockercoins
