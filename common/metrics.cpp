#include "common/metrics.h"

#include <dirent.h>
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
#include <cinttypes>
#include <cstdio>
#include <ctime>
#include <iterator>
#include <optional>

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

/// The second number of /proc/self/statm, in pages (proc(5)).
std::optional<uint64_t> ResidentBytes() {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen("/proc/self/statm", "re"),
                                                             &std::fclose);
  uint64_t resident = 0;
  if (!file || std::fscanf(file.get(), "%*u %" SCNu64, &resident) != 1) return std::nullopt;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::optional<int64_t> OpenFds() {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc/self/fd"), &::closedir);
  if (!folder) return std::nullopt;
  int64_t count = -3;  // Without the folder's own descriptor, "." and "..".
  // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread reads this folder.
  while (::readdir(folder.get()) != nullptr) ++count;
  return count;
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
        Single("process_cpu_seconds_total", "CPU time that the process has used, user and system.",
               MetricType::Counter, static_cast<double>(std::clock()) / CLOCKS_PER_SEC)};
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

void Counter::Increment(const Labels& labels) const { family_.Add(labels).Increment(); }

void Histogram::Observe(std::chrono::nanoseconds duration, const Labels& labels) const {
  family_.Add(labels, edges).Observe(Seconds(duration));
}

void Gauge::Set(double value) const {
  if (gauge_ != nullptr) gauge_->Set(value);
}

struct Metrics::Impl {
  prometheus::Registry registry{prometheus::Registry::InsertBehavior::Merge};
  ProcessCollector process;
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {
  AddGauge("dockercoins_build_info", "1, labelled with version and compiler.",
           {{"version", DOCKERCOINS_VERSION}, {"compiler", DOCKERCOINS_COMPILER}})
      .Set(1);
}

Metrics::~Metrics() = default;

Counter Metrics::AddCounter(const std::string& name, const std::string& help,
                            const std::vector<Labels>& known) {
  auto& family = prometheus::BuildCounter().Name(name).Help(help).Register(impl_->registry);
  for (const Labels& labels : known) family.Add(labels);
  return Counter(family);
}

Gauge Metrics::AddGauge(const std::string& name, const std::string& help, const Labels& labels) {
  return Gauge(prometheus::BuildGauge().Name(name).Help(help).Register(impl_->registry).Add(labels));
}

Histogram Metrics::AddHistogram(const std::string& name, const std::string& help,
                                const std::vector<Labels>& known) {
  auto& family = prometheus::BuildHistogram().Name(name).Help(help).Register(impl_->registry);
  for (const Labels& labels : known) family.Add(labels, edges);
  return Histogram(family);
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
