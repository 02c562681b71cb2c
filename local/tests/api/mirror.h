#pragma once  // local/tests/api/mirror.h: what one client knows of a kind from its list and its watch
#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "common/json/fields.h"
#include "local/tests/support/https_client.h"

namespace muster::local {

// Lists once, then watches. Whatever contradicts the rules of a watch is kept as a problem: versions that do
// not grow, an object added twice, one modified or deleted that was not there.
class Mirror {
 public:
  Mirror(testing::HttpsTarget target, std::string path);
  ~Mirror();
  [[nodiscard]] std::map<std::string, std::string> objects() const;  // "namespace/name" -> JSON
  [[nodiscard]] std::string problem() const;
  [[nodiscard]] std::size_t events() const { return events_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  // The same by a fresh list.
  [[nodiscard]] static std::map<std::string, std::string> list(testing::HttpsClient& client,
                                                               const std::string& path,
                                                               std::string* version = nullptr);

 private:
  void run();
  void watch(testing::HttpsClient& client);
  void take(const Json& event);
  void complain(const std::string& what);

  const testing::HttpsTarget target_;
  const std::string path_;
  mutable std::mutex mutex_;
  std::map<std::string, std::string> objects_;
  std::string problem_;
  std::string version_;
  std::atomic<std::size_t> events_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace muster::local
