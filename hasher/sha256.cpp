#include "hasher/sha256.h"

#include <openssl/evp.h>

#include <array>
#include <stdexcept>
#include <string_view>

namespace dockercoins {
namespace {

void Check(int result) {
  if (result != 1) throw std::runtime_error("OpenSSL failed to compute SHA-256");
}

}  // namespace

void Sha256::Free::operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  Check(context_ ? 1 : 0);
  Check(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr));
}

void Sha256::Update(const char* data, size_t size) { Check(EVP_DigestUpdate(context_.get(), data, size)); }

std::string Sha256::HexDigest() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  Check(EVP_DigestFinal_ex(context_.get(), digest.data(), &size));
  constexpr std::string_view kHexDigits = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += kHexDigits[digest.at(i) >> 4];
    text += kHexDigits[digest.at(i) & 0xf];
  }
  return text;
}

}  // namespace dockercoins
