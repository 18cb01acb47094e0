#include "common/metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <prometheus/client_metric.h>
#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <ctime>
#include <iterator>
#include <list>
#include <optional>
#include <utility>

#include "common/number.h"
#include "common/unique_fd.h"

namespace dockercoins {
namespace {

/// Upper bounds of the histograms' buckets, in seconds. The simulated work takes 0.1 s, and so does each
/// request ahead in rng's queue: a bound between any two multiples of 0.1 s separates them.
const prometheus::Histogram::BucketBoundaries edges = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.15, 0.25,
                                                       0.35,  0.45,  0.55,  0.65, 0.75, 0.85, 0.95, 1.5,
                                                       2.5,   5,     10,    20,   50,   100,  200};

double Seconds(std::chrono::nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }

prometheus::MetricFamily Single(const char* name, const char* help, prometheus::MetricType type,
                                double value) {
  prometheus::ClientMetric metric;
  (type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  return {.name = name, .help = help, .type = type, .metric = {metric}};
}

std::chrono::nanoseconds CpuTime() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

/// The second number of /proc/self/statm, in pages (proc(5)).
std::optional<uint64_t> ResidentBytes() {
  const UniqueFd file(::open("/proc/self/statm", O_RDONLY | O_CLOEXEC));
  std::array<char, 128> buffer{};
  const ssize_t size = file ? ::read(file.get(), buffer.data(), buffer.size()) : -1;
  if (size <= 0) return std::nullopt;
  std::string_view text(buffer.data(), static_cast<size_t>(size));
  text.remove_prefix(std::min(text.find(' ') + 1, text.size()));
  const auto pages = ParseNumber(text.substr(0, text.find(' ')));
  if (!pages) return std::nullopt;
  return *pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

std::optional<uint64_t> OpenFds() {
  const std::unique_ptr<DIR, CloseFolder> folder(::opendir("/proc/self/fd"));
  if (!folder) return std::nullopt;
  uint64_t count = 0;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread reads this folder.
  while (const dirent* entry = ::readdir(folder.get())) {
    if (entry->d_name[0] != '.') ++count;
  }
  // Without the descriptor of the folder itself.
  return count - 1;
}

/// The process's metrics, from the kernel. What is missing (there may be no /proc) is left out. The names are
/// those of Prometheus's own client libraries
/// (https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics).
class ProcessCollector final : public prometheus::Collectable {
 public:
  [[nodiscard]] std::vector<prometheus::MetricFamily> Collect() const override {
    using prometheus::MetricType;
    std::vector<prometheus::MetricFamily> families = {
        Single("process_start_time_seconds", "When the process started, in Unix seconds.", MetricType::Gauge,
               Seconds(started_.time_since_epoch())),
        Single("process_cpu_seconds_total", "User and system CPU time of the process.", MetricType::Counter,
               Seconds(CpuTime()))};
    if (const auto bytes = ResidentBytes()) {
      families.push_back(Single("process_resident_memory_bytes", "Resident memory of the process.",
                                MetricType::Gauge, static_cast<double>(*bytes)));
    }
    if (const auto count = OpenFds()) {
      families.push_back(Single("process_open_fds", "Open file descriptors.", MetricType::Gauge,
                                static_cast<double>(*count)));
    }
    return families;
  }

 private:
  const std::chrono::system_clock::time_point started_ = std::chrono::system_clock::now();
};

}  // namespace

/// Made with its first observation, so only labels with observations appear.
struct Histogram::Lazy {
  prometheus::Family<prometheus::Histogram>& family;
  const Labels labels;
  std::atomic<prometheus::Histogram*> made = nullptr;

  prometheus::Histogram& Get() {
    if (auto* histogram = made.load()) return *histogram;
    auto& histogram = family.Add(labels, edges);  // The same labels give the same one.
    made = &histogram;
    return histogram;
  }
};

void Histogram::Observe(std::chrono::nanoseconds duration) const {
  if (lazy_ != nullptr) lazy_->Get().Observe(Seconds(duration));
}

void CounterFamily::Increment(const Labels& labels) const {
  if (family_ != nullptr) family_->Add(labels).Increment();
}

void Counter::Increment() const {
  if (counter_ != nullptr) counter_->Increment();
}

void Gauge::Set(double value) const {
  if (gauge_ != nullptr) gauge_->Set(value);
}

struct Metrics::Impl {
  prometheus::Registry registry{prometheus::Registry::InsertBehavior::Merge};
  ProcessCollector process;
  std::list<Histogram::Lazy> histograms;
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {
  AddGauge("dockercoins_build_info", "1, labelled with version and compiler.",
           {{"version", DOCKERCOINS_VERSION}, {"compiler", DOCKERCOINS_COMPILER}})
      .Set(1);
}

Metrics::~Metrics() = default;

Counter Metrics::AddCounter(const std::string& name, const std::string& help, const Labels& labels) {
  return Counter(prometheus::BuildCounter().Name(name).Help(help).Register(impl_->registry).Add(labels));
}

Gauge Metrics::AddGauge(const std::string& name, const std::string& help, const Labels& labels) {
  return Gauge(prometheus::BuildGauge().Name(name).Help(help).Register(impl_->registry).Add(labels));
}

Histogram Metrics::AddHistogram(const std::string& name, const std::string& help, const Labels& labels) {
  auto& family = prometheus::BuildHistogram().Name(name).Help(help).Register(impl_->registry);
  auto& histogram = impl_->histograms.emplace_back(family, labels);
  if (labels.empty()) histogram.Get();
  return Histogram(histogram);
}

CounterFamily Metrics::AddCounterFamily(const std::string& name, const std::string& help) {
  return CounterFamily(prometheus::BuildCounter().Name(name).Help(help).Register(impl_->registry));
}

std::string Metrics::Text() const {
  std::vector<prometheus::MetricFamily> families = impl_->registry.Collect();
  std::ranges::move(impl_->process.Collect(), std::back_inserter(families));
  std::ranges::sort(families, {}, &prometheus::MetricFamily::name);
  for (prometheus::MetricFamily& family : families) {
    std::ranges::sort(family.metric,
                      [](const auto& one, const auto& other) { return one.label < other.label; });
  }
  return static_cast<const prometheus::Serializer&>(prometheus::TextSerializer()).Serialize(families);
}

}  // namespace dockercoins
