#pragma once  // tests/sim/life.h: one seeded life of a cluster: chaos, calm, the end of all programs,
              // deletion
#include <chrono>
#include <string>
#include <vector>

#include "checker.h"
#include "faults.h"
#include "planted.h"

namespace muster::sim {

struct LifeOptions {
  std::uint64_t seed = 1;
  Planted planted = Planted::kNone;
  bool faults = true;
  std::chrono::seconds outage{0};  // of the API server, while programs run and nothing else happens
  bool trace = false;              // every write, every change of a status and a pod, on stdout
};

struct LifeReport {
  std::vector<std::string> violations;
  std::uint64_t fingerprint = 0;  // of everything that was stored, in order
};

[[nodiscard]] LifeReport live(const LifeOptions& options, Tally& tally);

}  // namespace muster::sim
