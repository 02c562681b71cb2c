#pragma once  // local/runtime/addresses.h: a loopback address for each pod
#include <cstdint>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/base/result.h"

namespace muster::local {

// Hands out addresses of 127.0.0.0/8. Each pool claims whole blocks 127.x.y.0/24, chosen at random and held
// by an abstract socket, so that two runs on one machine never meet; the kernel gives a block back when its
// holder ends.
class AddressPool {  // one thread
 public:
  explicit AddressPool(std::uint64_t seed) : random_(seed) {}
  ~AddressPool();
  AddressPool(const AddressPool&) = delete;
  AddressPool& operator=(const AddressPool&) = delete;

  // An address on which nobody listens on Muster's ports. The longest unused one comes first, so that what
  // talks to a pod that ended does not find its successor. kResourceExhausted: no block is free.
  [[nodiscard]] Result<std::string> take();
  void give_back(const std::string& address);

 private:
  [[nodiscard]] Status claim_block();

  Random random_;
  std::vector<int> blocks_;
  std::vector<std::string> free_;  // oldest first
};

}  // namespace muster::local
