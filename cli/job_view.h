#pragma once  // cli/job_view.h: what a person wants to know of one DistributedJob or FederatedRound and of
              // its pods. Pure
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "cli/plot.h"
#include "common/base/clock.h"
#include "common/json/fields.h"

namespace muster::cli {

struct JobView {
  std::string kind, name, name_space, uid;
  bool federated = false;
  std::string phase = "Pending";
  std::string manager;  // the controller whose it is, if that is another than Muster's operator
  bool succeeded = false, failed = false;
  std::string reason, message;  // of the Failed condition; of the newest false or restarting one otherwise
  std::vector<std::string> warnings;
  std::string ready;               // "3/4"
  std::int64_t at = 0, total = 0;  // step of total steps, round of rounds
  std::optional<std::int64_t> percent;
  std::string time_left;  // "12m30s"; empty: not known
  std::optional<double> loss, accuracy;
  double examples_per_second = 0;
  bool images = false;  // the examples are pictures
  std::uint64_t bytes_sent = 0, bytes_expected = 0;
  std::int64_t restarts = 0, disruptions = 0;
  std::int64_t resumed_from = 0;
  std::int64_t clients = 0, selected = 0, reported = 0, dropped = 0;  // FederatedRound
  std::string digest;  // of the final parameters, as the status tells it
  std::vector<CurvePoint> history;
  std::string description;        // "cnn on fashion-mnist, 4 workers"
  std::string model_path;         // folder in the container that receives the model; empty: none asked for
  bool own_models = false;        // each worker has one (topology Gossip)
  bool picks_topology = false;    // topology Auto
  std::string topology;           // by which gradients are summed, as the status tells it
  std::optional<double> goodput;  // 0 to 1
  std::optional<WallTime> started, completed;

  [[nodiscard]] std::string title() const { return kind + "/" + name; }
  [[nodiscard]] bool finished() const { return succeeded || failed; }
  [[nodiscard]] const char* unit() const { return federated ? "round" : "step"; }
};

// Total: what is absent or of another type stays at its default.
[[nodiscard]] JobView view_job(const Json& object);

// What one finished pod said of itself in its termination message (ARCHITECTURE.md, "The pod contract").
struct PodReport {
  std::int64_t rank = 0;
  std::uint64_t bytes_sent = 0, bytes_expected = 0;
  std::string digest;
  std::optional<double> loss, accuracy;
  double examples_per_second = 0;
  std::int64_t at = 0, total = 0;
};

struct PodView {
  std::string name, name_space, uid, job, role;
  std::int64_t index = 0;
  std::int64_t rank = 0;  // by the roster of a training (give_ranks), else the index; -1: no member
  std::string phase;      // of the container that does the job's work: Pending, Running, Succeeded, Failed
  std::string reason, message;  // why it failed, or why it waits
  std::string exit;             // how the container that failed ended: "code 137 (SIGKILL)"; empty: none did
  std::string container;        // the one whose log tells: that which failed, else the main one
  std::string main_container;   // the one that does the job's work: named after the role, else the first
  std::optional<PodReport> report;  // of a worker or an aggregator that succeeded

  [[nodiscard]] bool failed() const { return phase == "Failed"; }
};

[[nodiscard]] PodView view_pod(const Json& pod);
// Gives the workers the ranks that they have in `job` now.
void give_ranks(const Json& job, PodView& pod);
// Why it failed or waits, and how it ended; empty while all is well.
[[nodiscard]] std::string trouble_of(const PodView& pod);

}  // namespace muster::cli
