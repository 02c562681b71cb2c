#pragma once  // operator/core/pass.h: one pass over one object: what it saw, what it decided, the status it
              // will write
#include <optional>
#include <string>
#include <vector>

#include "operator/core/action.h"
#include "operator/core/observed.h"

namespace muster::op {

struct Hold {  // why an object that is not done has no pods
  std::string reason, message;
};

struct Pass {
  const Observed& seen;
  const api::ObjectMeta& meta;
  const char* kind;  // DistributedJob | FederatedRound
  const api::JobStatus& before;
  api::JobStatus after;  // starts as `before`
  Decision decision;
  std::vector<EmitEvent> events;
  std::optional<Obstacle> obstacle;  // to creates, that this pass sees by itself

  Pass(const Observed& observed, const api::ObjectMeta& object, const char* kind_name,
       const api::JobStatus& status)
      : seen(observed), meta(object), kind(kind_name), before(status), after(status) {}

  void act(Action action) { decision.actions.push_back(std::move(action)); }
  void event(const char* type, const std::string& reason, const std::string& message) {
    events.push_back({type, reason, message});
  }
  // Takes note of the spec's generation, in every condition, too: kubectl wait believes only those of the
  // present one.
  void observe_generation();
  // Sets a condition of `after`.
  void condition(const char* type, bool status, const std::string& reason, const std::string& message);
  // Come back at `when` at the latest.
  void again_at(WallTime when);
  // Whether it is that late; if not, comes back then.
  [[nodiscard]] bool is_due(WallTime when);
};

// Ends the pass: appends the status write, if there is something to say, and the events.
// A change of phase, conditions or counters is written at once; mere progress at most once a second.
[[nodiscard]] Decision land(Pass&& pass);

}  // namespace muster::op
