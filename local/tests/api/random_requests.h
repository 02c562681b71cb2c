#pragma once  // local/tests/api/random_requests.h: requests of all verbs on all kinds, right and wrong ones
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "common/json/fields.h"

namespace muster::local {

struct RandomRequest {
  std::string method;
  std::string path;
  std::string body;
  std::string content_type = "application/json";
  std::string accept = "application/json";
};

class RandomRequests {
 public:
  explicit RandomRequests(std::uint64_t seed);
  [[nodiscard]] RandomRequest next();

 private:
  struct Resource {
    std::string prefix;  // "/api/v1" or "/apis/GROUP/VERSION"
    std::string plural;
    std::string kind;
    bool namespaced = true;
  };
  static const std::vector<Resource>& resources();
  std::size_t below(std::size_t count);
  bool one_in(std::size_t count) { return below(count) == 0; }
  template <typename T>
  const T& any(const std::vector<T>& from) {
    return from[below(from.size())];
  }
  std::string name();
  std::string space();
  std::string collection(const Resource& resource, bool everywhere);
  std::string list_query();
  Json object(const Resource& resource, const std::string& name);
  Json spec_of(const std::string& kind);
  Json value(int depth);
  void mutate(Json& json);
  std::string text(const Json& json);
  RandomRequest patch(const Resource& resource, const std::string& path);

  std::mt19937_64 random_;
};

}  // namespace muster::local
