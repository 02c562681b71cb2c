#pragma once  // worker/gpu/xid.h: what an XID, the number of a GPU's error, asks for. Pure
#include <cstdint>
#include <string>

namespace muster::worker::gpu {

// Whether whoever goes on needs another GPU, or a reset of this one, as which it counts: nothing in a pod can
// reset it. Of those that only end the program (13, 31, 43, 94, ...), and of numbers that are unknown, it
// says no. Source: NVIDIA's catalogue of XID errors, by the action that it names: RESET_GPU, RESTART_BM and
// CONTACT_SUPPORT.
[[nodiscard]] bool needs_another_gpu(std::uint64_t xid);
[[nodiscard]] std::string xid_words(std::uint64_t xid);  // "XID 79, it has fallen off the bus"; "XID 12345"

}  // namespace muster::worker::gpu
