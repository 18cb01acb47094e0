#pragma once

#include <cstddef>
#include <string>

struct evp_md_ctx_st;  // OpenSSL's EVP_MD_CTX.

namespace dockercoins {

/// SHA-256 (FIPS 180-4) of data that comes in pieces. Not thread-safe. Throws std::runtime_error where
/// OpenSSL fails.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  /// Adds the next piece.
  void Update(const char* data, size_t size);
  /// The digest of all pieces, in 64 lower-case hexadecimal digits. Ends the computation.
  [[nodiscard]] std::string HexDigest();

 private:
  evp_md_ctx_st* const context_;
};

}  // namespace dockercoins
