#include "common/metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <prometheus/client_metric.h>
#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <ctime>
#include <iterator>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include "common/number.h"
#include "common/unique_fd.h"

namespace dockercoins {
namespace {

using std::chrono::milliseconds;

/// What the histograms tell apart: upper bounds of their buckets. The simulated work takes 100 ms and so does
/// each of those before one in rng's line: an edge between any two multiples of that keeps them apart.
constexpr std::array<milliseconds, 23> kEdges = {
    milliseconds(1),      milliseconds(2),       milliseconds(5),      milliseconds(10),
    milliseconds(20),     milliseconds(50),      milliseconds(150),    milliseconds(250),
    milliseconds(350),    milliseconds(450),     milliseconds(550),    milliseconds(650),
    milliseconds(750),    milliseconds(850),     milliseconds(950),    milliseconds(1'500),
    milliseconds(2'500),  milliseconds(5'000),   milliseconds(10'000), milliseconds(20'000),
    milliseconds(50'000), milliseconds(100'000), milliseconds(200'000)};

/// A label's value that nobody foresaw.
constexpr const char* kOther = "other";

double Seconds(std::chrono::nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }

std::vector<prometheus::ClientMetric::Label> Convert(const Metrics::Labels& labels) {
  std::vector<prometheus::ClientMetric::Label> converted;
  for (const auto& [name, value] : labels) converted.push_back({.name = name, .value = value});
  return converted;
}

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
  // Without the one that reads them.
  return count - 1;
}

/// What the kernel knows of this process; what it does not tell (/proc may be missing) is left out. The names
/// are those of Prometheus's own client libraries
/// (https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics).
class ProcessCollector final : public prometheus::Collectable {
 public:
  [[nodiscard]] std::vector<prometheus::MetricFamily> Collect() const override {
    using prometheus::MetricType;
    std::vector<prometheus::MetricFamily> families = {
        Single("process_start_time_seconds", "When the process started, in Unix seconds.", MetricType::Gauge,
               Seconds(started_.time_since_epoch())),
        Single("process_cpu_seconds_total", "CPU time that the process has used, user and system.",
               MetricType::Counter, Seconds(CpuTime()))};
    if (const auto bytes = ResidentBytes()) {
      families.push_back(Single("process_resident_memory_bytes", "Memory of the process that is in RAM.",
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

/// Not prometheus::Histogram: that one takes a lock, which a scrape takes too.
struct Histogram::Cells {
  std::array<std::atomic<uint64_t>, kEdges.size() + 1>
      counts{};                           ///< By bucket, the last one without a bound.
  std::atomic<uint64_t> nanoseconds = 0;  ///< Of all observations together.
};

void Histogram::Observe(std::chrono::nanoseconds duration) const {
  if (cells_ == nullptr) return;
  const auto bucket =
      static_cast<size_t>(std::distance(kEdges.begin(), std::ranges::lower_bound(kEdges, duration)));
  cells_->nanoseconds.fetch_add(static_cast<uint64_t>(duration.count()), std::memory_order_relaxed);
  cells_->counts.at(bucket).fetch_add(1, std::memory_order_relaxed);
}

namespace {

class HistogramFamily final : public prometheus::Collectable {
 public:
  HistogramFamily(std::string name, std::string help) : name_(std::move(name)), help_(std::move(help)) {}

  [[nodiscard]] const std::string& Name() const { return name_; }

  Histogram::Cells& Add(const Metrics::Labels& labels) {
    members_.push_back({.labels = Convert(labels), .cells = std::make_unique<Histogram::Cells>()});
    return *members_.back().cells;
  }

  [[nodiscard]] std::vector<prometheus::MetricFamily> Collect() const override {
    prometheus::MetricFamily family{
        .name = name_, .help = help_, .type = prometheus::MetricType::Histogram, .metric = {}};
    for (const Member& member : members_) {
      prometheus::ClientMetric metric = CollectMember(member);
      const bool shown = metric.label.empty() || metric.histogram.sample_count > 0;
      if (shown) family.metric.push_back(std::move(metric));
    }
    return {std::move(family)};
  }

 private:
  struct Member {
    std::vector<prometheus::ClientMetric::Label> labels;
    std::unique_ptr<Histogram::Cells> cells;
  };

  static prometheus::ClientMetric CollectMember(const Member& member) {
    prometheus::ClientMetric metric;
    metric.label = member.labels;
    prometheus::ClientMetric::Histogram& histogram = metric.histogram;
    histogram.bucket.reserve(kEdges.size() + 1);
    for (size_t i = 0; i <= kEdges.size(); ++i) {
      // The number of all is the sum of these, so that the two always agree.
      histogram.sample_count += member.cells->counts.at(i).load(std::memory_order_relaxed);
      histogram.bucket.push_back({.cumulative_count = histogram.sample_count,
                                  .upper_bound = i < kEdges.size()
                                                     ? Seconds(kEdges.at(i))
                                                     : std::numeric_limits<double>::infinity()});
    }
    const uint64_t nanoseconds = member.cells->nanoseconds.load(std::memory_order_relaxed);
    histogram.sample_sum = Seconds(std::chrono::nanoseconds(nanoseconds));
    return metric;
  }

  const std::string name_;
  const std::string help_;
  std::vector<Member> members_;
};

}  // namespace

/// Not a prometheus::Family: that one takes a lock to add a combination, which a scrape takes too.
class CounterTable::Cells final : public prometheus::Collectable {
 public:
  Cells(std::string name, std::string help, std::vector<Metrics::Label> labels)
      : name_(std::move(name)),
        help_(std::move(help)),
        labels_(std::move(labels)),
        counts_(Combinations(labels_)) {}

  void Increment(std::initializer_list<std::string_view> values) {
    size_t at = 0;
    const auto* value = values.begin();
    for (const Metrics::Label& label : labels_) {
      const auto found = std::ranges::find(label.values, *value++);
      at = at * Choices(label) + static_cast<size_t>(std::distance(label.values.begin(), found));
    }
    counts_.at(at).fetch_add(1, std::memory_order_relaxed);
  }

  [[nodiscard]] std::vector<prometheus::MetricFamily> Collect() const override {
    prometheus::MetricFamily family{
        .name = name_, .help = help_, .type = prometheus::MetricType::Counter, .metric = {}};
    for (size_t at = 0; at < counts_.size(); ++at) {
      const uint64_t count = counts_.at(at).load(std::memory_order_relaxed);
      if (count == 0) continue;
      prometheus::ClientMetric metric;
      metric.label = LabelsOf(at);
      metric.counter.value = static_cast<double>(count);
      family.metric.push_back(std::move(metric));
    }
    return {std::move(family)};
  }

 private:
  static size_t Choices(const Metrics::Label& label) { return label.values.size() + 1; }

  static size_t Combinations(const std::vector<Metrics::Label>& labels) {
    return std::accumulate(
        labels.begin(), labels.end(), size_t{1},
        [](size_t product, const Metrics::Label& label) { return product * Choices(label); });
  }

  [[nodiscard]] std::vector<prometheus::ClientMetric::Label> LabelsOf(size_t at) const {
    std::vector<prometheus::ClientMetric::Label> labels(labels_.size());
    for (size_t i = labels_.size(); i-- > 0;) {
      const size_t choice = at % Choices(labels_[i]);
      at /= Choices(labels_[i]);
      labels[i] = {.name = labels_[i].name,
                   .value = choice < labels_[i].values.size() ? labels_[i].values[choice] : kOther};
    }
    return labels;
  }

  const std::string name_;
  const std::string help_;
  const std::vector<Metrics::Label> labels_;
  std::vector<std::atomic<uint64_t>> counts_;
};

void CounterTable::Increment(std::initializer_list<std::string_view> values) const {
  if (cells_ != nullptr) cells_->Increment(values);
}

void Counter::Increment() const {
  if (counter_ != nullptr) counter_->Increment();
}

void Gauge::Set(double value) const {
  if (gauge_ != nullptr) gauge_->Set(value);
}

struct Metrics::Impl {
  /// Of what it has, the library's counters and gauges: they are atomic numbers.
  prometheus::Registry registry{prometheus::Registry::InsertBehavior::Merge};
  ProcessCollector process;
  std::vector<std::unique_ptr<HistogramFamily>> histograms;
  std::vector<std::unique_ptr<CounterTable::Cells>> tables;
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {
  AddGauge("dockercoins_build_info", "1, with the version of DockerCoins and the compiler that built it.",
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
  auto& families = impl_->histograms;
  auto family = std::ranges::find_if(families, [&](const auto& known) { return known->Name() == name; });
  if (family == families.end()) {
    families.push_back(std::make_unique<HistogramFamily>(name, help));
    family = std::prev(families.end());
  }
  return Histogram((*family)->Add(labels));
}

CounterTable Metrics::AddCounterTable(const std::string& name, const std::string& help,
                                      std::vector<Label> labels) {
  impl_->tables.push_back(std::make_unique<CounterTable::Cells>(name, help, std::move(labels)));
  return CounterTable(*impl_->tables.back());
}

std::string Metrics::Text() const {
  std::vector<prometheus::MetricFamily> families = impl_->registry.Collect();
  const auto collect = [&](const prometheus::Collectable& from) {
    std::ranges::move(from.Collect(), std::back_inserter(families));
  };
  collect(impl_->process);
  for (const auto& histograms : impl_->histograms) collect(*histograms);
  for (const auto& table : impl_->tables) collect(*table);

  std::ranges::sort(families, {}, &prometheus::MetricFamily::name);
  for (prometheus::MetricFamily& family : families) {
    std::ranges::sort(family.metric,
                      [](const auto& one, const auto& other) { return one.label < other.label; });
  }
  return static_cast<const prometheus::Serializer&>(prometheus::TextSerializer()).Serialize(families);
}

}  // namespace dockercoins
