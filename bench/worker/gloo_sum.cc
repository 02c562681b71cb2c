// bench/worker/gloo_sum.cc: libgloo's all-reduces over TCP: its ring, and halving and doubling
#include <gloo/allreduce.h>
#include <gloo/allreduce_halving_doubling.h>
#include <gloo/math.h>
#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/file_store.h>
#include <gloo/transport/tcp/device.h>

#include "bench/worker/contender.h"

namespace muster::bench {
namespace {

class Gloo {
 public:
  explicit Gloo(const Place& place) : store_(place.folder.string()) {
    gloo::transport::tcp::attr attr;
    attr.hostname = place.address;
    device_ = gloo::transport::tcp::CreateDevice(attr);
    context_ = std::make_shared<gloo::rendezvous::Context>(place.rank, place.size);
    context_->connectFullMesh(store_, device_);
  }
  [[nodiscard]] const std::shared_ptr<gloo::rendezvous::Context>& context() const { return context_; }

 private:
  gloo::rendezvous::FileStore store_;
  std::shared_ptr<gloo::transport::Device> device_;
  std::shared_ptr<gloo::rendezvous::Context> context_;
};

class Ring final : public Contender {
 public:
  explicit Ring(std::shared_ptr<Gloo> gloo) : gloo_(std::move(gloo)) {}
  [[nodiscard]] std::string name() const override { return "gloo ring"; }
  void all_reduce(std::span<float> buffer) override {
    gloo::AllreduceOptions options(gloo_->context());
    options.setAlgorithm(gloo::AllreduceOptions::Algorithm::RING);
    options.setOutput(buffer.data(), buffer.size());
    void (*sum)(void*, const void*, const void*, std::size_t) = &gloo::sum<float>;
    options.setReduceFunction(sum);
    gloo::allreduce(options);
  }

 private:
  std::shared_ptr<Gloo> gloo_;
};

// Gloo makes its plan for one buffer, as its users keep them: so does this.
class HalvingDoubling final : public Contender {
 public:
  explicit HalvingDoubling(std::shared_ptr<Gloo> gloo) : gloo_(std::move(gloo)) {}
  [[nodiscard]] std::string name() const override { return "gloo hd"; }
  void all_reduce(std::span<float> buffer) override {
    if (plan_ == nullptr || planned_.data() != buffer.data() || planned_.size() != buffer.size()) {
      plan_ = std::make_unique<gloo::AllreduceHalvingDoubling<float>>(
          gloo_->context(), std::vector<float*>{buffer.data()}, static_cast<int>(buffer.size()));
      planned_ = buffer;
    }
    plan_->run();
  }

 private:
  std::shared_ptr<Gloo> gloo_;
  std::unique_ptr<gloo::AllreduceHalvingDoubling<float>> plan_;
  std::span<float> planned_;
};

}  // namespace

Contenders make_gloo(const Place& place) {
  const auto gloo = std::make_shared<Gloo>(place);
  Contenders made;
  made.push_back(std::make_unique<Ring>(gloo));
  made.push_back(std::make_unique<HalvingDoubling>(gloo));
  return made;
}

}  // namespace muster::bench
