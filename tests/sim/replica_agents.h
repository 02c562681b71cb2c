#pragma once  // tests/sim/replica_agents.h: how one replica of the operator reaches the agents of pods
#include <map>
#include <memory>
#include <string>

#include "network.h"
#include "nodes.h"
#include "operator/control/agents.h"
#include "programs.h"

namespace muster::sim {

// What AgentClient promises, over a network of the simulation in place of gRPC.
class ReplicaAgents final : public op::Agents {
 public:
  struct World {
    VirtualThreads& threads;
    Programs& programs;
    Nodes& nodes;
    Faults& faults;
  };
  using Changed = std::function<void(const std::string& owner, bool progress)>;
  ReplicaAgents(World world, std::shared_ptr<Link> link, Changed changed);
  ~ReplicaAgents() override;  // waits for changes that are being told

  void follow(const std::string& owner, const std::vector<op::AgentAddress>& pods) override;
  [[nodiscard]] std::optional<control::v1::AgentStatus> status(const std::string& pod_uid) const override;
  [[nodiscard]] std::optional<Contact> contact(const std::string& pod_uid) const override;
  [[nodiscard]] std::optional<std::string> rejection(const std::string&) const override {
    return std::nullopt;
  }
  void configure(const op::ConfigurePod& pod) override;
  [[nodiscard]] std::optional<Error> refusal(const std::string& pod_uid) const override;

  void told(const std::string& uid);  // the pod has news for its followers

 private:
  struct Followed {
    std::string owner;
    std::optional<control::v1::AgentStatus> status;
    Contact contact{};
    std::optional<Error> refusal;
    bool calling = false;
    Nanos next_call{0};
    Nanos pause{0};
  };
  void answered(const std::string& uid, const Status& result);
  void silent(Followed& pod);
  void change(const std::string& owner, bool progress);

  World world_;
  std::shared_ptr<Link> link_;
  Changed changed_;
  std::shared_ptr<bool> here_ = std::make_shared<bool>(true);
  int telling_ = 0;                           // threads within `changed_`
  std::map<std::string, Followed> followed_;  // by pod uid
};

}  // namespace muster::sim
