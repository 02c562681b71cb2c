// bench/worker/gloo_ring.cc: libgloo's ring all-reduce over TCP on loopback
#include <gloo/allreduce.h>
#include <gloo/math.h>
#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/file_store.h>
#include <gloo/transport/tcp/device.h>

#include "bench/worker/contender.h"

namespace muster::bench {
namespace {

class GlooRing final : public Contender {
 public:
  GlooRing(int rank, int size, const std::filesystem::path& folder) : store_(folder.string()) {
    gloo::transport::tcp::attr attr;
    attr.hostname = "127.0.0.1";
    device_ = gloo::transport::tcp::CreateDevice(attr);
    context_ = std::make_shared<gloo::rendezvous::Context>(rank, size);
    context_->connectFullMesh(store_, device_);
  }

  void all_reduce(std::span<float> buffer) override {
    gloo::AllreduceOptions options(context_);
    options.setAlgorithm(gloo::AllreduceOptions::Algorithm::RING);
    options.setOutput(buffer.data(), buffer.size());
    void (*sum)(void*, const void*, const void*, std::size_t) = &gloo::sum<float>;
    options.setReduceFunction(sum);
    gloo::allreduce(options);
  }

 private:
  gloo::rendezvous::FileStore store_;
  std::shared_ptr<gloo::transport::Device> device_;
  std::shared_ptr<gloo::rendezvous::Context> context_;
};

}  // namespace

std::unique_ptr<Contender> make_gloo(int rank, int size, const std::filesystem::path& folder) {
  return std::make_unique<GlooRing>(rank, size, folder);
}

}  // namespace muster::bench
