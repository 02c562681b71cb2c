#pragma once  // worker/parallel/parameter_client.h: a worker's side of parameter servers
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "worker/collective/collective.h"
#include "worker/parallel/asynchronous.h"
#include "worker/parallel/part_codec.h"
#include "worker/parallel/peer_stream.h"
#include "worker/parallel/synchronizer.h"

namespace muster::worker {

// The last ranks of the mesh are servers, each with its part of the parameters and of the optimizer's state
// (shard_part). A step sends k bytes of gradient up and takes k bytes of parameters down, whatever the number
// of servers is, or frames of a codec (part_codec.h). Source: Li et al., OSDI 2014.
class ParameterClient final : public Synchronizer, public AsynchronousUpdates {
 public:
  struct Options {
    std::int64_t parameters = 0;  // P >= shards
    int shards = 1;
    std::chrono::milliseconds timeout{60'000};         // of an answer; the servers give up a worker before
    std::chrono::milliseconds start_timeout{600'000};  // of the first one
    std::function<std::unique_ptr<learning::Optimizer>(std::int64_t parameters)> make_optimizer;
    std::optional<PartCodecOptions> codec{};  // as the servers'
    bool shared_gradient = false;             // somebody else may write to its memory at any moment
  };
  // `workers`: of the ranks before the servers. Both outlive it.
  ParameterClient(Mesh& mesh, Collective& workers, Options options);

  Status restore(const learning::OptimizerState& state) override;
  Result<learning::OptimizerState> capture() override;
  learning::OptimizerState kept() override { return {}; }
  std::vector<learning::Optimizer::Slot> shared_slots() override { return {}; }
  void set_steps(std::int64_t /*steps*/) override {}
  Result<Ahead> begin(const Beginning& where, std::span<float> parameters) override;
  Result<StepSums> exchange(std::span<float> gradient, std::span<float> parameters,
                            const Step& step) override;
  void update(std::span<float> /*parameters*/, std::span<const float> /*gradient*/) override {}
  Status finish() override;
  [[nodiscard]] std::uint64_t payload_bytes_sent() const override;

  Result<Turn> open(std::int64_t first, std::int64_t last, std::int64_t position,
                    std::span<float> parameters) override;
  Result<Turn> push(std::span<float> gradient, std::span<float> parameters, const Step& step) override;
  Result<Turn> settle(std::span<float> parameters) override;
  [[nodiscard]] std::span<const std::int64_t> done_before() const override { return everywhere_; }

 private:
  using Lists = std::vector<std::vector<std::byte>>;
  [[nodiscard]] Chunk part(int shard) const {
    return shard_part(options_.parameters, shard, options_.shards);
  }
  [[nodiscard]] Deadline deadline() const;
  [[nodiscard]] Status talk(Deadline until);
  [[nodiscard]] Result<Ahead> begin_servers(const Beginning& where, std::span<const float> parameters);
  [[nodiscard]] std::vector<std::byte> upload_of(int shard, std::span<const float> parameters) const;
  [[nodiscard]] Result<Ahead> ahead_of(const Beginning& where, const Lists& done);
  void expect_lists(ShardMessage::Kind kind, std::uint64_t bytes_max, Lists& lists);
  [[nodiscard]] Status expect_parameters(ShardMessage::Kind wanted, std::span<float> parameters);
  [[nodiscard]] Status pull(std::int64_t step, std::span<float> parameters, Deadline until);
  [[nodiscard]] Result<std::span<std::byte>> room_for(int shard, const ShardMessage& answer,
                                                      std::span<std::byte> whole);
  [[nodiscard]] Result<SyncCost> push_gradient(ShardMessage head, std::span<float> gradient,
                                               std::span<float> parameters, bool dense);
  SyncCost send_gradient(int shard, ShardMessage head, std::span<float> gradient, bool dense);
  [[nodiscard]] Status take_changes(std::span<float> parameters);
  [[nodiscard]] ShardMessage push_of(const Step& step) const;
  [[nodiscard]] bool is_stop_told() const;
  [[nodiscard]] Turn turn() const;
  [[nodiscard]] Result<Turn> next_turn();

  Mesh& mesh_;
  Collective& workers_;
  Options options_;
  std::vector<PeerStream> servers_;
  std::vector<PartCodec> codecs_;             // by server; empty: none
  std::vector<std::vector<std::byte>> news_;  // by server: the frame that it answered with
  std::vector<float> copy_;                   // of a shared gradient
  Status alive_;                              // an error ends it: a message may be half sent
  learning::OptimizerState restored_;
  std::vector<std::int64_t> everywhere_;  // rank 0: updates beyond the first gap that all servers have
};

}  // namespace muster::worker
