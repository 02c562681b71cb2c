#pragma once  // local/runtime/addresses.h: a loopback address for each pod
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/base/random.h"
#include "common/base/result.h"
#include "common/platform/file_descriptor.h"

namespace muster::local {

// Hands out addresses of 127.0.0.0/8. Each pool claims whole blocks 127.x.y.0/24, chosen at random and held
// by an abstract socket, so that two runs on one machine never meet; the kernel gives a block back when its
// holder ends.
class AddressPool {  // one thread
 public:
  // `ports`: what pods listen on.
  AddressPool(std::uint64_t seed, std::vector<int> ports) : random_(seed), ports_(std::move(ports)) {}

  // An address on which nobody listens on those ports. The longest unused one comes first, so that what
  // talks to a pod that ended does not find its successor. kResourceExhausted: no block is free;
  // kUnavailable: another program listens on one of the ports of all addresses.
  [[nodiscard]] Result<std::string> take();
  void give_back(const std::string& address);

 private:
  [[nodiscard]] Status claim_block();

  Random random_;
  std::vector<int> ports_;
  std::vector<FileDescriptor> blocks_;
  std::vector<std::string> free_;  // oldest first
};

}  // namespace muster::local
