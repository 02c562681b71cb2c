#pragma once  // tests/sim/users.h: people who create, scale, suspend, edit and delete objects of both kinds
#include <string>
#include <vector>

#include "api_store.h"
#include "faults.h"

namespace muster::sim {

class Users {
 public:
  // `rules`: some objects have failure rules and deadlines. `on_edit` hears of the uid of an object before
  // its spec is changed.
  Users(ApiStore& store, Tally& tally, std::uint64_t seed, bool rules,
        std::function<void(const std::string& uid)> on_edit);

  void create();  // one object, of any kind
  void act();     // once a second: mostly nothing
  void resume_all();
  void remove_all();

 private:
  struct Target {
    std::string resource, key;
    const Json* object;
  };
  [[nodiscard]] std::vector<Target> targets() const;
  void edit(const Target& target, const char* what, const std::function<void(Json& spec)>& change);
  void remove(const Target& target);
  void scale(const Target& target);
  [[nodiscard]] bool one_in(std::uint64_t n) { return random_.below(n) == 0; }

  ApiStore& store_;
  Tally& tally_;
  Random random_;
  bool rules_;
  std::function<void(const std::string& uid)> on_edit_;
};

}  // namespace muster::sim
