#pragma once  // worker/collective/mesh_part.h: the first ranks of a mesh as a mesh of their own
#include "common/base/check.h"
#include "worker/transport/mesh.h"

namespace muster::worker {

// Collectives among workers, beside the parameter servers of their mesh. Whoever is lost of the whole mesh,
// is lost here, too. `mesh` outlives it, and no other thread or stream uses these pairs meanwhile.
class MeshPart final : public Mesh {
 public:
  MeshPart(Mesh& mesh, int size) : mesh_(mesh), size_(size) {
    MUSTER_CHECK(mesh.rank() < size && size <= mesh.size());
  }
  [[nodiscard]] int rank() const override { return mesh_.rank(); }
  [[nodiscard]] int size() const override { return size_; }
  Result<std::size_t> send_some(int peer, std::span<const std::byte> head,
                                std::span<const std::byte> body) override {
    return mesh_.send_some(peer, head, body);
  }
  Result<std::size_t> receive_some(int peer, std::span<std::byte> head, std::span<std::byte> body) override {
    return mesh_.receive_some(peer, head, body);
  }
  Status wait(std::span<Interest> interests, Deadline deadline) override {
    return mesh_.wait(interests, deadline);
  }
  Status state() override { return mesh_.state(); }
  std::optional<Error> blame() override { return mesh_.blame(); }
  void abort() noexcept override { mesh_.abort(); }
  void leave(const Status& why) noexcept override { mesh_.leave(why); }

 private:
  Mesh& mesh_;
  int size_;
};

}  // namespace muster::worker
