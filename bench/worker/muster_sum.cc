// bench/worker/muster_sum.cc: Muster's all-reduce, by the topology that it measures

#include <chrono>

#include "bench/worker/contender.h"
#include "worker/collective/mesh_collective.h"
#include "worker/transport/tcp_mesh.h"

namespace muster::bench {
namespace {

constexpr std::chrono::seconds kTimeout{120};

class MusterSum final : public Contender {
 public:
  MusterSum(Wires wires, const Place& place)
      : name_(wires == Wires::kMemory ? "muster memory"
                                      : (wires == Wires::kTcp ? "muster tcp" : "muster tls")) {
    auto listening = worker::MeshPort::listen(place.address, 0);
    if (!listening) die(listening.error().message);
    worker::MeshPort::Options options{
        .identity = {.job_uid = "bench", .membership = 1, .rank = place.rank, .size = place.size},
        .key = {std::byte{1}},
        .encrypt = wires == Wires::kTls,
        .share_memory = wires == Wires::kMemory,
        .peers = meet(place, (*listening)->port()),
        .log = {},
        .refused = {}};
    auto mesh = (*listening)->connect(std::move(options), deadline_after(kTimeout));
    if (!mesh) die(mesh.error().message);
    collective_ = std::make_unique<worker::MeshCollective>(*std::move(mesh), std::nullopt);
  }

  ~MusterSum() override { collective_->leave({}); }

  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] std::string note() const override { return note_; }

  void prepare(std::size_t elements) override {
    const auto settled = collective_->settle(elements, "", kTimeout);
    if (!settled) die(settled.error().message);
    if (settled->picked) note_ = settled->topology;
  }

  void all_reduce(std::span<float> buffer) override {
    const Status status =
        collective_->all_reduce_sum(buffer, worker::Traffic::kPayload, deadline_after(kTimeout));
    if (!status) die(status.error().message);
  }

 private:
  std::string name_;
  std::string note_;
  std::unique_ptr<worker::Collective> collective_;
};

}  // namespace

std::unique_ptr<Contender> make_muster(Wires wires, const Place& place) {
  return std::make_unique<MusterSum>(wires, place);
}

}  // namespace muster::bench
