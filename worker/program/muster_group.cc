// worker/program/muster_group.cc: the C ABI of collectives for a program whose training loop is its own
#include "worker/program/muster_group.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "worker/program/abi_job.h"

namespace mp = muster::program;

namespace {

constexpr std::int64_t kRoomMin = 1 << 16;
constexpr std::int64_t kRoomMax = std::int64_t{1} << 40;

// Alone every collective is what is there already.
void collect_alone(muster_job& job, mp::Collect kind, std::size_t bytes) {
  if (kind == mp::Collect::kGather && bytes > 0)
    std::memcpy(job.memory.floats(job.plan.gradient, job.plan.parameters).data(),
                job.memory.floats(0, job.plan.parameters).data(), bytes);
}

std::string text_of(const std::vector<std::byte>& body) {
  return {reinterpret_cast<const char*>(body.data()), body.size()};
}

}  // namespace

extern "C" {

muster_job* muster_open_group(int64_t room_bytes) {
  muster_job* job = new (std::nothrow) muster_job;
  mp::guarded(job, [room_bytes](muster_job& made) {
    if (room_bytes < kRoomMin || room_bytes > kRoomMax || room_bytes % 64 != 0)
      return mp::fail(made, "muster_open_group: room_bytes is a multiple of 64, from 64 KiB on");
    made.part = mp::Part::kGroup;
    const char* path = std::getenv("MUSTER_SOCKET");
    const bool alone = path == nullptr || *path == '\0';
    if (!alone) {
      const muster::Status connected = mp::connect(made, path, mp::Part::kGroup);
      if (!connected) return mp::result(made, connected);
    }
    const std::int64_t floats = room_bytes / static_cast<std::int64_t>(sizeof(float));
    if (mp::register_tensor(made, "room", mp::Type::kFloat32, 1, &floats) != 0) return -1;
    if (muster_allocate(&made) != 0) return -1;
    made.begun = true;
    if (alone) return 0;
    return mp::result(
        made, made.channel->send({.kind = mp::Kind::kReady}, {}, muster::deadline_after(mp::kSendTime)));
  });
  return job;
}

int muster_collect(muster_job* job, int32_t kind, int64_t bytes, int64_t root) {
  return mp::guarded(job, [&](muster_job& made) {
    const auto asked = static_cast<mp::Collect>(kind);
    if (made.part != mp::Part::kGroup || !made.begun)
      return mp::fail(made, "muster_collect: call muster_open_group first");
    if (kind < MUSTER_SUM || kind > MUSTER_COMPRESSED_SUM || bytes < 0 ||
        static_cast<std::size_t>(bytes) > made.plan.parameters * sizeof(float))
      return mp::fail(made,
                      "muster_collect: there is no such collective, or its bytes are more than its room");
    if (made.ended) return mp::fail(made, made.words);
    if (!made.channel) {
      collect_alone(made, asked, static_cast<std::size_t>(bytes));
      return 0;
    }
    const mp::Frame frame = mp::write_collect({.kind = asked, .bytes = bytes, .root = root});
    const muster::Status sent = made.channel->send(frame, {}, muster::deadline_after(mp::kSendTime));
    if (!sent) return mp::result(made, sent);
    const auto answer = mp::expect(made, mp::Kind::kCollected);
    if (!answer) return mp::result(made, answer.error());
    return made.body.empty() ? 0 : mp::fail(made, text_of(made.body));
  });
}

int muster_group_done(muster_job* job) {
  return mp::guarded(job, [](muster_job& made) {
    if (!made.channel || made.ended) return 0;
    const muster::Status sent = made.channel->send(mp::write_collect({.kind = mp::Collect::kDone}), {},
                                                   muster::deadline_after(mp::kSendTime));
    if (!sent) return mp::result(made, sent);
    const auto end = mp::receive(made, muster::deadline_after(mp::kSendTime));
    if (!end) return mp::result(made, end.error());
    return made.ended == 0
               ? 0
               : mp::fail(made, made.ended ? made.words : "the worker beside this program does not end");
  });
}

}  // extern "C"
