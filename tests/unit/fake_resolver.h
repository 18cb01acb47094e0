#pragma once

#include <functional>
#include <string>
#include <vector>

namespace dockercoins {

/// Answers the lookups of one name while it lives; other names go to the system. One at a time.
///
/// The test program is linked with --wrap=getaddrinfo for it.
class FakeResolver {
 public:
  /// The numeric addresses of the name, in the order in which getaddrinfo is to give them; an empty list is
  /// "no such name". Called on whatever thread looks the name up.
  using LookUp = std::function<std::vector<std::string>()>;

  FakeResolver(std::string name, LookUp look_up);
  ~FakeResolver();
  FakeResolver(const FakeResolver&) = delete;
  FakeResolver& operator=(const FakeResolver&) = delete;
};

}  // namespace dockercoins
