#pragma once  // local/bench/watchers.h: many watches on one thread, and when each saw what
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "local/tests/support/https_client.h"

namespace muster::bench {

using Time = std::chrono::steady_clock::time_point;

// Watches of one path. Events are told by the number behind `mark` in them: with mark "\"name\":\"pod-" the
// pod "pod-000017" is event 17.
class Watchers {
 public:
  Watchers(const testing::HttpsTarget& target, const std::string& path, std::string mark, std::size_t count,
           std::size_t events_max);
  ~Watchers();
  // True when each has seen the events 0..events-1; false after `patience`.
  [[nodiscard]] bool wait(std::size_t events, std::chrono::seconds patience);
  // When watcher `who` saw `event`. Only after wait().
  [[nodiscard]] Time seen(std::size_t who, std::size_t event) const { return seen_[who][event]; }
  [[nodiscard]] std::size_t count() const { return clients_.size(); }
  [[nodiscard]] double cpu_seconds() const;  // of the thread that reads them

 private:
  void run();
  void read(std::size_t who, Time now);

  const std::string mark_;
  std::vector<testing::HttpsClient> clients_;
  std::vector<std::string> unread_;  // the last bytes of each, in which a mark may have begun
  std::vector<std::vector<Time>> seen_;
  std::atomic<std::size_t> total_{0};
  std::atomic<bool> stopping_{false};
  int epoll_ = -1;
  std::thread thread_;
};

}  // namespace muster::bench
