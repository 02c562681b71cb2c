#pragma once  // tests/worker/fake_nccl/faults.h: which call of the fake fails, and how
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <csignal>

namespace muster::fake {

// Rules as "rank=1 call=ncclAllReduce at=3 do=hang; ...", of MUSTER_FAKE_NCCL or set by a test. rank: of the
// communicator, any when absent; at: the so manieth call of that rank from 1 on, any when absent. do:
//   hang      the call does not return (until the rules change)
//   stall     (ncclAllReduce) what it began is never done, as a kernel that waits for a peer; an abort ends
//   it fail=N    it returns N async=N   it returns success, and the communicator's state becomes N die the
//   process is killed
struct Rule {
  int rank = -1;
  int at = -1;
  std::string call;
  std::string act;
  int code = 0;
};

class Faults {
 public:
  static Faults& get() {
    static Faults faults;
    return faults;
  }
  void set(const std::string& text) {
    const std::scoped_lock lock(mutex_);
    rules_.clear();
    counts_.clear();
    ++generation_;
    std::istringstream rules(text);
    for (std::string rule; std::getline(rules, rule, ';');) rules_.push_back(read(rule));
  }
  // What becomes of this call: "" or stall, fail, async with the code. Returns late, or never, where it
  // hangs.
  Rule meet(const char* call, int rank) {
    Rule found = find(call, rank);
    if (found.act == "die") (void)raise(SIGKILL);
    if (found.act == "hang") {
      const int generation = generation_.load();
      while (generation == generation_.load()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      return {.rank = rank, .call = call, .act = "fail", .code = 3};  // its communicator may be gone by now
    }
    return found;
  }

 private:
  Faults() {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): read once
    if (const char* const text = std::getenv("MUSTER_FAKE_NCCL"); text != nullptr) set(text);
  }
  static Rule read(const std::string& text) {
    Rule rule;
    std::istringstream words(text);
    for (std::string word; words >> word;) {
      const auto split = word.find('=');
      const std::string name = word.substr(0, split);
      std::string value = split == std::string::npos ? "" : word.substr(split + 1);
      if (name == "rank") rule.rank = std::stoi(value);
      if (name == "at") rule.at = std::stoi(value);
      if (name == "call") rule.call = value;
      if (name != "do") continue;
      if (const auto code = value.find('='); code != std::string::npos) {
        rule.code = std::stoi(value.substr(code + 1));
        value.resize(code);
      }
      rule.act = value;
    }
    return rule;
  }
  Rule find(const char* call, int rank) {
    const std::scoped_lock lock(mutex_);
    const int count = ++counts_[{call, rank}];
    for (const Rule& rule : rules_)
      if (rule.call == call && (rule.rank < 0 || rule.rank == rank) && (rule.at < 0 || rule.at == count))
        return rule;
    return {};
  }

  std::mutex mutex_;
  std::vector<Rule> rules_;
  std::map<std::pair<std::string, int>, int> counts_;
  std::atomic<int> generation_ = 0;
};

}  // namespace muster::fake
