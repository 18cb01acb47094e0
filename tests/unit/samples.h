#pragma once

#include <map>
#include <sstream>
#include <string>

#include "common/metrics.h"

namespace dockercoins {

/// `metrics` as Prometheus reads them: values by name and labels, as in `up{job="rng"}`.
inline std::map<std::string, double> Samples(const Metrics& metrics) {
  std::map<std::string, double> samples;
  std::istringstream text(metrics.Text());
  for (std::string line; std::getline(text, line);) {
    if (line.starts_with('#')) continue;
    const size_t space = line.rfind(' ');
    samples[line.substr(0, space)] = std::stod(line.substr(space + 1));
  }
  return samples;
}

}  // namespace dockercoins
