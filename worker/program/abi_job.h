#pragma once  // worker/program/abi_job.h: what a muster_job is, and how it hears its worker; for the C ABI's
              // own sources
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/platform/sealed_memory.h"
#include "worker/program/alone.h"
#include "worker/program/channel.h"
#include "worker/program/memory_plan.h"
#include "worker/program/muster_worker.h"

struct muster_job {  // NOLINT(readability-identifier-naming): the name of C
  std::string error;
  std::optional<muster::program::Channel> channel;  // absent: alone
  std::optional<muster::program::Alone> alone;      // once begun
  muster::program::World world;
  std::vector<muster::program::TensorShape> tensors;
  muster::SealedMemory memory;
  muster::program::MemoryPlan plan;
  std::int64_t examples = 0;
  std::vector<std::byte> body;        // of the last frame
  std::int32_t due = MUSTER_NOTHING;  // the question that waits for its answer
  bool begun = false;
  std::optional<std::int32_t> ended;
  std::string words;
  std::atomic<bool> stop = false;
  bool stop_told = false;
  std::int64_t reports = 0;        // that were sent,
  std::int64_t reports_heard = 0;  // and of these, that the last words know
  std::chrono::steady_clock::time_point heard = std::chrono::steady_clock::now();
};

namespace muster::program {

inline constexpr std::chrono::seconds kBeginTime{660};  // until all pods of the job are there
inline constexpr std::chrono::seconds kSendTime{60};

[[nodiscard]] inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Keeps why a call failed; -1.
int fail(muster_job& job, std::string why);
// 0, or -1: where the worker has ended the training, its last words are why.
int result(muster_job& job, const Status& status);

// Connects, greets, and waits for the job's place in the world. Errors: Channel's, and in words what else is
// wrong.
[[nodiscard]] Status connect(muster_job& job, const char* path);
// The next frame that says something, its body in job.body; nullopt: none until `deadline`. An end is noted.
// Errors: Channel's; kUnavailable: the worker has been silent for a minute.
[[nodiscard]] Result<std::optional<Frame>> receive(muster_job& job, Deadline deadline);
// The frame of this kind, which is due.
[[nodiscard]] Result<Frame> expect(muster_job& job, Kind kind);

}  // namespace muster::program
