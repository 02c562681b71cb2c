// worker/program/muster_client.cc: the C ABI of the clients of a FederatedRound
#include "worker/program/muster_client.h"

#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <new>
#include <string>

#include "pod/pod_contract.h"
#include "worker/program/abi_job.h"

namespace mp = muster::program;

namespace muster::program {

constexpr std::chrono::milliseconds kWatch{500};

HangWatch::~HangWatch() {
  {
    const MutexLock lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void HangWatch::training(bool now) {
  const MutexLock lock(mutex_);
  training_ = now;
}

void HangWatch::run() {
  MutexLock lock(mutex_);
  while (!changed_.wait_for(lock, kWatch, [this]() MUSTER_REQUIRES(mutex_) { return over_; })) {
    if (!training_) continue;
    const auto end = channel_.waiting_end();
    if (!end || end->exit_code == 0) continue;  // a good end waits until this training is done
    write_last_words(kEndingWord + end->words);
    ::_exit(static_cast<int>(end->exit_code & 0xff));
  }
}

}  // namespace muster::program

extern "C" {

muster_job* muster_open_client(void) {
  muster_job* job = new (std::nothrow) muster_job;
  mp::guarded(job, [](muster_job& made) {
    const char* path = std::getenv("MUSTER_SOCKET");
    if (path == nullptr || *path == '\0')
      return mp::fail(made,
                      "MUSTER_SOCKET is not set, so this is no client pod of a FederatedRound with "
                      "spec.training.program; without one muster.simulate trains the same clients");
    return mp::result(made, mp::connect(made, path, mp::Part::kClient));
  });
  return job;
}

int muster_register_typed(muster_job* job, const char* name, int32_t type, int32_t dimensions,
                          const int64_t* shape) {
  return mp::guarded(job, [&](muster_job& made) {
    if (type < 0 || type >= mp::kTypes)
      return mp::fail(made, "muster_register_typed: there is no type " + std::to_string(type));
    return mp::register_tensor(made, name, static_cast<mp::Type>(type), dimensions, shape);
  });
}

int muster_get_federation(const muster_job* job, muster_federation* federation) {
  if (job == nullptr || federation == nullptr || federation->size < sizeof(muster_federation)) return -1;
  const mp::Federation& known = job->federation;
  *federation = {.size = federation->size,
                 .first_client = known.first_client,
                 .clients = known.clients,
                 .total_clients = known.total_clients,
                 .rounds = known.rounds,
                 .seed = known.seed,
                 .local_epochs = known.local_epochs,
                 .batch_size = known.batch_size,
                 .learning_rate = known.learning_rate};
  return 0;
}

int muster_begin_client(muster_job* job) {
  return mp::guarded(job, [](muster_job& made) {
    if (made.memory.bytes().empty() || made.begun || made.part != mp::Part::kClient || !made.channel)
      return mp::fail(made,
                      "muster_begin_client: call it once, after muster_open_client and muster_allocate");
    made.begun = true;
    made.watch = std::make_unique<mp::HangWatch>(*made.channel);
    return mp::result(
        made, made.channel->send({.kind = mp::Kind::kReady}, {}, muster::deadline_after(mp::kSendTime)));
  });
}

int muster_get_round(const muster_job* job, muster_round* round) {
  if (job == nullptr || round == nullptr || round->size < sizeof(muster_round)) return -1;
  const mp::Round& known = job->round;
  *round = {.size = round->size,
            .client = known.client,
            .round = known.round,
            .deadline_ms = known.deadline_ms,
            .seed = known.seed,
            .mu = known.mu};
  return 0;
}

int muster_update_ready(muster_job* job, int64_t examples, double loss, double accuracy) {
  return mp::guarded(job, [&](muster_job& made) {
    if (examples < 1)
      return mp::fail(made, "muster_update_ready: an update is of at least one example, not of " +
                                std::to_string(examples));
    if (const muster::Status possible = mp::check_measured(loss, accuracy); !possible)
      return mp::fail(made, "muster_update_ready: " + possible.error().message);
    if (made.watch) made.watch->training(false);
    const std::int64_t told = (std::isnan(loss) ? 0 : 1) | (std::isnan(accuracy) ? 0 : 2);
    return mp::answer(made, MUSTER_ROUND, "muster_update_ready",
                      {.kind = mp::Kind::kUpdate,
                       .numbers = {made.round.serial, examples, told},
                       .reals = {loss, accuracy}});
  });
}

int muster_round_failed(muster_job* job, const char* why) {
  return mp::guarded(job, [&](muster_job& made) {
    if (made.watch) made.watch->training(false);
    const std::string_view words(why == nullptr ? "" : why);
    return mp::answer(made, MUSTER_ROUND, "muster_round_failed",
                      {.kind = mp::Kind::kFailed, .numbers = {made.round.serial}},
                      mp::bytes_of(words.substr(0, mp::kTextMax)));
  });
}

}  // extern "C"
