#include "tests/unit/fake_resolver.h"

#include <netdb.h>

#include <memory>
#include <mutex>
#include <utility>

namespace dockercoins {
namespace {

struct Answer {
  std::string name;
  FakeResolver::LookUp look_up;
};

std::mutex mutex;
std::shared_ptr<const Answer> current;

std::shared_ptr<const Answer> Current() {
  const std::lock_guard lock(mutex);
  return current;
}

void SetCurrent(std::shared_ptr<const Answer> answer) {
  const std::lock_guard lock(mutex);
  current = std::move(answer);
}

}  // namespace

FakeResolver::FakeResolver(std::string name, LookUp look_up) {
  SetCurrent(std::make_shared<const Answer>(Answer{.name = std::move(name), .look_up = std::move(look_up)}));
}

FakeResolver::~FakeResolver() { SetCurrent(nullptr); }

}  // namespace dockercoins

// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the linker's names
extern "C" int __real_getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                                  addrinfo** list);

extern "C" int __wrap_getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                                  addrinfo** list) {
  const auto answer = dockercoins::Current();
  const bool numeric = hints != nullptr && (hints->ai_flags & AI_NUMERICHOST) != 0;
  if (answer == nullptr || numeric || node == nullptr || answer->name != node) {
    return __real_getaddrinfo(node, service, hints, list);
  }
  addrinfo* first = nullptr;
  addrinfo** next = &first;
  for (const std::string& address : answer->look_up()) {
    const int error = __real_getaddrinfo(address.c_str(), service, hints, next);
    if (error != 0) return error;
    while (*next != nullptr) next = &(*next)->ai_next;
  }
  if (first == nullptr) return EAI_NONAME;
  // freeaddrinfo takes an entry after another, so that lists may be joined.
  *list = first;
  return 0;
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)
