#pragma once

#include <cstddef>
#include <string>

namespace dockercoins {

/// The memory that `text` takes outside its object, in bytes.
[[nodiscard]] inline size_t BytesOf(const std::string& text) {
  constexpr size_t kInside = 15;  // libstdc++ keeps so many characters in the object.
  return text.capacity() > kInside ? text.capacity() + 1 : 0;
}

/// Counts the memory that a server holds of its clients, in bytes, by capacity. For one thread.
class Budget {
 public:
  explicit Budget(size_t limit) : limit_(limit) {}
  /// Its bytes are counted in `whole`, too, which must outlive this.
  Budget(size_t limit, Budget& whole) : limit_(limit), whole_(&whole) {}

  [[nodiscard]] bool IsOver() const { return used_ > limit_; }
  [[nodiscard]] size_t used() const { return used_; }

  /// What one object holds, as long as it lives.
  class Share {
   public:
    explicit Share(Budget& budget) : budget_(budget) {}
    ~Share() { Set(0); }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

    void Set(size_t bytes) {
      for (Budget* budget = &budget_; budget != nullptr; budget = budget->whole_) {
        budget->used_ += bytes;
        budget->used_ -= bytes_;
      }
      bytes_ = bytes;
    }

   private:
    Budget& budget_;
    size_t bytes_ = 0;
  };

 private:
  const size_t limit_;
  Budget* const whole_ = nullptr;
  size_t used_ = 0;
};

}  // namespace dockercoins
